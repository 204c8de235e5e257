package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/eval"
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/run"
)

// Policy is a model that answers prompts.
type Policy struct {
	eval.Subject
	Template *data.Template
	Stop     []int32 // end tokens
	// Prompts are in its own form; see [Policies.KeepCommon].
	Prompts []Prompt
}

// Prompt is a prompt as a policy is to see it.
type Prompt struct {
	ID     string // of the row
	Text   string // rendered, with template
	Tokens []int32
	Turns  []data.Message
}

// Policies answer the same prompts.
type Policies []Policy

// Sampling says how answers are sampled.
type Sampling struct {
	Samples int // answers of each policy to a prompt
	MaxNew  int // tokens of an answer
	Batch   int // prompts answered at once
	lm.Sampling
	Seed uint64
	// Planned answers are nobody's: they are all alike, and hold nothing but the marks of a template perhaps. They are
	// told apart, so that they are judged as others are.
	Planned bool
	// OnBatch is told after each batch how many answers a policy has given, and of how many; may be nil.
	OnBatch func(policy string, done, answers int)
}

// KeepCommon leaves the prompts that every policy is asked: in its own form a prompt may be too long for one of them,
// or refused.
func (ps Policies) KeepCommon() {
	key := func(p Prompt) string { return fmt.Sprintf("%s %v", p.ID, p.Turns) }
	times := map[string]int{} // policies that have it
	for _, p := range ps {
		seen := map[string]bool{}
		for _, q := range p.Prompts {
			if k := key(q); !seen[k] {
				seen[k] = true
				times[k]++
			}
		}
	}
	for i := range ps {
		ps[i].Prompts = slices.DeleteFunc(ps[i].Prompts, func(q Prompt) bool { return times[key(q)] < len(ps) })
	}
}

// errPrompts: a fault of whoever called.
var errPrompts = errors.New("judge: policies with different prompts")

// Answers samples answers to the prompts, which all policies have in common. A row is a prompt with the answers that
// say something, two or more; its line is its place among the rows.
func (s Sampling) Answers(ctx context.Context, policies Policies) ([]data.Ranked, run.SampledAnswers, error) {
	n := len(policies[0].Prompts)
	if slices.ContainsFunc(policies, func(p Policy) bool { return len(p.Prompts) != n }) {
		return nil, run.SampledAnswers{}, errPrompts
	}
	counts := run.SampledAnswers{Prompts: n}
	rows := make([]data.Ranked, n)
	for i, q := range policies[0].Prompts {
		rows[i] = data.Ranked{ID: q.ID, Prompt: q.Turns, Unscored: true}
	}
	for k, p := range policies {
		answers, err := s.ask(ctx, p, k)
		if err != nil {
			return nil, counts, err
		}
		for i, a := range answers {
			text := p.Template.Answer(a.Text)
			if s.Planned {
				text = fmt.Sprint(k, i%s.Samples, " ", a.Text)
			}
			counts.Answers++
			if a.Finish == lm.FinishLength {
				counts.Cut++
			}
			if strings.TrimSpace(text) == "" {
				counts.Empty++
				continue
			}
			row := &rows[i/s.Samples]
			row.Answers = append(row.Answers,
				data.RankedAnswer{Turns: []data.Message{{Role: data.RoleAssistant, Content: text}}})
			row.Policies = append(row.Policies, p.Name)
		}
	}
	rows = slices.DeleteFunc(rows, func(r data.Ranked) bool { return len(r.Answers) < 2 })
	for i := range rows {
		rows[i].Line = i + 1
	}
	return rows, counts, nil
}

// ask has every prompt of a policy, the k-th, answered as often as there are to be samples, those of a prompt in a
// row: they share the reading of it. No two answers draw with the same random numbers: those of two policies are to
// differ, as those of one do.
func (s Sampling) ask(ctx context.Context, p Policy, k int) ([]query.Answer, error) {
	prompts := make([]query.Prompt, 0, len(p.Prompts)*s.Samples)
	for _, q := range p.Prompts {
		for range s.Samples {
			prompts = append(prompts, query.Prompt{ID: q.ID, Text: q.Text, Tokens: q.Tokens, Turns: q.Turns})
		}
	}
	set := eval.Settings{Seed: seed.Derive(s.Seed, "judge.answers", uint64(k)), OnProgress: func(e eval.Progress) {
		if s.OnBatch != nil {
			s.OnBatch(p.Name, e.Done, e.Total)
		}
	}}
	options := query.GenerateOptions{MaxNew: s.MaxNew, Sampling: s.Sampling, StopTokens: p.Stop,
		StopStrings: p.Template.StopStrings(), Batch: s.Batch * s.Samples}
	got, err := query.Generate(ctx, p.Subject, set, options, prompts, eval.Progress{})
	if err != nil {
		return nil, err
	}
	return got.List, nil
}
