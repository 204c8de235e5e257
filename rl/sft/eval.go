package sft

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/ggml/lm"
	"steer/rl/train"
)

// Eval is what held-out examples say of a model.
type Eval struct {
	// Loss is the mean of -log p over the counted tokens, in nats.
	Loss float64 `json:"loss"`
	// Perplexity is exp(Loss).
	Perplexity float64 `json:"perplexity"`
	// Accuracy is the share of counted tokens that are the model's first choice.
	Accuracy float64 `json:"token_accuracy"`
	// Tokens is the number of counted tokens.
	Tokens int64 `json:"tokens"`
}

// evaluate runs items forward without dropout, limit tokens at a time. read is told how many of
// their sequences are through, after each part; its error ends it.
func evaluate(
	ctx context.Context, e lm.Evaluator, items []train.Item, limit int, read func(sequences int) error,
) (Eval, error) {
	var sum float64
	var right, n int64
	through := 0
	for _, part := range train.MicroByTokens(slices.Concat(items...), limit) {
		out, err := e.Forward(ctx, part, lm.Options{Greedy: true})
		if err != nil {
			return Eval{}, fmt.Errorf("evaluation: %w", err)
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
			return Eval{}, err
		}
	}
	loss := sum / float64(n)
	if math.IsNaN(loss) {
		return Eval{}, fmt.Errorf("evaluation: loss is NaN: %w", train.ErrDiverged)
	}
	return Eval{Loss: loss, Perplexity: math.Exp(loss), Accuracy: float64(right) / float64(n), Tokens: n}, nil
}

// String says it in words.
func (e Eval) String() string {
	return fmt.Sprintf("held-out loss %.4f, perplexity %.3f, token accuracy %.4f", e.Loss, e.Perplexity, e.Accuracy)
}

// metrics gives an evaluation the names it is logged under.
func (e Eval) metrics() map[string]float64 {
	return map[string]float64{
		"eval_loss": e.Loss, "eval_perplexity": e.Perplexity, "eval_token_accuracy": e.Accuracy,
	}
}
