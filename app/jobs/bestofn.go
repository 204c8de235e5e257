package jobs

import (
	"context"
	"errors"
	"fmt"

	"steer/app/workspace"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/mixture"
	"steer/rl/rollout"
)

// BestOfN is a policy without training: N answers are sampled, and the one with the highest score is given.
type BestOfN struct {
	N int `yaml:"n"`
	// Rewards score the answers.
	Rewards RewardEntries `yaml:"rewards,omitempty"`
	// Mixture joins several rewards; the batch of ranks is the answers to one prompt.
	Mixture mixture.Config `yaml:",inline"`
}

// Check finds mistakes before anything is opened.
func (b *BestOfN) Check() error {
	var errs []error
	if b.N < 2 {
		errs = append(errs, fmt.Errorf("n: want at least 2, got %d", b.N))
	}
	if len(b.Rewards) == 0 {
		errs = append(errs, errors.New("rewards: want at least one"))
	}
	if len(b.Mixture.Constraints) > 0 {
		errs = append(errs, errors.New("constraints: want none: nothing is learned here, so no multiplier can be"))
	}
	for _, r := range b.Rewards {
		if len(r.Command) > 0 || r.HTTP != "" || r.ExactMatch != nil || r.NumberMatch != nil {
			errs = append(errs, fmt.Errorf("rewards: %s: an evaluation has answers without the rows of their prompts: "+
				"want reward models, regex, length or repetition", r.Name))
		}
	}
	return errors.Join(append(errs, b.Rewards.Check(b.Mixture))...)
}

// bestOfRole begins the roles of a subject's rewards among the inputs.
func (s *Subject) bestOfRole() string { return "subject." + s.Name + ".best_of." }

// bestOfFiles adds the files that score a subject's answers, by role.
func (s *Subject) bestOfFiles(into map[string]*string) error {
	if s.BestOf == nil {
		return nil
	}
	if err := s.BestOf.Check(); err != nil {
		return fmt.Errorf("eval: subjects: %s: best_of: %w", s.Name, err)
	}
	for i := range s.BestOf.Rewards {
		r := &s.BestOf.Rewards[i]
		if r.Adapter != "" {
			into[s.bestOfRole()+r.Name] = &r.Adapter
		}
		for k := range r.Below {
			into[numbered(s.bestOfRole()+r.Name+".on", k)] = &r.Below[k]
		}
	}
	return nil
}

// id is what its choice among answers depends on; role begins the roles of its rewards.
func (b *BestOfN) id(role string, inputs Inputs) string {
	id := fmt.Sprintf(", best of %d by %+v", b.N, b.Mixture)
	for _, r := range b.Rewards {
		weight := 1.0
		if r.Weight != nil {
			weight = *r.Weight
		}
		id += fmt.Sprintf(", %g of %s %v %q %s", weight, inputs[role+r.Name], r.kinds(), r.Command, r.HTTP)
		for k := range r.Below {
			id += " on " + inputs[numbered(role+r.Name+".on", k)]
		}
	}
	return id
}

// open makes a generator of one that samples the answers.
func (b *BestOfN) open(
	w *workspace.Workspace, inner lm.Generator, asked asking, batchTokens int, note func(string),
) (*bestOfN, error) {
	names, weights := b.Rewards.columns()
	m, err := mixture.New(b.Mixture, names, weights)
	if err != nil {
		return nil, err
	}
	all, err := openRewards(w, b.Rewards, asked, batchTokens, note, "")
	if err != nil {
		return nil, err
	}
	for i, p := range all.parts {
		if s, ok := p.(*scorer); ok && s.reencode {
			return nil, fmt.Errorf("reward %s was trained in another template than answers are asked for in: a "+
				"best-of-n policy has the tokens alone; train it in this template", b.Rewards[i].Name)
		}
	}
	return &bestOfN{n: b.N, inner: inner, scorer: all, mixture: m, tokenizer: w.Tok}, nil
}

// bestOfN answers with the best of n answers of another generator.
type bestOfN struct {
	n         int
	inner     lm.Generator
	scorer    *joined
	mixture   *mixture.Mixture
	tokenizer lm.Tokenizer
}

// Generate implements lm.Generator. The first of the n answers to a request is the one that the inner generator gives
// it; those of one prompt stand in a row.
func (b *bestOfN) Generate(ctx context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	asked := make([]lm.Request, 0, len(reqs)*b.n)
	for _, r := range reqs {
		for k := range b.n {
			one := r
			if one.OnToken = nil; k > 0 {
				one.Seed = seed.Derive(r.Seed, "best_of_n", uint64(k))
			}
			asked = append(asked, one)
		}
	}
	all, err := b.inner.Generate(ctx, asked, s)
	if err != nil {
		return nil, err
	}
	episodes := make([]rollout.Episode, len(all))
	for i, g := range all {
		episodes[i] = rollout.Episode{
			Prompt:   rollout.Prompt{Tokens: asked[i].Prompt, Text: b.tokenizer.Decode(asked[i].Prompt, true)},
			Response: g.Tokens, ResponseText: lm.Text(b.tokenizer, g.Tokens), Ended: g.Finish != lm.FinishLength,
		}
	}
	rewards, err := b.scorer.Score(ctx, episodes)
	if err != nil {
		return nil, err
	}
	out := make([]lm.Generation, len(reqs))
	for i := range reqs {
		best, err := b.best(rewards, i*b.n)
		if err != nil {
			return nil, err
		}
		out[i] = all[best]
	}
	return out, nil
}

// best is the index of the best answer of those from first on; of equal ones the first.
func (b *bestOfN) best(rewards [][]float64, first int) (int, error) {
	part := make([][]float64, len(rewards))
	for k := range rewards {
		part[k] = rewards[k][first : first+b.n]
	}
	st := b.mixture.NewState()
	scores, err := b.mixture.Combine(&st, part)
	if err != nil {
		return 0, err
	}
	best := 0
	for i, x := range scores {
		if x > scores[best] || scores[best] != scores[best] { // NaN: no reward judges it
			best = i
		}
	}
	return first + best, nil
}
