package transformer

import "steer/cgo"

// attentionState is what the backward pass of an attention block needs.
type attentionState struct {
	in             cgo.Tensor // n1
	q0, k0         cgo.Tensor // before their norms, f32; none without
	q, k, v        cgo.Tensor // after the rotation, packed, [heads*dim, T], [kv_heads*dim, T]
	att            cgo.Tensor // output and log-sum-exp, [heads*dim + heads, T]
	out            cgo.Tensor // output alone, packed
	hqkv           []cgo.Tensor
	hq, hk, hv, ho []cgo.Tensor
}

// attention is y = Wo attention(rope(norm(Wq x)), rope(norm(Wk x)), Wv x): causal within each
// sequence (a segment and what it goes on from), query head h reading key-value head h / (heads/kv_heads).
// Norms, biases and the window are those of the family; a layer without RoPE leaves it out.
func (g *Graph) attention(l *Layer, x cgo.Tensor) (y cgo.Tensor, st attentionState) {
	n := g.net
	nq, nkv := n.HeadDim*n.Heads, n.HeadDim*n.KVHeads
	st.in = x
	var q, k cgo.Tensor // rounded once, after the rotation
	if l.QKV.W.OK() {
		var qkv cgo.Tensor
		qkv, st.hqkv = g.linear(&l.QKV, st.in, cgo.F32)
		q, k = g.g.View2D(qkv, nq, g.nTokens, 0), g.g.View2D(qkv, nkv, g.nTokens, nq)
		st.v = g.pack(g.g.View2D(qkv, nkv, g.nTokens, nq+nkv), nkv)
	} else {
		q, st.hq = g.linear(&l.Q, st.in, cgo.F32)
		k, st.hk = g.linear(&l.K, st.in, cgo.F32)
		st.v, st.hv = g.linear(&l.V, st.in, g.packed())
	}
	st.q, st.q0 = g.turned(l, q, l.QNorm, n.Heads, true)
	st.k, st.k0 = g.turned(l, k, l.KNorm, n.KVHeads, false)
	operands := []cgo.Tensor{st.q, st.k, st.v, g.starts}
	if g.parents.OK() {
		operands = append(operands, g.parents)
	}
	st.att = g.g.Custom(opAttn, cgo.F32, nq+n.Heads, g.nTokens, false, g.attnArgs(l), operands...)
	st.out = g.pack(g.g.View2D(st.att, nq, g.nTokens, 0), nq)
	y, st.ho = g.linear(&l.O, st.out, cgo.F32)
	return y, st
}

// turned is rope(norm(x)), packed, and x where the norm's backward pass needs it.
func (g *Graph) turned(l *Layer, x, w cgo.Tensor, heads int, query bool) (y, before cgo.Tensor) {
	if w.OK() {
		before = x
		x = g.headNorm(x, w, heads)
	}
	if t, ok := g.turnsOf(l, query); ok {
		return g.rope(x, heads, t, g.packed(), false), before
	}
	return g.pack(x, g.net.HeadDim*heads), before
}

// attentionBack takes dy, packed, and returns dx (none if not needed). With s the scores,
// P = softmax(s), o = P v, δ = rowsum(do ∘ o):
//
//	dv = Pᵀ do      dS = P ∘ (do vᵀ - δ) scale      dq = dS k      dk = dSᵀ q
//
// and dS ∘ (1 - (s/cap)²) where scores are capped.
// P is computed again from q, k and the log-sum-exp (Dao et al. 2022, arXiv:2205.14135, algorithm 4).
func (g *Graph) attentionBack(l *Layer, st *attentionState, dy cgo.Tensor, needDX bool) cgo.Tensor {
	n := g.net
	nq, nkv := n.HeadDim*n.Heads, n.HeadDim*n.KVHeads
	do := g.linearBack(&l.O, st.out, st.ho, dy, cgo.Tensor{}, true)
	d := g.g.Custom(opAttnBack, cgo.F32, nq+2*nkv, g.nTokens, false, g.attnArgs(l), do, st.q, st.k, st.v, st.att,
		g.starts)
	dq, dk := g.g.View2D(d, nq, g.nTokens, 0), g.g.View2D(d, nkv, g.nTokens, nq)
	if l.QKV.W.OK() {
		g.turnedBackInto(l, dq, n.Heads, true)
		g.turnedBackInto(l, dk, n.KVHeads, false)
		return g.linearBack(&l.QKV, st.in, st.hqkv, g.pack(d, nq+2*nkv), cgo.Tensor{}, needDX)
	}
	dq = g.turnedBack(l, dq, st.q0, l.QNorm, n.Heads, true)
	dk = g.turnedBack(l, dk, st.k0, l.KNorm, n.KVHeads, false)
	dv := g.pack(g.g.View2D(d, nkv, g.nTokens, nq+nkv), nkv)
	dx := g.linearBack(&l.Q, st.in, st.hq, dq, cgo.Tensor{}, needDX)
	dx = g.linearBack(&l.K, st.in, st.hk, dk, dx, needDX)
	return g.linearBack(&l.V, st.in, st.hv, dv, dx, needDX)
}

// turnedBack takes d rope(norm(x)) and returns dx, packed.
func (g *Graph) turnedBack(l *Layer, d, before, w cgo.Tensor, heads int, query bool) cgo.Tensor {
	t, turns := g.turnsOf(l, query)
	switch {
	case turns && !w.OK():
		return g.rope(d, heads, t, g.packed(), true)
	case turns:
		d = g.rope(d, heads, t, cgo.F32, true)
	}
	if w.OK() {
		d = g.headNormBack(before, w, d, heads)
	}
	return g.pack(d, g.net.HeadDim*heads)
}

// turnedBackInto is turnedBack without norm, in place.
func (g *Graph) turnedBackInto(l *Layer, d cgo.Tensor, heads int, query bool) {
	if t, ok := g.turnsOf(l, query); ok {
		g.ropeBackInto(d, heads, t)
	}
}

func (g *Graph) attnArgs(l *Layer) cgo.OpArgs {
	n := g.net
	return cgo.OpArgs{
		F: [4]float32{n.AttnScale, n.AttnCap},
		I: [6]int32{int32(n.HeadDim), int32(n.Heads), int32(n.KVHeads), b2i(g.opt.BF16), int32(l.Window)},
	}
}
