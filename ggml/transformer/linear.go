package transformer

import "steer/cgo"

// MaxPairs is the most LoRA pairs that one linear layer can carry: adapters of a stack.
const MaxPairs = 3

// linear is y = W x + b + Σ B h with h = s A drop(x) for every LoRA pair on W.
//
// It returns y [n_out, T] of type typ and each pair's h [rank, T], which the backward pass needs.
func (g *Graph) linear(l *Linear, x cgo.Tensor, typ cgo.Type) (y cgo.Tensor, h []cgo.Tensor) {
	h = g.loraDown(l, x)
	if !l.Bias.OK() {
		return g.product(l, x, h, typ), h
	}
	y = g.product(l, x, h, cgo.F32) // rounded once, with the bias
	return g.g.Custom(opBias, typ, l.NOut, g.nTokens, false, cgo.OpArgs{}, y, l.Bias), h
}

// loraDown is h = s A drop(x) of every pair.
func (g *Graph) loraDown(l *Linear, x cgo.Tensor) (h []cgo.Tensor) {
	for i := range l.Pairs {
		p := &l.Pairs[i]
		args := cgo.OpArgs{F: [4]float32{p.Scale, g.dropout(p)}, I: [6]int32{int32(p.Site)}}
		h = append(h, g.g.Custom(opLoRADown, g.packed(), p.Rank, g.nTokens, false, args, g.seeded(p, p.A, x)...))
	}
	return h
}

// product is y = W x + Σ B h.
func (g *Graph) product(l *Linear, x cgo.Tensor, h []cgo.Tensor, typ cgo.Type) cgo.Tensor {
	operands := []cgo.Tensor{l.W, x}
	for i := range l.Pairs {
		operands = append(operands, l.Pairs[i].B, h[i])
	}
	return g.g.Custom(opLinear, typ, l.NOut, g.nTokens, false, cgo.OpArgs{}, operands...)
}

// linearBack takes dy [n_out, T], packed, and adds the LoRA gradients
//
//	dB += dy hᵀ      dh = s Bᵀ dy      dA += dh drop(x)ᵀ
//
// (a bias is frozen and has no part in them) and, if needDX, returns
//
//	dx (+)= Wᵀ dy + Σ drop(Aᵀ dh)
//
// added in place to dx when that is given.
func (g *Graph) linearBack(
	l *Linear, x cgo.Tensor, h []cgo.Tensor, dy cgo.Tensor, dx cgo.Tensor, needDX bool,
) cgo.Tensor {
	operands := []cgo.Tensor{l.W, dy} // of dx
	var dropped []cgo.Tensor          // dh of the pairs that drop out
	for i := range l.Pairs {
		p := &l.Pairs[i]
		trainable := p.GradA.OK()
		if !trainable && !needDX {
			dropped = append(dropped, cgo.Tensor{})
			continue
		}
		dh := g.g.Custom(opLoRAUpBack, g.packed(), p.Rank, g.nTokens, false, cgo.OpArgs{F: [4]float32{p.Scale}}, p.B,
			dy)
		if trainable {
			g.g.Custom(opOuterAcc, cgo.F32, p.Rank, l.NOut, true, cgo.OpArgs{}, p.GradB, h[i], dy)
			g.g.Custom(opOuterAcc, cgo.F32, l.NIn, p.Rank, true, g.dropArgs(p), g.seeded(p, p.GradA, x, dh)...)
		}
		if g.dropout(p) > 0 {
			dropped = append(dropped, dh)
		} else {
			dropped = append(dropped, cgo.Tensor{})
			operands = append(operands, p.A, dh)
		}
	}
	if !needDX {
		return dx
	}
	if dx.OK() {
		dx = g.g.Custom(opLinearBack, cgo.F32, l.NIn, g.nTokens, true, cgo.OpArgs{I: [6]int32{1}},
			append([]cgo.Tensor{dx}, operands...)...)
	} else {
		dx = g.g.Custom(opLinearBack, cgo.F32, l.NIn, g.nTokens, false, cgo.OpArgs{}, operands...)
	}
	for i, dh := range dropped {
		if p := &l.Pairs[i]; dh.OK() {
			dx = g.g.Custom(opLoRADownBack, cgo.F32, l.NIn, g.nTokens, true, g.dropArgs(p), g.seeded(p, dx, p.A, dh)...)
		}
	}
	return dx
}

func (g *Graph) dropArgs(p *Pair) cgo.OpArgs {
	return cgo.OpArgs{F: [4]float32{0, g.dropout(p)}, I: [6]int32{int32(p.Site)}}
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
