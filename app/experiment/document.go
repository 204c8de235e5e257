package experiment

import (
	"slices"
	"strings"

	"steer/internal/conf"
)

// Document is the study as one file with every key resolved, which [LoadStudy] reads back to the
// same study from wherever it lies. Seeds that follow the experiment's stay with it, and what
// one stage takes from another is left out: both are filled in again.
func (s *Study) Document() ([]byte, error) {
	e := *s.base
	e.Extends = ""
	raw, err := conf.Marshal(&e)
	if err != nil {
		return nil, err
	}
	other, err := load(s.files, s.overrides, func(e *Experiment) { e.Seed++ })
	if err != nil {
		return nil, err
	}
	other.Extends = ""
	reseeded, err := conf.Marshal(other)
	if err != nil {
		return nil, err
	}
	follow, err := conf.Diff(raw, reseeded)
	if err != nil {
		return nil, err
	}
	drop := []string{
		"eval.subjects", "eval.rewards", "eval.missing",
		"reward.sft", "reward.theory", "ppo.sft", "ppo.reward", "ppo.reward_below", "grpo.sft", "grpo.reward",
		"grpo.reward_below", "dpo.sft", "dpo.theory",
	}
	for _, c := range follow {
		if c.Key != "seed" {
			drop = append(drop, c.Key)
		}
	}
	stages := []string{"sft", "reward", "ppo", "grpo", "dpo", "eval"}
	for name := range e.Each {
		reward, ppo := "each."+name+".reward", "each."+name+".ppo"
		drop = append(drop, reward+".theory", reward+".sft", ppo+".sft", ppo+".reward", ppo+".reward_below")
		stages = append(stages, reward, ppo)
		if slices.Contains(e.Judges, name) {
			drop = append(drop, ppo)
		}
	}
	for _, name := range e.policyNames() {
		p := e.Policies[name]
		section := "policies." + name + "." + string(p.Method)
		drop = append(drop, section+".sft", section+".reward", section+".reward_below", section+".rewards")
		if stages = append(stages, section); p.Theory != "" {
			drop = append(drop, section+".theory", section+".train", section+".held_out", section+".held_out_share",
				section+".recipe", section+".drop_overlap")
		}
	}
	drop = append(drop, e.unused()...)
	for _, stage := range stages {
		drop = append(drop, stage+".model")
	}
	return conf.Without(raw, drop)
}

// unused are the sections of methods that no policy has.
func (e *Experiment) unused() (sections []string) {
	for _, m := range []PolicyMethod{PolicyGRPO, PolicyDPO} {
		if !slices.ContainsFunc(e.policyNames(), func(name string) bool { return e.Policies[name].Method == m }) {
			sections = append(sections, string(m))
		}
	}
	return sections
}

// comment makes a comment of a text.
func comment(text string) string { return "# " + strings.ReplaceAll(text, "\n", "\n#   ") }
