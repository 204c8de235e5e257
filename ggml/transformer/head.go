package transformer

import "steer/cgo"

// readHeads computes, from the normed hidden states h:
//
//	logprob_r = l_t - logsumexp(l),  l = scale cap tanh(Wout h_r / cap) / temperature,  t the target of row r
//	entropy_r = logsumexp(l) - Σ p l
//	head_p    = w·h_p + b
//
// The logits of more than a block of rows never exist.
func (g *Graph) readHeads(hidden cgo.Tensor) {
	if g.rows.OK() {
		rows := int(g.rows.Shape()[0])
		if g.opt.Gradient && !g.opt.EntropyGrad && g.lowestTrainable() < len(g.w.Layers) {
			g.direction = g.g.Custom(opHeadDirection, cgo.F32, 4+g.net.Embd, rows, false, g.headArgs(), g.w.Output,
				hidden, g.rows, g.targets)
			g.logprob = g.g.Cont(g.g.View2D(g.direction, 4, rows, 0))
		} else {
			g.logprob = g.g.Custom(opHeadLogprob, cgo.F32, 4, rows, false, g.headArgs(), g.w.Output, hidden, g.rows,
				g.targets)
		}
		g.g.Keep(g.logprob)
	}
	if g.heads.OK() {
		g.head = g.g.Custom(opScalarHead, cgo.F32, int(g.heads.Shape()[0]), 1, false, cgo.OpArgs{}, g.w.Head.W,
			g.w.Head.B, hidden, g.heads)
		g.g.Keep(g.head)
	}
}

// headsBack adds the scalar head's gradients and, if needed, returns dhidden [n_embd, T]:
//
//	dl = (gl (onehot_t - p) - ge p ∘ (log p + entropy)) / temperature,  dhidden_r = Woutᵀ dl
//	dw += Σ g_p h_p      db += Σ g_p      dhidden_p += g_p w
//
// with gl, ge and g_p the loss's gradients with respect to logprob, entropy and head.
// Without ge, dhidden_r = gl d logprob/d h_r, and the forward pass has summed that direction.
func (g *Graph) headsBack(hidden cgo.Tensor, needHidden bool) cgo.Tensor {
	head := g.w.Head
	if g.heads.OK() && head.GradW.OK() {
		g.g.Custom(opScalarHeadGrad, cgo.F32, g.net.Embd, 1, true, cgo.OpArgs{}, head.GradW, hidden, g.heads,
			g.gradHead)
		if head.GradB.OK() {
			g.g.Custom(opScalarHeadGradBias, cgo.F32, 1, 1, true, cgo.OpArgs{}, head.GradB, g.gradHead)
		}
	}
	if !needHidden {
		return cgo.Tensor{}
	}
	var dhidden cgo.Tensor
	if g.heads.OK() {
		dhidden = g.g.Custom(opScalarHeadBack, cgo.F32, g.net.Embd, g.nTokens, false, cgo.OpArgs{I: [6]int32{1}},
			head.W, hidden, g.heads, g.gradHead)
	} else { // zeros: i[0] = 0 reads none of the operands but the shape
		dhidden = g.g.Custom(opScalarHeadBack, cgo.F32, g.net.Embd, g.nTokens, false, cgo.OpArgs{}, g.w.OutputNorm,
			hidden, g.rows, g.gradLogprob)
	}
	switch {
	case g.direction.OK():
		dhidden = g.g.Custom(opHeadDirectionBack, cgo.F32, g.net.Embd, g.nTokens, true, cgo.OpArgs{}, dhidden,
			g.direction, g.rows, g.gradLogprob)
	case g.rows.OK():
		dhidden = g.g.Custom(opHeadLogprobBack, cgo.F32, g.net.Embd, g.nTokens, true, g.headArgs(),
			dhidden, g.w.Output, hidden, g.rows, g.targets, g.logprob, g.gradLogprob)
	}
	return dhidden
}

func (g *Graph) headArgs() cgo.OpArgs {
	return cgo.OpArgs{F: [4]float32{g.net.LogitScale / g.opt.Temperature, g.net.LogitCap},
		I: [6]int32{b2i(g.opt.Entropy), b2i(g.opt.BF16)}}
}

func b2i(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
