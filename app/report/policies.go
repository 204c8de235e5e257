package report

import (
	"fmt"
	"slices"
	"strings"

	"steer/rl/run"
)

// PolicyRow says how a policy was made.
type PolicyRow struct {
	Policy string `json:"policy"`
	Method string `json:"method"`
	Learns string `json:"learns"` // from what, in words
}

// fillPolicies lists how policies were made, where an experiment names some beside those of its theories.
func (r *Report) fillPolicies() {
	if len(r.Policies) == 0 {
		return
	}
	for _, m := range r.Models {
		if m.role() != "policy" {
			continue
		}
		row := PolicyRow{Policy: m.Name, Method: "PPO", Learns: "the reward " + m.Name}
		if p := r.policy(m.Name); p != nil {
			row.Method, row.Learns = methodName(p), learns(p)
		}
		r.PolicyRows = append(r.PolicyRows, row)
	}
}

// policy is a policy that the experiment names; nil for others.
func (r *Report) policy(name string) *run.ExperimentPolicy {
	i := slices.IndexFunc(r.Policies, func(p run.ExperimentPolicy) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Policies[i]
}

func methodName(p *run.ExperimentPolicy) string {
	name := map[string]string{"ppo": "PPO", "grpo": "GRPO", "dpo": "DPO"}[p.Method]
	switch {
	case p.Method == "best_of_n":
		return fmt.Sprintf("best of %d", p.BestOf)
	case p.Preset != "" && p.Preset != "default":
		return fmt.Sprintf("%s (%s)", name, p.Preset)
	}
	return name
}

// learns says what a policy learns from.
func learns(p *run.ExperimentPolicy) string {
	if p.Method == "dpo" {
		return "pairs of " + p.Theory
	}
	var names []string
	for _, w := range p.Rewards {
		switch w.Weight {
		case 1:
			names = append(names, w.Name)
		default:
			names = append(names, fmt.Sprintf("%g %s", w.Weight, w.Name))
		}
	}
	out := "the reward "
	if len(names) > 1 {
		how := p.Combine
		if how == "" {
			how = "sum"
		}
		out = how + " of "
	}
	out += strings.Join(names, ", ")
	if len(p.Constraints) > 0 {
		out += "; " + strings.Join(p.Constraints, ", ")
	}
	return out
}

// namePolicies gives the stages of named policies their names.
func (r *Report) namePolicies() {
	for i := range r.Stages {
		for _, p := range r.Policies {
			if s := &r.Stages[i]; p.Stage != "" && s.Name == p.Stage {
				s.policy = p.Name
			}
		}
	}
}

// policyColour gives a policy that is not a theory's a colour of its own, as far as they go.
func (r *Report) policyColour(name string) (colour int, ok bool) {
	i := slices.IndexFunc(r.Policies, func(p run.ExperimentPolicy) bool { return p.Name == name })
	return colourTheory + (len(r.Theories)+i)%(colours-colourTheory), i >= 0
}

// ownReward is what a policy's own reward is called: what it was trained with, or, where some learn from pairs or
// choose among answers, that of its theory.
func (r *Report) ownReward() string {
	for _, p := range r.Policies {
		if p.Method == "dpo" || p.Method == "best_of_n" {
			return "of its theory"
		}
	}
	return "it was trained with"
}

// question is what the report asks.
func (r *Report) question() string {
	how := "training a language model by PPO against a reward model of one ethical theory"
	if len(r.Policies) > 0 {
		how = "steering a language model towards ethical theories, by several methods,"
	}
	under := "that theory and under the others"
	if len(r.Policies) > 0 {
		under = "the theories steered by and under the others"
	}
	return "Does " + how + " change how its answers score, under " + under + "?"
}

// verdictFrontier counts the trained policies that are above best-of-n at their KL, under the reward of their theory.
func (r *Report) verdictFrontier() string {
	above, below, beyond := []string{}, []string{}, 0
	for _, f := range r.Frontier {
		if r.model(f.Policy).theoryOf() != f.Reward {
			continue
		}
		switch {
		case f.Gain == nil:
			beyond++
		case *f.Gain > 0:
			above = append(above, f.Policy)
		default:
			below = append(below, f.Policy)
		}
	}
	if len(above)+len(below) == 0 {
		return ""
	}
	s := "At the same KL as best-of-n, under the reward of its theory"
	switch {
	case len(above) > 0 && len(below) > 0:
		s += ", the mean score is higher for " + list(above) + " and not for " + list(below)
	case len(above) > 0:
		s += ", the mean score is higher for " + list(above)
	default:
		s += ", no mean score is higher: not that of " + list(below)
	}
	if beyond > 0 {
		s += "; " + plural(beyond, "policy goes", "policies go") + " farther than the largest n"
	}
	return s + ". These are means without a test."
}
