package rewards

import (
	"context"
	"fmt"
	"math"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/train"
)

// Scorer gives scores to token sequences: the scalar head at the last token, normalised
// as the head says.
type Scorer struct {
	// Model evaluates with the reward adapter and its head on.
	Model lm.Evaluator
	// Mean and Std normalise: (raw - Mean)/Std. Std 0 leaves raw scores.
	Mean, Std float32
	// BatchTokens bounds a forward pass; 0 takes one sequence at a time.
	BatchTokens int
}

// NewScorer gives a scorer with the normalisation of a head.
func NewScorer(model lm.Evaluator, head *adapter.Head, batchTokens int) (*Scorer, error) {
	if model == nil {
		return nil, fmt.Errorf("rewards: no model to score with")
	}
	if head == nil {
		return nil, fmt.Errorf("rewards: the adapter has no scalar head: it is not a reward model; name one made by " +
			"steer reward")
	}
	return &Scorer{Model: model, Mean: head.Mean, Std: head.Std, BatchTokens: batchTokens}, nil
}

// Score gives the normalised score of every sequence.
func (s *Scorer) Score(ctx context.Context, sequences [][]int32) ([]float32, error) {
	out, err := s.Raw(ctx, sequences)
	if err != nil || s.Std == 0 {
		return out, err
	}
	for i := range out {
		out[i] = (out[i] - s.Mean) / s.Std
	}
	return out, nil
}

// Raw gives the head's output without normalisation.
func (s *Scorer) Raw(ctx context.Context, sequences [][]int32) ([]float32, error) {
	batch := make([]lm.Sequence, len(sequences))
	for i, ids := range sequences {
		if len(ids) == 0 {
			return nil, fmt.Errorf("rewards: sequence %d is empty: there is no token to read a score at", i)
		}
		batch[i] = scored(ids)
	}
	got, err := train.Evaluate(ctx, s.Model, batch, s.BatchTokens, lm.Options{})
	if err != nil {
		return nil, fmt.Errorf("rewards: scoring: %w", err)
	}
	out := make([]float32, len(batch))
	for i := range out {
		if len(got.Heads) != len(batch) || len(got.Heads[i]) != 1 {
			return nil, fmt.Errorf("rewards: scoring: the model returned no score for sequence %d", i)
		}
		out[i] = got.Heads[i][0]
		if math.IsNaN(float64(out[i])) || math.IsInf(float64(out[i]), 0) {
			return nil, fmt.Errorf("rewards: scoring: sequence %d of %d tokens has score %v: the adapter is damaged "+
				"or its training diverged", i, len(sequences[i]), out[i])
		}
	}
	return out, nil
}

// scored is a sequence whose head is read at its last token.
func scored(ids []int32) lm.Sequence {
	return lm.Sequence{Tokens: ids, Heads: []int32{int32(len(ids) - 1)}}
}
