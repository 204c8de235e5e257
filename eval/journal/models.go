package journal

import (
	"context"
	"slices"

	"steer/eval"
	"steer/ggml/lm"
)

// The models of a measurement with a journal between: what was asked before is answered
// from it. One call of Forward, Generate or Score is one batch.

// Subject puts the journal before a language model.
func (j *Journal) Subject(s eval.Subject) eval.Subject {
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
			return recall(j, s.ID, "kl", passage{batch, opt},
				func() ([][]float32, error) { return ask(ctx, batch, opt) })
		}
	}
	return s
}

// Reward puts the journal before a reward model, which then scores about so many bytes of
// text at once, so that they can be kept before the next are scored.
func (j *Journal) Reward(r eval.Reward, bytes int) eval.Reward {
	if j != nil && r.Rewarder != nil {
		asked := journalRewarder{r.Rewarder, j, r.ID, bytes}
		if r.Rewarder = asked; asked.cuts() != nil {
			r.Rewarder = journalCutter{asked}
		}
	}
	return r
}

// Models puts the journal before policies and reward models.
func (j *Journal) Models(policies []eval.Subject, rewards []eval.Reward, bytes int) ([]eval.Subject, []eval.Reward) {
	policies, rewards = slices.Clone(policies), slices.Clone(rewards)
	for i := range policies {
		policies[i] = j.Subject(policies[i])
	}
	for i := range rewards {
		rewards[i] = j.Reward(rewards[i], bytes)
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
	j     *Journal
	id    string
}

// Forward implements lm.Evaluator.
func (e journalEvaluator) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	return recall(e.j, e.id, "forward", passage{batch, opt},
		func() (*lm.Output, error) { return e.model.Forward(ctx, batch, opt) })
}

type journalGenerator struct {
	model lm.Generator
	j     *Journal
	id    string
}

// Generate implements lm.Generator.
func (g journalGenerator) Generate(ctx context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	question := struct {
		Requests []lm.Request
		Sampling lm.Sampling
	}{reqs, s}
	return recall(g.j, g.id, "generate", question,
		func() ([]lm.Generation, error) { return g.model.Generate(ctx, reqs, s) })
}

type journalRewarder struct {
	model eval.Rewarder
	j     *Journal
	id    string
	bytes int // of text scored at once
}

// judged is the answer of a reward model.
type judged struct {
	Scores []float32
	Cut    []int // tokens left out of each exchange; nil where the model does not tell
}

func (r journalRewarder) cuts() eval.CuttingRewarder {
	c, _ := r.model.(eval.CuttingRewarder)
	return c
}

// Score implements Rewarder.
func (r journalRewarder) Score(ctx context.Context, exchanges []eval.Exchange) ([]float32, error) {
	all, err := r.judge(ctx, exchanges)
	return all.Scores, err
}

func (r journalRewarder) judge(ctx context.Context, exchanges []eval.Exchange) (all judged, err error) {
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

func (r journalRewarder) ask(ctx context.Context, part []eval.Exchange) (got judged, err error) {
	if c := r.cuts(); c != nil {
		got.Scores, got.Cut, err = c.ScoreCut(ctx, part)
		return got, err
	}
	got.Scores, err = r.model.Score(ctx, part)
	return got, err
}

// batch is how many exchanges are scored at once.
func (r journalRewarder) batch(exchanges []eval.Exchange) int {
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
func (r journalCutter) ScoreCut(ctx context.Context, exchanges []eval.Exchange) ([]float32, []int, error) {
	all, err := r.judge(ctx, exchanges)
	return all.Scores, all.Cut, err
}
