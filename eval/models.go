package eval

import (
	"context"
	"slices"

	"steer/ggml/lm"
)

// The models of a measurement with a journal between: what was asked before is answered
// from it. One call of Forward, Generate or Score is one batch.

// subject puts the journal before a language model.
func (j *journal) subject(s Subject) Subject {
	if j == nil {
		return s
	}
	if s.Evaluator != nil {
		s.Evaluator = journalEvaluator{s.Evaluator, j, s.ID}
	}
	if s.Generator != nil {
		s.Generator = journalGenerator{s.Generator, j, s.ID}
	}
	if ask := s.KL; ask != nil {
		s.KL = func(ctx context.Context, batch []lm.Sequence, opt lm.Options) ([][]float32, error) {
			return recall(j, s.ID, "kl", passage{batch, opt}, func() ([][]float32, error) { return ask(ctx, batch, opt) })
		}
	}
	return s
}

// reward puts the journal before a reward model, which then scores texts of about
// batchTokens tokens at once, so that they can be kept before the next are scored.
func (j *journal) reward(r Reward, batchTokens int) Reward {
	if j != nil && r.Rewarder != nil {
		asked := journalRewarder{r.Rewarder, j, r.ID, batchTokens * bytesPerToken}
		if r.Rewarder = asked; asked.cuts() != nil {
			r.Rewarder = journalCutter{asked}
		}
	}
	return r
}

// all puts the journal before policies and reward models.
func (j *journal) all(policies []Subject, rewards []Reward, batchTokens int) ([]Subject, []Reward) {
	policies, rewards = slices.Clone(policies), slices.Clone(rewards)
	for i := range policies {
		policies[i] = j.subject(policies[i])
	}
	for i := range rewards {
		rewards[i] = j.reward(rewards[i], batchTokens)
	}
	return policies, rewards
}

// passage is what a model is asked to read.
type passage struct {
	Batch   []lm.Sequence
	Options lm.Options
}

type journalEvaluator struct {
	model lm.Evaluator
	j     *journal
	id    string
}

// Forward implements lm.Evaluator.
func (e journalEvaluator) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	return recall(e.j, e.id, "forward", passage{batch, opt}, func() (*lm.Output, error) { return e.model.Forward(ctx, batch, opt) })
}

type journalGenerator struct {
	model lm.Generator
	j     *journal
	id    string
}

// Generate implements lm.Generator.
func (g journalGenerator) Generate(ctx context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	question := struct {
		Requests []lm.Request
		Sampling lm.Sampling
	}{reqs, s}
	return recall(g.j, g.id, "generate", question, func() ([]lm.Generation, error) { return g.model.Generate(ctx, reqs, s) })
}

type journalRewarder struct {
	model Rewarder
	j     *journal
	id    string
	bytes int // of text scored at once
}

// judged is the answer of a reward model.
type judged struct {
	Scores []float32
	Cut    []int // tokens left out of each exchange; nil where the model does not tell
}

func (r journalRewarder) cuts() CuttingRewarder {
	c, _ := r.model.(CuttingRewarder)
	return c
}

// Score implements Rewarder.
func (r journalRewarder) Score(ctx context.Context, exchanges []Exchange) ([]float32, error) {
	all, err := r.judge(ctx, exchanges)
	return all.Scores, err
}

func (r journalRewarder) judge(ctx context.Context, exchanges []Exchange) (all judged, err error) {
	for len(exchanges) > 0 {
		if err := ctx.Err(); err != nil {
			return judged{}, err
		}
		n := r.batch(exchanges)
		part := exchanges[:n]
		got, err := recall(r.j, r.id, "score", part, func() (judged, error) { return r.ask(ctx, part) })
		if err != nil {
			return judged{}, err
		}
		all.Scores, all.Cut, exchanges = append(all.Scores, got.Scores...), append(all.Cut, got.Cut...), exchanges[n:]
	}
	return all, nil
}

func (r journalRewarder) ask(ctx context.Context, part []Exchange) (got judged, err error) {
	if c := r.cuts(); c != nil {
		got.Scores, got.Cut, err = c.ScoreCut(ctx, part)
		return got, err
	}
	got.Scores, err = r.model.Score(ctx, part)
	return got, err
}

// batch is how many exchanges are scored at once.
func (r journalRewarder) batch(exchanges []Exchange) int {
	size := 0
	for n, x := range exchanges {
		if size += len(x.PromptText) + len(x.ResponseText); n > 0 && size > r.bytes {
			return n
		}
	}
	return len(exchanges)
}

// journalCutter is a journalRewarder of a CuttingRewarder.
type journalCutter struct{ journalRewarder }

// ScoreCut implements CuttingRewarder.
func (r journalCutter) ScoreCut(ctx context.Context, exchanges []Exchange) ([]float32, []int, error) {
	all, err := r.judge(ctx, exchanges)
	return all.Scores, all.Cut, err
}
