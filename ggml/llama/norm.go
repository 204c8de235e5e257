package llama

import "steer/cgo"

// norm is y = w ∘ x / sqrt(mean(x²) + eps), token by token (Zhang and Sennrich 2019).
func (g *Graph) norm(x, w cgo.Tensor, typ cgo.Type) cgo.Tensor {
	return g.g.Custom(opNorm, typ, g.shape.Embd, g.nTokens, false, cgo.OpArgs{F: [4]float32{g.shape.RMSEps}}, x, w)
}

// normBack returns dx of norm. With r = 1/sqrt(mean(x²) + eps) and n features:
//
//	dx = r (w∘dy) - r³/n x (x · (w∘dy))
func (g *Graph) normBack(x, w, dy cgo.Tensor) cgo.Tensor {
	args := cgo.OpArgs{F: [4]float32{g.shape.RMSEps}}
	return g.g.Custom(opRMSBack, cgo.F32, g.shape.Embd, g.nTokens, false, args, x, w, dy)
}

// normBackInto adds normBack to dx in place: the residual stream's own gradient is there already.
func (g *Graph) normBackInto(dx, x, w, dy cgo.Tensor) cgo.Tensor {
	args := cgo.OpArgs{F: [4]float32{g.shape.RMSEps}, I: [6]int32{1}}
	return g.g.Custom(opRMSBack, cgo.F32, g.shape.Embd, g.nTokens, true, args, dx, x, w, dy)
}
