package llama

import "steer/cgo"

// linear is y = W x + Σ B h with h = s A drop(x) for every LoRA pair on W.
//
// It returns y [n_out, T] and each pair's h [rank, T], which the backward pass needs.
func (g *Graph) linear(l *Linear, x activation) (y cgo.Tensor, h []cgo.Tensor) {
	y = g.g.Custom(opLinear, cgo.F32, l.NOut, g.nTokens, false, cgo.OpArgs{}, l.W, x.packed)
	for i := range l.Pairs {
		p := &l.Pairs[i]
		args := cgo.OpArgs{F: [4]float32{p.Scale, g.dropout(p)}, I: [6]int32{int32(p.Site)}}
		down := g.g.Custom(opLoRADown, cgo.F32, p.Rank, g.nTokens, false, args, g.seeded(p, p.A, x.f32)...)
		y = g.g.Custom(opLoRAUp, cgo.F32, l.NOut, g.nTokens, true, cgo.OpArgs{}, y, p.B, down)
		h = append(h, down)
	}
	return y, h
}

// linearBack takes dy [n_out, T] and adds the LoRA gradients
//
//	dB += dy hᵀ      dh = s Bᵀ dy      dA += dh drop(x)ᵀ
//
// and, if needDX, returns
//
//	dx (+)= Wᵀ dy + Σ drop(Aᵀ dh)
//
// added in place to dx when that is given.
func (g *Graph) linearBack(l *Linear, x activation, h []cgo.Tensor, dy cgo.Tensor, dx cgo.Tensor, needDX bool) cgo.Tensor {
	if needDX {
		packed := g.pack(dy, l.NOut).packed
		if dx.OK() {
			dx = g.g.Custom(opLinearBack, cgo.F32, l.NIn, g.nTokens, true, cgo.OpArgs{I: [6]int32{1}}, dx, l.W, packed)
		} else {
			dx = g.g.Custom(opLinearBack, cgo.F32, l.NIn, g.nTokens, false, cgo.OpArgs{}, l.W, packed)
		}
	}
	for i := range l.Pairs {
		p := &l.Pairs[i]
		trainable := p.GradA.OK()
		if !trainable && !needDX {
			continue
		}
		dh := g.g.Custom(opLoRAUpBack, cgo.F32, p.Rank, g.nTokens, false, cgo.OpArgs{F: [4]float32{p.Scale}}, p.B, dy)
		drop := cgo.OpArgs{F: [4]float32{0, g.dropout(p)}, I: [6]int32{int32(p.Site)}}
		if trainable {
			g.g.Custom(opOuterAcc, cgo.F32, p.Rank, l.NOut, true, cgo.OpArgs{}, p.GradB, h[i], dy)
			g.g.Custom(opOuterAcc, cgo.F32, l.NIn, p.Rank, true, drop, g.seeded(p, p.GradA, x.f32, dh)...)
		}
		if needDX {
			dx = g.g.Custom(opLoRADownBack, cgo.F32, l.NIn, g.nTokens, true, drop, g.seeded(p, dx, p.A, dh)...)
		}
	}
	return dx
}

// dropout is the pair's dropout probability in this graph.
func (g *Graph) dropout(p *Pair) float32 {
	if !g.opt.Dropout {
		return 0
	}
	return p.Dropout
}

// seeded appends the token seeds to the operands when the pair drops out.
func (g *Graph) seeded(p *Pair, operands ...cgo.Tensor) []cgo.Tensor {
	if g.dropout(p) > 0 {
		operands = append(operands, g.seeds)
	}
	return operands
}
