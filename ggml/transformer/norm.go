package transformer

import (
	"steer/cgo"
	"steer/ggml/family"
)

// norm is y = w ∘ x / sqrt(mean(x²) + eps), token by token (Zhang and Sennrich 2019).
func (g *Graph) norm(x, w cgo.Tensor, typ cgo.Type) cgo.Tensor {
	return g.g.Custom(opNorm, typ, g.net.Embd, g.nTokens, false, g.normArgs(0), x, w)
}

// normBack returns dx of norm. With r = 1/sqrt(mean(x²) + eps) and n features:
//
//	dx = r (w∘dy) - r³/n x (x · (w∘dy))
func (g *Graph) normBack(x, w, dy cgo.Tensor) cgo.Tensor {
	return g.g.Custom(opRMSBack, cgo.F32, g.net.Embd, g.nTokens, false, g.normArgs(0), x, w, dy)
}

// normBackInto adds normBack to dx in place: the residual stream's own gradient is there already.
func (g *Graph) normBackInto(dx, x, w, dy cgo.Tensor) cgo.Tensor {
	return g.g.Custom(opRMSBack, cgo.F32, g.net.Embd, g.nTokens, true, g.normArgs(1), dx, x, w, dy)
}

// headNorm is the norm of queries or keys, f32: of each head by itself, or of the whole row.
func (g *Graph) headNorm(x, w cgo.Tensor, heads int) cgo.Tensor {
	return g.g.Custom(opNorm, cgo.F32, g.net.HeadDim*heads, g.nTokens, false, g.headNormArgs(), x, w)
}

// headNormBack returns dx of headNorm.
func (g *Graph) headNormBack(x, w, dy cgo.Tensor, heads int) cgo.Tensor {
	return g.g.Custom(opRMSBack, cgo.F32, g.net.HeadDim*heads, g.nTokens, false, g.headNormArgs(), x, w, dy)
}

// normArgs: accumulate says whether the gradient is added to what is there.
func (g *Graph) normArgs(accumulate int32) cgo.OpArgs {
	return cgo.OpArgs{F: [4]float32{g.net.RMSEps}, I: [6]int32{accumulate}}
}

func (g *Graph) headNormArgs() cgo.OpArgs {
	args := g.normArgs(0)
	if g.net.Family.QKNorm == family.EachHead {
		args.I[1] = int32(g.net.HeadDim)
	}
	return args
}
