package llama

import "steer/cgo"

// ffnState is what the backward pass of a feed-forward block needs.
type ffnState struct {
	in         cgo.Tensor // n2
	gate, up   cgo.Tensor // [n_ff, T], packed
	mid        cgo.Tensor // silu(gate) ∘ up; none when computed again for a matrix without LoRA
	hg, hu, hd []cgo.Tensor
}

// ffn is y = Wd (silu(Wg x) ∘ Wu x) (Shazeer 2020, arXiv:2002.05202). again: y is left out.
func (g *Graph) ffn(l *Layer, x cgo.Tensor, again bool) (y cgo.Tensor, st ffnState) {
	st.in = x
	st.gate, st.hg = g.linear(&l.Gate, st.in, g.packed())
	st.up, st.hu = g.linear(&l.Up, st.in, g.packed())
	if again && len(l.Down.Pairs) == 0 {
		return y, st // nothing would read mid, and what nothing reads is never freed
	}
	st.mid = g.g.Custom(opSwiGLU, g.packed(), g.shape.FF, g.nTokens, false, cgo.OpArgs{}, st.gate, st.up)
	st.hd = g.loraDown(&l.Down, st.mid)
	if !again {
		y = g.product(&l.Down, st.mid, st.hd, cgo.F32)
	}
	return y, st
}

// ffnBack takes dy and returns dx. With σ the logistic function and m = silu(g) ∘ u:
//
//	du = dm ∘ silu(g)      dg = dm ∘ u ∘ σ(g) (1 + g (1 - σ(g)))
func (g *Graph) ffnBack(l *Layer, st *ffnState, dy cgo.Tensor) cgo.Tensor {
	ff := g.shape.FF
	dmid := g.linearBack(&l.Down, st.mid, st.hd, g.pack(dy, g.shape.Embd), cgo.Tensor{}, true)
	d := g.g.Custom(opSwiGLUBack, g.packed(), 2*ff, g.nTokens, false, cgo.OpArgs{}, st.gate, st.up, dmid)
	dx := g.linearBack(&l.Gate, st.in, st.hg, g.g.View2D(d, ff, g.nTokens, 0), cgo.Tensor{}, true)
	return g.linearBack(&l.Up, st.in, st.hu, g.g.View2D(d, ff, g.nTokens, ff), dx, true)
}
