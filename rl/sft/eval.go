package sft

import (
	"context"
	"fmt"
	"math"

	"steer/ggml/lm"
	"steer/internal/run"
	"steer/rl/train"
)

// evaluate runs places forward without dropout, limit tokens at a time. told is how many of them
// are done, after each part; its error ends it.
func evaluate(
	ctx context.Context, e lm.Evaluator, places []place, limit int, told func(done int) error,
) (run.TextLoss, error) {
	var flat []lm.Sequence
	upTo := make([]int, 0, len(places)) // sequences of the places up to each
	for _, p := range places {
		flat = append(flat, p...)
		upTo = append(upTo, len(flat))
	}
	read, done := 0, 0
	var sum float64
	var right, n int64
	for _, part := range train.MicroByTokens(flat, limit) {
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
		for read += len(part); done < len(places) && upTo[done] <= read; done++ {
		}
		if err := told(done); err != nil {
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

// metricsOf gives an evaluation the names it is logged under.
func metricsOf(e run.TextLoss) map[string]float64 {
	return map[string]float64{
		"eval_loss": e.Loss, "eval_perplexity": e.Perplexity, "eval_token_accuracy": e.Accuracy,
	}
}
