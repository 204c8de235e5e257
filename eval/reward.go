package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/ggml/seam"
)

// Exchange is what a reward model judges: an answer to a prompt, or, with an empty
// prompt, a text by itself.
type Exchange struct {
	Prompt   string
	Response string
	// Tokens is prompt and response as the policy saw and made them; nil where the
	// exchange never was tokens.
	Tokens []int32
}

// Rewarder is a reward model: one raw score an exchange, higher is better.
type Rewarder interface {
	Score(ctx context.Context, exchanges []Exchange) ([]float64, error)
}

// Reward is a named reward model. The normalised score is (raw - Mean) / Std; Std 0
// means that it has no normalisation.
type Reward struct {
	Name string
	Rewarder
	Mean, Std float64
}

// HeadRewarder reads the scalar head of an evaluator at the last token.
type HeadRewarder struct {
	Model seam.Evaluator
	// Encode turns an exchange into tokens; nil: its Tokens.
	Encode func(Exchange) ([]int32, error)
	// MaxLength bounds the tokens; a longer text is cut from the left, so that the
	// token that is scored stays the last one. 0 means no bound.
	MaxLength   int
	BatchTokens int // bound of a batch
	// OnCut is told how many tokens a text lost, if set.
	OnCut func(exchange, tokens int)
}

// TextEncoder encodes prompt and response as one text with the given BOS rule.
func TextEncoder(tok seam.Tokenizer, mode BOSMode) (func(Exchange) ([]int32, error), error) {
	enc, err := NewEncoder(tok, mode)
	if err != nil {
		return nil, err
	}
	return func(x Exchange) ([]int32, error) { return enc.Text(x.Prompt + x.Response) }, nil
}

// Score implements [Rewarder].
func (h *HeadRewarder) Score(ctx context.Context, exchanges []Exchange) ([]float64, error) {
	seqs := make([]seam.Sequence, len(exchanges))
	for i, x := range exchanges {
		ids := x.Tokens
		if h.Encode != nil {
			var err error
			if ids, err = h.Encode(x); err != nil {
				return nil, fmt.Errorf("exchange %d: %w", i, err)
			}
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("exchange %d: no token to score", i)
		}
		if cut := len(ids) - h.MaxLength; h.MaxLength > 0 && cut > 0 {
			ids = ids[cut:]
			if h.OnCut != nil {
				h.OnCut(i, cut)
			}
		}
		seqs[i] = seam.Sequence{Tokens: slices.Clone(ids), Heads: []int32{int32(len(ids) - 1)}}
	}
	scores := make([]float64, len(exchanges))
	for _, batch := range batches(seqs, max(1, h.BatchTokens)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := make([]seam.Sequence, len(batch))
		for k, i := range batch {
			part[k] = seqs[i]
		}
		out, err := h.Model.Forward(ctx, part, seam.Options{})
		if err != nil {
			return nil, err
		}
		if len(out.Heads) != len(part) {
			return nil, fmt.Errorf("evaluator answered %d head rows to %d sequences: has the model a head?", len(out.Heads), len(part))
		}
		for k, i := range batch {
			if len(out.Heads[k]) != 1 {
				return nil, fmt.Errorf("exchange %d: %d head values, want 1: has the model a head?", i, len(out.Heads[k]))
			}
			scores[i] = float64(out.Heads[k][0])
		}
	}
	return scores, finite(scores)
}

func finite(scores []float64) error {
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("exchange %d: score %g: %w", i, s, ErrNotFinite)
		}
	}
	return nil
}

// score asks a reward model and checks the answer.
func (r Reward) score(ctx context.Context, exchanges []Exchange) ([]float64, error) {
	scores, err := r.Score(ctx, exchanges)
	if err == nil && len(scores) != len(exchanges) {
		err = fmt.Errorf("%d scores for %d exchanges", len(scores), len(exchanges))
	}
	if err == nil {
		err = finite(scores)
	}
	if err != nil {
		return nil, fmt.Errorf("reward %q: %w", r.Name, err)
	}
	return scores, nil
}
