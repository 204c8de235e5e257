package experiment

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/internal/conf"
	"steer/rewards"
	"steer/rl/dpo"
	"steer/rl/grpo"
	"steer/rl/run"
	"steer/rl/train"
)

// Policy is a policy beside those of the theories: a method and what it learns from.
type Policy struct {
	// Method is ppo, grpo, dpo or best_of_n.
	Method PolicyMethod `yaml:"method"`
	// Theory is the one whose pairs dpo learns from.
	Theory rewards.TheoryName `yaml:"theory,omitempty"`
	// Rewards are the names of reward models of the experiment, or other rewards.
	Rewards jobs.RewardEntries `yaml:"rewards,omitempty"`

	// What differs from the section of the method; best_of_n has none.
	PPO     *jobs.PPO     `yaml:"ppo,omitempty"`
	GRPO    *jobs.GRPO    `yaml:"grpo,omitempty"`
	DPO     *jobs.DPO     `yaml:"dpo,omitempty"`
	BestOfN *jobs.BestOfN `yaml:"best_of_n,omitempty"`
}

// PolicyMethod names how a policy is made.
type PolicyMethod string

// The methods.
const (
	PolicyPPO     PolicyMethod = "ppo"
	PolicyGRPO    PolicyMethod = "grpo"
	PolicyDPO     PolicyMethod = "dpo"
	PolicyBestOfN PolicyMethod = "best_of_n"
)

// Values implements the enum check of the configuration reader.
func (PolicyMethod) Values() []string {
	return []string{string(PolicyPPO), string(PolicyGRPO), string(PolicyDPO), string(PolicyBestOfN)}
}

// policyNames are those of the policies, in order.
func (e *Experiment) policyNames() []string { return slices.Sorted(maps.Keys(e.Policies)) }

// toPolicies hands the sections of the methods down to each policy. One that names a preset of its own starts from
// that, with the section's keys on top.
func (e *Experiment) toPolicies(files []layer, overrides []string, adjust func(*Experiment)) error {
	for name, given := range e.Policies {
		if given == nil {
			continue
		}
		from := e
		if preset := given.preset(); preset != "" && preset != e.presetOf(given.Method) {
			var err error
			if from, err = withPreset(given.Method, preset, files, overrides, adjust); err != nil {
				return fmt.Errorf("policies.%s: %w", name, err)
			}
		}
		p := &Policy{Method: given.Method, PPO: given.PPO, GRPO: given.GRPO, DPO: given.DPO, BestOfN: given.BestOfN}
		switch given.Method {
		case PolicyPPO:
			job := from.PPO
			job.LoRA.Targets, p.PPO = slices.Clone(job.LoRA.Targets), &job
		case PolicyGRPO:
			job := from.GRPO
			job.LoRA.Targets, p.GRPO = slices.Clone(job.LoRA.Targets), &job
		case PolicyDPO:
			job := from.DPO
			job.LoRA.Targets, p.DPO = slices.Clone(job.LoRA.Targets), &job
		case PolicyBestOfN:
			p.BestOfN = &jobs.BestOfN{}
		}
		e.Policies[name] = p
	}
	return nil
}

// preset is the one that a policy's own section names, "" if it names none.
func (p *Policy) preset() string {
	switch {
	case p.Method == PolicyPPO && p.PPO != nil:
		return string(p.PPO.Preset)
	case p.Method == PolicyGRPO && p.GRPO != nil:
		return string(p.GRPO.Preset)
	case p.Method == PolicyDPO && p.DPO != nil:
		return string(p.DPO.Preset)
	}
	return ""
}

// presetOf is the preset that the section of a method starts from.
func (e *Experiment) presetOf(m PolicyMethod) string {
	switch m {
	case PolicyPPO:
		return string(e.PPO.Preset)
	case PolicyGRPO:
		return string(e.GRPO.Preset)
	case PolicyDPO:
		return string(e.DPO.Preset)
	}
	return ""
}

// withPreset reads the experiment with another preset below the section of a method.
func withPreset(
	m PolicyMethod, preset string, files []layer, overrides []string, adjust func(*Experiment),
) (*Experiment, error) {
	e, err := newExperiment(files, overrides)
	if err != nil {
		return nil, err
	}
	switch m {
	case PolicyPPO:
		e.PPO, err = jobs.NewPPO(train.Preset(preset))
	case PolicyGRPO:
		e.GRPO, err = jobs.NewGRPO(grpo.Preset(preset))
	case PolicyDPO:
		e.DPO, err = jobs.NewDPO(dpo.Preset(preset))
	}
	if err != nil {
		return nil, err
	}
	if err := e.parse(files, overrides, adjust); err != nil {
		return nil, err
	}
	e.toSections()
	return e, e.parse(files, overrides, adjust)
}

