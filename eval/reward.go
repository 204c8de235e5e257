package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"steer/ggml/lm"
	"steer/internal/stats"
	"steer/rl/data"
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
	// Turns is the exchange as a conversation that ends with the assistant's turn. Where
	// it is set, a reward model puts the exchange before itself in the form it was
	// trained on: one of the chat form renders Turns with its template, one of the plain
	// form reads PromptText+ResponseText.
	Turns []data.Message
	// PromptTurns is the conversation that Prompt renders, where it was one. A reward model
	// trained in another template than the answer was asked for in reads it in its own.
	PromptTurns []data.Message
}

// Rewarder is a reward model: one raw score an exchange, higher is better.
type Rewarder interface {
	Score(ctx context.Context, exchanges []Exchange) ([]float32, error)
}

// CuttingRewarder is a [Rewarder] that says how many tokens of each exchange it had to
// leave out to fit its length.
type CuttingRewarder interface {
	Rewarder
	ScoreCut(ctx context.Context, exchanges []Exchange) (scores []float32, cut []int, err error)
}

// Reward is a named reward model. The normalised score is (raw - Mean) / Std; Std 0
// means that it has no normalisation.
type Reward struct {
	Name string
	// ID is what the scores depend on; see [Subject].
	ID string
	Rewarder
	Mean, Std float64
	// Form says, for the record, how texts are put before it (chat or plain).
	Form string
	// Classifier: the score is the log-odds of "harmless" of a statement by itself, not a
	// reward that is fixed up to a constant.
	Classifier bool
}

// HeadRewarder reads the scalar head of an evaluator at the last token.
type HeadRewarder struct {
	Model lm.Evaluator
	// Encode turns an exchange into tokens; nil: its Prompt and Response.
	Encode func(Exchange) ([]int32, error)
	// MaxLength bounds the tokens; a longer text is cut from the left, so that the
	// token that is scored stays the last one. 0 means no bound.
	MaxLength   int
	BatchTokens int // bound of a batch
}

// TextEncoder encodes prompt and response as one text with the given BOS rule.
func TextEncoder(tok lm.Tokenizer, mode BOSMode) (func(Exchange) ([]int32, error), error) {
	enc, err := NewEncoder(tok, mode)
	if err != nil {
		return nil, err
	}
	return func(x Exchange) ([]int32, error) { return enc.Text(x.PromptText + x.ResponseText) }, nil
}

// Score implements [Rewarder].
func (h *HeadRewarder) Score(ctx context.Context, exchanges []Exchange) ([]float32, error) {
	scores, _, err := h.ScoreCut(ctx, exchanges)
	return scores, err
}

// ScoreCut implements [CuttingRewarder].
func (h *HeadRewarder) ScoreCut(ctx context.Context, exchanges []Exchange) (scores []float32, cut []int, err error) {
	seqs := make([]lm.Sequence, len(exchanges))
	cut = make([]int, len(exchanges))
	for i, x := range exchanges {
		ids := slices.Concat(x.Prompt, x.Response)
		if h.Encode != nil {
			var err error
			if ids, err = h.Encode(x); err != nil {
				return nil, nil, fmt.Errorf("exchange %d: %w", i, err)
			}
		}
		if len(ids) == 0 {
			return nil, nil, fmt.Errorf("exchange %d: no token to score", i)
		}
		if over := len(ids) - h.MaxLength; h.MaxLength > 0 && over > 0 {
			ids, cut[i] = ids[over:], over
		}
		seqs[i] = lm.Sequence{Tokens: ids, Heads: []int32{int32(len(ids) - 1)}}
	}
	scores = make([]float32, len(exchanges))
	for _, batch := range batches(seqs, max(1, h.BatchTokens)) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		part := make([]lm.Sequence, len(batch))
		for k, i := range batch {
			part[k] = seqs[i]
		}
		out, err := h.Model.Forward(ctx, part, lm.Options{})
		if err != nil {
			return nil, nil, err
		}
		if len(out.Heads) != len(part) {
			return nil, nil, fmt.Errorf("evaluator answered %d head rows to %d sequences: has the model a head?", len(out.Heads), len(part))
		}
		for k, i := range batch {
			if len(out.Heads[k]) != 1 {
				return nil, nil, fmt.Errorf("exchange %d: %d head values, want 1: has the model a head?", i, len(out.Heads[k]))
			}
			scores[i] = out.Heads[k][0]
		}
	}
	return scores, cut, nil
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

// judgeAtOnce is the number of exchanges between two reports of progress.
const judgeAtOnce = 128

// judge scores exchanges part by part, reporting progress, and says how many tokens of
// each were cut off.
func (r Reward) judge(ctx context.Context, set Settings, at Progress, exchanges []Exchange) (scores []float64, cut []int, err error) {
	if r.Rewarder == nil {
		return nil, nil, fmt.Errorf("reward %q: no reward model", r.Name)
	}
	at.Model, at.Total = r.Name, len(exchanges)
	scores, cut = make([]float64, 0, len(exchanges)), make([]int, len(exchanges))
	for start := 0; start < len(exchanges); start += judgeAtOnce {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		part := exchanges[start:min(start+judgeAtOnce, len(exchanges))]
		asked := r
		if c, ok := r.Rewarder.(CuttingRewarder); ok {
			asked.Rewarder = noteCuts{c, cut[start:]}
		}
		got, err := asked.score(ctx, part)
		if err != nil {
			return nil, nil, err
		}
		scores = append(scores, got...)
		at.Done = len(scores)
		set.report(at)
	}
	return scores, cut, nil
}

// noteCuts keeps what a CuttingRewarder cut.
type noteCuts struct {
	CuttingRewarder
	cut []int
}

// Score implements [Rewarder].
func (n noteCuts) Score(ctx context.Context, exchanges []Exchange) ([]float32, error) {
	scores, cut, err := n.ScoreCut(ctx, exchanges)
	copy(n.cut, cut)
	return scores, err
}

// rewardBenchmark is a benchmark of a reward model with what is on record of it.
func rewardSummary(r Reward, name, protocol, version string, n int, set Settings) *Summary {
	b := NewSummary(name, protocol, r.Name, version, n, set)
	if r.Form != "" {
		b.Provenance["reward_form"] = r.Form
	}
	return b
}

// said is an exchange in both forms: a user's message and an assistant's answer, and the
// same as one text.
func said(user, answer, plainPrompt, plainAnswer string) Exchange {
	return Exchange{
		PromptText: plainPrompt, ResponseText: plainAnswer,
		Turns: []data.Message{{Role: data.RoleUser, Content: user}, {Role: data.RoleAssistant, Content: answer}},
	}
}

// chooseThreshold is the threshold of the highest MCC on the given rows. Rows of one class
// (a few rows of a quick look) give no threshold: it is 0 then, of 0 rows, which the result
// flags.
func chooseThreshold(gold []int, scores []float64) (stats.Threshold, error) {
	tau, err := stats.BestThreshold(gold, scores)
	if errors.Is(err, stats.ErrOneClass) {
		return stats.Threshold{}, nil
	}
	return tau, err
}
