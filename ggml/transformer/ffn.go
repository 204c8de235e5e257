package transformer

import (
	"steer/cgo"
	"steer/ggml/family"
)

// ffnState is what the backward pass of a feed-forward block needs.
type ffnState struct {
	in         cgo.Tensor // n2
	gate, up   cgo.Tensor // [n_ff, T], packed
	mid        cgo.Tensor // act(gate) ∘ up; none when computed again for a matrix without LoRA
	hg, hu, hd []cgo.Tensor
}

// ffn is y = Wd (act(Wg x) ∘ Wu x) (Shazeer 2020, arXiv:2002.05202), act the family's. again: y is
// left out, where no norm behind it needs it.
func (g *Graph) ffn(l *Layer, x cgo.Tensor, again bool) (y cgo.Tensor, st ffnState) {
	ff := g.net.FF
	st.in = x
	if l.Gate.W.OK() {
		st.gate, st.hg = g.linear(&l.Gate, st.in, g.packed())
		st.up, st.hu = g.linear(&l.Up, st.in, g.packed())
	} else {
		var both cgo.Tensor
		both, st.hu = g.linear(&l.Up, st.in, g.packed())
		st.gate, st.up = g.g.View2D(both, ff, g.nTokens, 0), g.g.View2D(both, ff, g.nTokens, ff)
	}
	again = again && !l.FFNPostNorm.OK()
	if again && len(l.Down.Pairs) == 0 {
		return y, st // nothing would read mid, and what nothing reads is never freed
	}
	op, _ := g.gateOps()
	st.mid = g.g.Custom(op, g.packed(), ff, g.nTokens, false, cgo.OpArgs{}, st.gate, st.up)
	st.hd = g.loraDown(&l.Down, st.mid)
	if !again {
		y = g.product(&l.Down, st.mid, st.hd, cgo.F32)
	}
	return y, st
}

// ffnBack takes dy, packed, and returns dx. With a the activation and m = a(g) ∘ u:
//
//	du = dm ∘ a(g)      dg = dm ∘ u ∘ a'(g)
//
// silu'(g) = σ(g) (1 + g (1 - σ(g))); geglu_back.cpp has gelu'.
func (g *Graph) ffnBack(l *Layer, st *ffnState, dy cgo.Tensor) cgo.Tensor {
	ff := g.net.FF
	dmid := g.linearBack(&l.Down, st.mid, st.hd, dy, cgo.Tensor{}, true)
	_, op := g.gateOps()
	d := g.g.Custom(op, g.packed(), 2*ff, g.nTokens, false, cgo.OpArgs{}, st.gate, st.up, dmid)
	if !l.Gate.W.OK() {
		return g.linearBack(&l.Up, st.in, st.hu, d, cgo.Tensor{}, true)
	}
	dx := g.linearBack(&l.Gate, st.in, st.hg, g.g.View2D(d, ff, g.nTokens, 0), cgo.Tensor{}, true)
	return g.linearBack(&l.Up, st.in, st.hu, g.g.View2D(d, ff, g.nTokens, ff), dx, true)
}

// gateOps are the ops of the family's activation.
func (g *Graph) gateOps() (forward, back cgo.Op) {
	if g.net.Family.Gate == family.GELU {
		return opGeGLU, opGeGLUBack
	}
	return opSwiGLU, opSwiGLUBack
}