// job is the policy's stage; nil where nothing is trained.
func (p *Policy) job() jobs.Job {
	switch p.Method {
	case PolicyPPO:
		return p.PPO
	case PolicyGRPO:
		return p.GRPO
	case PolicyDPO:
		return p.DPO
	}
	return nil
}

// stage is the name of the policy's stage and its folder: the method before the name, unless it stands there already.
func (p *Policy) stage(name string) string {
	if method := string(p.Method); name != method && !strings.HasPrefix(name, method+"-") {
		return method + "-" + name
	}
	return name
}

// sampled is what the jobs have in common that learn from rewards; nil for others.
func (p *Policy) sampled() *jobs.Sampled {
	switch p.Method {
	case PolicyPPO:
		return &p.PPO.Sampled
	case PolicyGRPO:
		return &p.GRPO.Sampled
	}
	return nil
}

// checkPolicies finds what does not go together.
func (e *Experiment) checkPolicies() (errs []error) {
	for _, name := range e.policyNames() {
		p := e.Policies[name]
		bad := func(format string, args ...any) {
			errs = append(errs, &conf.Error{File: e.file, Key: "policies." + name, Msg: fmt.Sprintf(format, args...)})
		}
		if p == nil || p.Method == "" {
			bad("want method: one of %v", PolicyMethod("").Values())
			continue
		}
		if slices.Contains([]string{"base", "sft"}, name) || slices.Contains(e.rewarded(), name) {
			bad("the name is taken: theories, base and sft are in the same tables")
		}
		for method, given := range map[PolicyMethod]bool{
			PolicyPPO: p.PPO != nil, PolicyGRPO: p.GRPO != nil, PolicyDPO: p.DPO != nil,
			PolicyBestOfN: p.BestOfN != nil,
		} {
			if given && method != p.Method {
				bad("its method is %s: leave %s out", p.Method, method)
			}
		}
		if p.Method == PolicyDPO {
			errs = append(errs, e.checkPairs(name, p)...)
			continue
		}
		if p.Theory != "" {
			bad("theory: only dpo learns from pairs; %s learns from rewards", p.Method)
		}
		if len(p.Rewards) == 0 {
			bad("rewards: want at least one, such as [%s]", cmp.Or(append(e.rewarded(), "deontology")[0], "deontology"))
		}
		for i, r := range p.Rewards {
			if !r.Known() && !slices.Contains(e.rewarded(), r.Name) {
				bad("rewards[%d]: %q is no reward model of this experiment: want one of %v, or what it is (adapter, "+
					"command, "+
					"regex, ...)", i, r.Name, e.rewarded())
			}
		}
	}
	return errs
}

// checkPairs finds what is wrong with the data of a policy that learns from pairs.
func (e *Experiment) checkPairs(name string, p *Policy) (errs []error) {
	bad := func(format string, args ...any) {
		errs = append(errs, &conf.Error{File: e.file, Key: "policies." + name, Msg: fmt.Sprintf(format, args...)})
	}
	if len(p.Rewards) > 0 {
		bad("rewards: dpo learns from pairs: name their theory (theory: deontology)")
	}
	switch {
	case p.Theory == "" && p.DPO.Train.Path == "":
		bad("theory: want the theory whose pairs it learns from, one of %v, or dpo.train.path", e.rewarded())
	case p.Theory != "" && e.Each[string(p.Theory)] == nil:
		bad("theory: %q has no data here: want its data under each.%s.reward.train.path", p.Theory, p.Theory)
	}
	return errs
}

// fillPolicies makes paths absolute, fills in those of what earlier stages make, and lets the evaluation measure the
// policies.
func (e *Experiment) fillPolicies(dir string) {
	sft := []string{e.adapterOf("sft")}
	for _, name := range e.policyNames() {
		p := e.Policies[name]
		subject := jobs.Subject{Name: name, Role: "policy", Adapters: slices.Concat(sft, []string{
			e.adapterOf(p.stage(name))})}
		entries := e.fillRewards(p.Rewards, dir)
		switch {
		case p.sampled() != nil:
			s := p.sampled()
			s.Model, s.SFT = e.Model, sft
			s.Prompts.Path, s.HeldOut.Path = workspace.Abs(dir, s.Prompts.Path), workspace.Abs(dir, s.HeldOut.Path)
			s.Reward, s.RewardBelow, s.Rewards = "", nil, entries
			e.Eval.RewardText = s.RewardText
		case p.Method == PolicyDPO:
			p.DPO.Model, p.DPO.SFT = e.Model, sft
			e.fillPairs(p, dir)
			subject.Theory = string(p.DPO.Theory)
		case p.Method == PolicyBestOfN:
			subject.Adapters = sft
			p.BestOfN.Rewards = entries
			subject.BestOf = p.BestOfN
		}
		if len(entries) == 1 {
			subject.Theory = string(e.theoryOf(entries[0].Name))
		}
		e.Eval.Subjects = append(e.Eval.Subjects, subject)
	}
}

