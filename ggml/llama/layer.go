package llama

import "steer/cgo"

// layerState is what the backward pass of a layer needs.
type layerState struct {
	x, r cgo.Tensor // input, and the residual stream between the two blocks
	attn attentionState
	ffn  ffnState
	out  cgo.Tensor // none when computed again
}

// layer is r = x + attention(norm(x)); out = r + ffn(norm(r)).
//
// again: computed a second time for its backward pass alone, which reads all but the
// output: the last matrix is left out.
func (g *Graph) layer(l *Layer, x cgo.Tensor, again bool) *layerState {
	st := &layerState{x: x}
	var y cgo.Tensor
	y, st.attn = g.attention(l, g.norm(x, l.AttnNorm, g.packed()))
	st.r = g.g.Add(x, y)
	y, st.ffn = g.ffn(l, g.norm(st.r, l.FFNNorm, g.packed()), again)
	if !again {
		st.out = g.g.Add(st.r, y)
	}
	return st
}

// layerBack takes dout and returns dx, which overwrites dout.
//
//	dr = dout + normBack(ffnBack(dout))      dx = dr + normBack(attentionBack(dr))
func (g *Graph) layerBack(l *Layer, st *layerState, dout cgo.Tensor, needDX bool) cgo.Tensor {
	dn := g.ffnBack(l, &st.ffn, dout)
	dr := g.normBackInto(dout, st.r, l.FFNNorm, dn)
	dn = g.attentionBack(l, &st.attn, dr, needDX)
	if !needDX {
		return cgo.Tensor{}
	}
	return g.normBackInto(dr, st.x, l.AttnNorm, dn)
}
