package llama

import "steer/cgo"

// attentionState is what the backward pass of an attention block needs.
type attentionState struct {
	in         activation // n1
	q, k, v    cgo.Tensor // after the rotation, [heads*dim, T], [kv_heads*dim, T]
	att        cgo.Tensor // output and log-sum-exp, [heads*dim + heads, T]
	out        activation // output alone
	hq, hk, hv []cgo.Tensor
	ho         []cgo.Tensor
}

// attention is y = Wo attention(rope(Wq x), rope(Wk x), Wv x): causal within each
// sequence, query head h reading key-value head h / (heads/kv_heads).
func (g *Graph) attention(l *Layer, x cgo.Tensor) (y cgo.Tensor, st attentionState) {
	s := &g.shape
	st.in = g.pack(x, s.Embd)
	var q, k cgo.Tensor
	q, st.hq = g.linear(&l.Q, st.in)
	k, st.hk = g.linear(&l.K, st.in)
	st.v, st.hv = g.linear(&l.V, st.in)
	st.q = g.rope(q, s.Heads, false)
	st.k = g.rope(k, s.KVHeads, false)
	st.att = g.g.Custom(opAttn, cgo.F32, s.HeadDim*s.Heads+s.Heads, g.nTokens, false, g.attnArgs(), st.q, st.k, st.v, g.starts)
	st.out = g.pack(g.g.View2D(st.att, s.HeadDim*s.Heads, g.nTokens, 0), s.HeadDim*s.Heads)
	y, st.ho = g.linear(&l.O, st.out)
	return y, st
}

// attentionBack takes dy and returns dx (none if not needed). With P = softmax(scale q kᵀ),
// o = P v and δ = rowsum(do ∘ o):
//
//	dv = Pᵀ do      dS = P ∘ (do vᵀ - δ) scale      dq = dS k      dk = dSᵀ q
//
// P is computed again from q, k and the log-sum-exp (Dao et al. 2022, arXiv:2205.14135, algorithm 4).
func (g *Graph) attentionBack(l *Layer, st *attentionState, dy cgo.Tensor, needDX bool) cgo.Tensor {
	s := &g.shape
	nq, nkv := s.HeadDim*s.Heads, s.HeadDim*s.KVHeads
	do := g.linearBack(&l.O, st.out, st.ho, dy, cgo.Tensor{}, true)
	d := g.g.Custom(opAttnBack, cgo.F32, nq+2*nkv, g.nTokens, false, g.attnArgs(), do, st.q, st.k, st.v, st.att, g.starts)
	dq := g.rope(g.g.View2D(d, nq, g.nTokens, 0), s.Heads, true)
	dk := g.rope(g.g.View2D(d, nkv, g.nTokens, nq), s.KVHeads, true)
	dv := g.g.View2D(d, nkv, g.nTokens, nq+nkv)
	dx := g.linearBack(&l.Q, st.in, st.hq, dq, cgo.Tensor{}, needDX)
	dx = g.linearBack(&l.K, st.in, st.hk, dk, dx, needDX)
	return g.linearBack(&l.V, st.in, st.hv, dv, dx, needDX)
}

// rope rotates pairs of features by their token's position (Su et al. 2021); the
// backward pass of a rotation is the rotation back.
func (g *Graph) rope(x cgo.Tensor, heads int, back bool) cgo.Tensor {
	x3 := g.g.View3D(x, g.shape.HeadDim, heads)
	return g.g.Flat(g.g.Rope(x3, g.pos, g.w.RopeFreqs, g.shape.Rope, back))
}

func (g *Graph) attnArgs() cgo.OpArgs {
	return cgo.OpArgs{
		F: [4]float32{g.shape.AttnScale},
		I: [6]int32{int32(g.shape.HeadDim), int32(g.shape.Heads), int32(g.shape.KVHeads)},
	}
}
