package sft

import (
	"steer/ggml/lm"
	"steer/rl/train"
)

// count is the number of counted tokens of sequences, the N of the loss.
func count(items []train.Item) (n int64) {
	for _, item := range items {
		for _, s := range item {
			n += int64(len(s.Targets))
		}
	}
	return n
}

// nll is the loss's sum and gradient over one micro-batch of a mini-batch with n
// counted tokens:
//
//	L = -1/n sum logp,  dL/dlogp = -1/n
//
// The sum is added to total token by token, in the order of the mini-batch, so that
// its last bit does not depend on the split either.
func nll(logprobs [][]float32, n int64, total *float64) lm.Gradient {
	g := lm.Gradient{Logprobs: make([][]float32, len(logprobs))}
	weight := float32(-1 / float64(n))
	for s, row := range logprobs {
		g.Logprobs[s] = make([]float32, len(row))
		for i, lp := range row {
			*total -= float64(lp)
			g.Logprobs[s][i] = weight
		}
	}
	return g
}
