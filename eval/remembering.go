package eval

import (
	"context"

	"steer/ggml/seam"
)

// The models of a measurement with a journal between: what was asked before is answered
// from it. One call of Forward, Generate or Score is one batch.

// subject puts the journal before a language model.
func (j *journal) subject(s Subject) Subject {
	if j == nil {
		return s
	}
	if s.Evaluator != nil {
		s.Evaluator = rememberingEvaluator{s.Evaluator, j, s.ID}
	}
	if s.Generator != nil {
		s.Generator = rememberingGenerator{s.Generator, j, s.ID}
	}
	return s
}

// reward puts the journal before a reward model, which then scores texts of about
// batchTokens tokens at once, so that they can be kept before the next are scored.
func (j *journal) reward(r Reward, batchTokens int) Reward {
	if j != nil && r.Rewarder != nil {
		r.Rewarder = rememberingRewarder{r.Rewarder, j, r.ID, batchTokens * bytesPerToken}
	}
	return r
}

type rememberingEvaluator struct {
	model seam.Evaluator
	j     *journal
	id    string
}

// Forward implements seam.Evaluator.
func (e rememberingEvaluator) Forward(ctx context.Context, batch []seam.Sequence, opt seam.Options) (*seam.Output, error) {
	question := struct {
		Batch   []seam.Sequence
		Options seam.Options
	}{batch, opt}
	return remembered(e.j, e.id, "forward", question, func() (*seam.Output, error) { return e.model.Forward(ctx, batch, opt) })
}

type rememberingGenerator struct {
	model seam.Generator
	j     *journal
	id    string
}

// Generate implements seam.Generator.
func (g rememberingGenerator) Generate(ctx context.Context, reqs []seam.Request, s seam.Sampling) ([]seam.Generation, error) {
	question := struct {
		Requests []seam.Request
		Sampling seam.Sampling
	}{reqs, s}
	return remembered(g.j, g.id, "generate", question, func() ([]seam.Generation, error) { return g.model.Generate(ctx, reqs, s) })
}

type rememberingRewarder struct {
	model Rewarder
	j     *journal
	id    string
	bytes int // of text scored at once
}

// Score implements Rewarder.
func (r rememberingRewarder) Score(ctx context.Context, exchanges []Exchange) ([]float32, error) {
	var all []float32
	for len(exchanges) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := r.batch(exchanges)
		part := exchanges[:n]
		scores, err := remembered(r.j, r.id, "score", part, func() ([]float32, error) { return r.model.Score(ctx, part) })
		if err != nil {
			return nil, err
		}
		all, exchanges = append(all, scores...), exchanges[n:]
	}
	return all, nil
}

// batch is how many exchanges are scored at once.
func (r rememberingRewarder) batch(exchanges []Exchange) int {
	size := 0
	for n, x := range exchanges {
		if size += len(x.PromptText) + len(x.ResponseText); n > 0 && size > r.bytes {
			return n
		}
	}
	return len(exchanges)
}