// theoryOf is the theory of a reward model of the experiment, "" for others.
func (e *Experiment) theoryOf(name string) rewards.TheoryName {
	if t := e.Each[name]; t != nil {
		return t.named(name)
	}
	return ""
}

// fillRewards puts the adapters of the experiment's reward models in place of their names.
func (e *Experiment) fillRewards(given jobs.RewardEntries, dir string) jobs.RewardEntries {
	out := slices.Clone(given)
	out.Place(dir)
	for i := range out {
		if r := &out[i]; !r.Known() {
			r.Adapter, r.Below = e.adapterOf("reward-"+r.Name), []string{e.adapterOf("sft")}
		}
	}
	return out
}

// fillPairs gives a policy the pairs of its theory.
func (e *Experiment) fillPairs(p *Policy, dir string) {
	d := p.DPO
	if p.Theory == "" {
		d.Train.Path, d.HeldOut.Path = workspace.Abs(dir, d.Train.Path), workspace.Abs(dir, d.HeldOut.Path)
		return
	}
	from := &e.Each[string(p.Theory)].Reward // its paths are absolute
	d.Theory, d.Train, d.HeldOut, d.HeldOutShare = from.Theory, from.Train, from.HeldOut, from.HeldOutShare
	d.Recipe, d.DropOverlap = from.Recipe, from.DropOverlap
}

// inputs lists the files that a policy names; key begins its keys.
func (p *Policy) inputs(key string) (all []input) {
	if s := p.sampled(); s != nil {
		all = append(all, input{key + string(p.Method) + ".prompts.path", s.Prompts.Path},
			input{key + string(p.Method) + ".held_out.path", s.HeldOut.Path})
	}
	if p.Method == PolicyDPO && p.Theory == "" {
		all = append(all, input{key + "dpo.train.path", p.DPO.Train.Path},
			input{key + "dpo.held_out.path", p.DPO.HeldOut.Path})
	}
	return all
}

// validate finds mistakes in the configuration of a policy. It opens no file.
func (p *Policy) validate() error {
	switch p.Method {
	case PolicyPPO:
		return errors.Join(p.PPO.Config.Validate(), p.PPO.Rewards.Check(p.PPO.Mixture), p.PPO.LoRA.Validate("lora"))
	case PolicyGRPO:
		return errors.Join(p.GRPO.Config.Validate(), p.GRPO.Rewards.Check(p.GRPO.Mixture), p.GRPO.LoRA.Validate("lora"))
	case PolicyDPO:
		return p.DPO.Config.Validate()
	case PolicyBestOfN:
		return p.BestOfN.Check()
	}
	return nil
}

// policySummaries are what experiment.yaml in the output folder says of them.
func (e *Experiment) policySummaries() (out []run.ExperimentPolicy) {
	for _, name := range e.policyNames() {
		p := e.Policies[name]
		s := run.ExperimentPolicy{Name: name, Method: string(p.Method), Theory: string(p.Theory)}
		if job := p.job(); job != nil {
			s.Stage = p.stage(name)
		}
		for _, r := range p.Rewards {
			w := 1.0
			if r.Weight != nil {
				w = *r.Weight
			}
			s.Rewards = append(s.Rewards, run.RewardUse{Name: r.Name, Weight: w})
		}
		switch p.Method {
		case PolicyPPO:
			s.Combine, s.Preset = string(p.PPO.Mixture.Combine), string(p.PPO.Preset)
			s.Constraints = p.PPO.Mixture.Texts()
		case PolicyGRPO:
			s.Combine, s.Preset = string(p.GRPO.Mixture.Combine), string(p.GRPO.Preset)
			s.Constraints = p.GRPO.Mixture.Texts()
		case PolicyBestOfN:
			s.Combine, s.BestOf = string(p.BestOfN.Mixture.Combine), p.BestOfN.N
		}
		out = append(out, s)
	}
	return out
}
