package llama

import "steer/cgo"

// attentionState is what the backward pass of an attention block needs.
type attentionState struct {
	in         cgo.Tensor // n1
	q, k, v    cgo.Tensor // after the rotation, packed, [heads*dim, T], [kv_heads*dim, T]
	att        cgo.Tensor // output and log-sum-exp, [heads*dim + heads, T]
	out        cgo.Tensor // output alone, packed
	hq, hk, hv []cgo.Tensor
	ho         []cgo.Tensor
}

// attention is y = Wo attention(rope(Wq x), rope(Wk x), Wv x): causal within each
// sequence (a segment and what it goes on from), query head h reading key-value head h / (heads/kv_heads).
func (g *Graph) attention(l *Layer, x cgo.Tensor) (y cgo.Tensor, st attentionState) {
	s := &g.shape
	st.in = x
	var q, k cgo.Tensor
	q, st.hq = g.linear(&l.Q, st.in, cgo.F32) // rounded once, after the rotation
	k, st.hk = g.linear(&l.K, st.in, cgo.F32)
	st.v, st.hv = g.linear(&l.V, st.in, g.packed())
	st.q = g.rope(q, s.Heads, g.packed(), false)
	st.k = g.rope(k, s.KVHeads, g.packed(), false)
	operands := []cgo.Tensor{st.q, st.k, st.v, g.starts}
	if g.parents.OK() {
		operands = append(operands, g.parents)
	}
	st.att = g.g.Custom(opAttn, cgo.F32, s.HeadDim*s.Heads+s.Heads, g.nTokens, false, g.attnArgs(), operands...)
	st.out = g.pack(g.g.View2D(st.att, s.HeadDim*s.Heads, g.nTokens, 0), s.HeadDim*s.Heads)
	y, st.ho = g.linear(&l.O, st.out, cgo.F32)
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
	do := g.linearBack(&l.O, st.out, st.ho, g.pack(dy, s.Embd), cgo.Tensor{}, true)
	d := g.g.Custom(opAttnBack, cgo.F32, nq+2*nkv, g.nTokens, false, g.attnArgs(), do, st.q, st.k, st.v, st.att,
		g.starts)
	dq := g.rope(g.g.View2D(d, nq, g.nTokens, 0), s.Heads, g.packed(), true)
	dk := g.rope(g.g.View2D(d, nkv, g.nTokens, nq), s.KVHeads, g.packed(), true)
	dv := g.pack(g.g.View2D(d, nkv, g.nTokens, nq+nkv), nkv)
	dx := g.linearBack(&l.Q, st.in, st.hq, dq, cgo.Tensor{}, needDX)
	dx = g.linearBack(&l.K, st.in, st.hk, dk, dx, needDX)
	return g.linearBack(&l.V, st.in, st.hv, dv, dx, needDX)
}

// ropeTable is the cosines and sines of every token's rotation, [head_dim, T].
func (g *Graph) ropeTable() cgo.Tensor {
	r := &g.shape.Rope
	operands := []cgo.Tensor{g.pos}
	if g.w.RopeFreqs.OK() {
		operands = append(operands, g.w.RopeFreqs)
	}
	args := cgo.OpArgs{F: [4]float32{r.FreqBase, r.FreqScale, r.Magnitude}}
	return g.g.Custom(opRopeTable, cgo.F32, g.shape.HeadDim, g.nTokens, false, args, operands...)
}

// rope rotates pairs of features by their token's position (Su et al. 2021); the
// backward pass of a rotation is the rotation back.
func (g *Graph) rope(x cgo.Tensor, heads int, typ cgo.Type, back bool) cgo.Tensor {
	args := cgo.OpArgs{I: [6]int32{int32(g.shape.HeadDim), int32(g.shape.Rope.Mode), b2i(back)}}
	return g.g.Custom(opRope, typ, g.shape.HeadDim*heads, g.nTokens, false, args, x, g.rotations)
}

func (g *Graph) attnArgs() cgo.OpArgs {
	return cgo.OpArgs{
		F: [4]float32{g.shape.AttnScale},
		I: [6]int32{int32(g.shape.HeadDim), int32(g.shape.Heads), int32(g.shape.KVHeads), b2i(g.opt.BF16)},
	}
}
