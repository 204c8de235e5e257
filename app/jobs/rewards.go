package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"steer/app/source"
	"steer/app/workspace"
	"steer/rl/mixture"
	"steer/rl/rollout"
	"steer/rl/run"
)

// RewardEntry is one of the rewards of a policy: a reward model.
type RewardEntry struct {
	Name string `yaml:"name"`
	// Weight in the mixture; 1 where it is not given.
	Weight *float64 `yaml:"weight,omitempty"`
	// Adapter is a reward adapter, on the base and the adapters Below.
	Adapter string   `yaml:"adapter,omitempty"`
	Below   []string `yaml:"below,omitempty"`
}

// UnmarshalText lets an entry be written as its name alone, where something else says what it is.
func (r *RewardEntry) UnmarshalText(text []byte) error {
	r.Name = string(text)
	return nil
}

// RewardEntries are the rewards of a policy, in order of priority.
type RewardEntries []RewardEntry

// paths are the files that entries name.
func (rs RewardEntries) paths() (out []*string) {
	for i := range rs {
		out = append(out, &rs[i].Adapter)
		for k := range rs[i].Below {
			out = append(out, &rs[i].Below[k])
		}
	}
	return out
}

// files are the same by role.
func (rs RewardEntries) files(into map[string]string) {
	for _, r := range rs {
		into["reward."+r.Name] = r.Adapter
		for k, path := range r.Below {
			into[numbered("reward."+r.Name+".on", k)] = path
		}
	}
}

// named are the places that name files of a hub.
func (rs RewardEntries) named() (names []Name) {
	for i := range rs {
		key := fmt.Sprintf("rewards[%d].", i)
		names = append(names, namesAt(key+"below", source.Adapter, rs[i].Below)...)
		names = append(names, nameAt(key+"adapter", source.Adapter, &rs[i].Adapter))
	}
	return names
}

// weights are those of the entries.
func (rs RewardEntries) weights() (out []float64) {
	for _, r := range rs {
		w := 1.0
		if r.Weight != nil {
			w = *r.Weight
		}
		out = append(out, w)
	}
	return out
}

func (rs RewardEntries) names() (out []string) {
	for _, r := range rs {
		out = append(out, r.Name)
	}
	return out
}

// Check finds mistakes before anything is opened; m joins the rewards.
func (rs RewardEntries) Check(m mixture.Config) error {
	var errs []error
	for i, r := range rs {
		switch {
		case r.Name == "":
			errs = append(errs, fmt.Errorf("rewards[%d].name: want a name", i))
		case slices.Contains(rs.names()[:i], r.Name):
			errs = append(errs, fmt.Errorf("rewards[%d].name: %q stands there twice", i, r.Name))
		case r.Adapter == "":
			errs = append(errs, fmt.Errorf("rewards[%d] (%s): want adapter, the path of a reward adapter", i, r.Name))
		}
	}
	if len(errs) == 0 && len(rs) > 0 {
		_, err := mixture.New(m, rs.names(), rs.weights())
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// uses is what a result says of them.
func (rs RewardEntries) uses() (out []run.RewardUse) {
	for i, w := range rs.weights() {
		out = append(out, run.RewardUse{Name: rs[i].Name, Weight: w})
	}
	return out
}

// openRewards opens all rewards as one scorer.
func openRewards(w *workspace.Workspace, rs RewardEntries, asked asking, batchTokens int) (joined, error) {
	all := joined{names: rs.names()}
	for _, r := range rs {
		s, err := openScorer(w, r.Below, r.Adapter, asked, batchTokens)
		if err != nil {
			return all, fmt.Errorf("reward %s: %w", r.Name, err)
		}
		all.parts = append(all.parts, s)
	}
	return all, nil
}

// joined is several scorers as one.
type joined struct {
	names []string
	parts []rollout.Scorer
}

// Names implements rollout.Scorer.
func (j joined) Names() []string { return j.names }

// Score implements rollout.Scorer.
func (j joined) Score(ctx context.Context, episodes []rollout.Episode) ([][]float64, error) {
	var out [][]float64
	for i, p := range j.parts {
		columns, err := p.Score(ctx, episodes)
		if err != nil {
			return nil, fmt.Errorf("reward %s: %w", j.names[i], err)
		}
		out = append(out, columns...)
	}
	return out, nil
}
