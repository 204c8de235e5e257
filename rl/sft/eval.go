package sft

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/ggml/lm"
	"steer/rl/run"
	"steer/rl/train"
)

// evaluate runs items forward without dropout, limit tokens at a time. read is told how many of
// their sequences are through, after each part; its error ends it.
func evaluate(
	ctx context.Context, e lm.Evaluator, items []train.Item, limit int, read func(sequences int) error,
) (run.TextLoss, error) {
	var sum float64
	var right, n int64
	through := 0
	for _, part := range train.MicroByTokens(slices.Concat(items...), limit) {
		out, err := e.Forward(ctx, part, lm.Options{Greedy: true})
		if err != nil {
			return run.TextLoss{}, fmt.Errorf("evaluation: %w", err)
		}
		for s, row := range out.Logprobs {
			for i, lp := range row {
				sum -= float64(lp)
				n++
				if out.Greedy[s][i] {
					right++
				}
			}
		}
		through += len(part)
		if err := read(through); err != nil {
			return run.TextLoss{}, err
		}
	}
	loss := sum / float64(n)
	if math.IsNaN(loss) {
		return run.TextLoss{}, fmt.Errorf("evaluation: loss is NaN: %w", train.ErrDiverged)
	}
	return run.TextLoss{
		Loss: loss, Perplexity: math.Exp(loss), Accuracy: float64(right) / float64(n), Tokens: n,
	}, nil
}

// textLoss says an evaluation in words.
func textLoss(e run.TextLoss) string {
	return fmt.Sprintf("held-out loss %.4f, perplexity %.3f, token accuracy %.4f", e.Loss, e.Perplexity, e.Accuracy)
}

// metricsOf gives an evaluation the names it is logged under.
func metricsOf(e run.TextLoss) map[string]float64 {
	return map[string]float64{
		"eval_loss": e.Loss, "eval_perplexity": e.Perplexity, "eval_token_accuracy": e.Accuracy,
	}
}
