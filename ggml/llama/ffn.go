package llama

import "steer/cgo"

// ffnState is what the backward pass of a feed-forward block needs.
type ffnState struct {
	in         activation // n2
	gate, up   cgo.Tensor // [n_ff, T]
	mid        activation // silu(gate) ∘ up
	hg, hu, hd []cgo.Tensor
}

// ffn is y = Wd (silu(Wg x) ∘ Wu x) (Shazeer 2020, arXiv:2002.05202).
func (g *Graph) ffn(l *Layer, x cgo.Tensor) (y cgo.Tensor, st ffnState) {
	st.in = g.pack(x, g.shape.Embd)
	st.gate, st.hg = g.linear(&l.Gate, st.in)
	st.up, st.hu = g.linear(&l.Up, st.in)
	st.mid = g.pack(g.g.SwiGLU(st.gate, st.up), g.shape.FF)
	y, st.hd = g.linear(&l.Down, st.mid)
	return y, st
}

// ffnBack takes dy and returns dx. With σ the logistic function and m = silu(g) ∘ u:
//
//	du = dm ∘ silu(g)      dg = dm ∘ u ∘ σ(g) (1 + g (1 - σ(g)))
func (g *Graph) ffnBack(l *Layer, st *ffnState, dy cgo.Tensor) cgo.Tensor {
	ff := g.shape.FF
	dmid := g.linearBack(&l.Down, st.mid, st.hd, dy, cgo.Tensor{}, true)
	d := g.g.Custom(opSwiGLUBack, cgo.F32, 2*ff, g.nTokens, false, cgo.OpArgs{}, st.gate, st.up, dmid)
	dx := g.linearBack(&l.Gate, st.in, st.hg, g.g.View2D(d, ff, g.nTokens, 0), cgo.Tensor{}, true)
	return g.linearBack(&l.Up, st.in, st.hu, g.g.View2D(d, ff, g.nTokens, ff), dx, true)
}
