package transformer

import "steer/cgo"

// layerState is what the backward pass of a layer needs.
type layerState struct {
	x, r   cgo.Tensor // input, and the residual stream between the two blocks
	ya, yf cgo.Tensor // the blocks' results where a norm follows them
	attn   attentionState
	ffn    ffnState
	out    cgo.Tensor // none when computed again
}

// layer is, with the norms that the family has,
//
//	r = x + norm(attention(norm(x)))      out = r + norm(ffn(norm(r)))
//
// again: computed a second time for its backward pass alone, which reads all but the
// output: the last matrix is left out.
func (g *Graph) layer(l *Layer, x cgo.Tensor, again bool) *layerState {
	st := &layerState{x: x}
	var y cgo.Tensor
	y, st.attn = g.attention(l, g.normed(x, l.AttnNorm))
	st.r, st.ya = g.residual(x, y, l.AttnPostNorm)
	y, st.ffn = g.ffn(l, g.normed(st.r, l.FFNNorm), again)
	switch {
	case !again:
		st.out, st.yf = g.residual(st.r, y, l.FFNPostNorm)
	case l.FFNPostNorm.OK():
		st.yf = y
	}
	return st
}

// normed is norm(x), packed; x itself in a family without norms before its blocks.
func (g *Graph) normed(x, w cgo.Tensor) cgo.Tensor {
	if !w.OK() {
		return g.pack(x, g.net.Embd)
	}
	return g.norm(x, w, g.packed())
}

// residual is x + s norm(y), and y where there is a norm.
func (g *Graph) residual(x, y, w cgo.Tensor) (out, before cgo.Tensor) {
	if w.OK() {
		before = y
		y = g.norm(y, w, cgo.F32)
	}
	return g.g.Add(x, g.scaled(y, g.net.ResidualScale, cgo.F32)), before
}

// residualBack takes dout of residual and returns dy, packed.
func (g *Graph) residualBack(dout, before, w cgo.Tensor) cgo.Tensor {
	s := g.net.ResidualScale
	if w.OK() {
		return g.pack(g.normBack(before, w, g.scaled(dout, s, cgo.F32)), g.net.Embd)
	}
	if s != 1 {
		return g.scaled(dout, s, g.packed())
	}
	return g.pack(dout, g.net.Embd)
}

// scaled is s x; x itself if s is 1.
func (g *Graph) scaled(x cgo.Tensor, s float32, typ cgo.Type) cgo.Tensor {
	if s == 1 {
		return x
	}
	return g.g.Custom(opScale, typ, g.net.Embd, g.nTokens, false, cgo.OpArgs{F: [4]float32{s}}, x)
}

// layerBack takes dout and returns dx, which overwrites dout.
//
//	dr = dout + normBack(ffnBack(normBack(dout)))      dx = dr + normBack(attentionBack(normBack(dr)))
func (g *Graph) layerBack(l *Layer, st *layerState, dout cgo.Tensor, needDX bool) cgo.Tensor {
	dn := g.ffnBack(l, &st.ffn, g.residualBack(dout, st.yf, l.FFNPostNorm))
	dr := g.normedBack(dout, st.r, l.FFNNorm, dn)
	dn = g.attentionBack(l, &st.attn, g.residualBack(dr, st.ya, l.AttnPostNorm), needDX)
	if !needDX {
		return cgo.Tensor{}
	}
	return g.normedBack(dr, st.x, l.AttnNorm, dn)
}

// normedBack adds the gradient of normed to dx, whose place it takes.
func (g *Graph) normedBack(dx, x, w, dy cgo.Tensor) cgo.Tensor {
	if !w.OK() {
		return g.g.Add(dx, dy)
	}
	return g.normBackInto(dx, x, w, dy)
}
