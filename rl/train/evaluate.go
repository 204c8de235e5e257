package train

import (
	"context"

	"steer/ggml/lm"
)

// Evaluate runs sequences forward without gradient in micro-batches of at most limit
// tokens (0: one sequence at a time) and joins the outputs in order.
func Evaluate(ctx context.Context, e lm.Evaluator, seqs []lm.Sequence, limit int, opt lm.Options) (*lm.Output, error) {
	opt.Gradient = false
	all := &lm.Output{}
	for _, part := range MicroByTokens(seqs, limit) {
		out, err := e.Forward(ctx, part, opt)
		if err != nil {
			return nil, err
		}
		all.Logprobs = append(all.Logprobs, out.Logprobs...)
		all.Entropy = append(all.Entropy, out.Entropy...)
		all.Greedy = append(all.Greedy, out.Greedy...)
		all.Heads = append(all.Heads, out.Heads...)
	}
	return all, nil
}
