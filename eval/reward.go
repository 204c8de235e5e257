package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/ggml/seam"
)

// Exchange is what a reward model judges: a response to a prompt, or, without a
// prompt, a text by itself.
type Exchange struct {
	PromptText, ResponseText string // the response without special tokens
	// Prompt and Response are the same as the policy saw and made them; nil where
	// the exchange never was tokens.
	Prompt, Response []int32
	// Ended: a stop token or string ended the response, not its length.
	Ended bool
}

// Rewarder is a reward model: one raw score an exchange, higher is better.
type Rewarder interface {
	Score(ctx context.Context, exchanges []Exchange) ([]float32, error)
}

// Reward is a named reward model. The normalised score is (raw - Mean) / Std; Std 0
// means that it has no normalisation.
type Reward struct {
	Name string
	// ID is what the scores depend on; see [Subject].
	ID string
	Rewarder
	Mean, Std float64
}

// HeadRewarder reads the scalar head of an evaluator at the last token.
type HeadRewarder struct {
	Model seam.Evaluator
	// Encode turns an exchange into tokens; nil: its Prompt and Response.
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
	return func(x Exchange) ([]int32, error) { return enc.Text(x.PromptText + x.ResponseText) }, nil
}

// Score implements [Rewarder].
func (h *HeadRewarder) Score(ctx context.Context, exchanges []Exchange) ([]float32, error) {
	seqs := make([]seam.Sequence, len(exchanges))
	for i, x := range exchanges {
		ids := slices.Concat(x.Prompt, x.Response)
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
		seqs[i] = seam.Sequence{Tokens: ids, Heads: []int32{int32(len(ids) - 1)}}
	}
	scores := make([]float32, len(exchanges))
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
			scores[i] = out.Heads[k][0]
		}
	}
	return scores, nil
}

// score asks a reward model and checks the answer.
func (r Reward) score(ctx context.Context, exchanges []Exchange) ([]float64, error) {
	raw, err := r.Score(ctx, exchanges)
	if err != nil {
		return nil, fmt.Errorf("reward %q: %w", r.Name, err)
	}
	if len(raw) != len(exchanges) {
		return nil, fmt.Errorf("reward %q: %d scores for %d exchanges", r.Name, len(raw), len(exchanges))
	}
	scores := make([]float64, len(raw))
	for i, s := range raw {
		scores[i] = float64(s)
		if math.IsNaN(scores[i]) || math.IsInf(scores[i], 0) {
			return nil, fmt.Errorf("reward %q: exchange %d: score %g: %w", r.Name, i, s, ErrNotFinite)
		}
	}
	return scores, nil
}
