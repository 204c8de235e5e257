package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/app/jobs"
	"steer/app/plan"
	"steer/app/workspace"
	"steer/internal/atomicfile"
	"steer/internal/conf"
	"steer/internal/hub"
	"steer/internal/seed"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/run"
)

// Experiment is the whole pipeline: SFT, a reward model and a policy for each theory,
// evaluation.
type Experiment struct {
	// Extends names an experiment in the same folder that this one starts from.
	Extends string `yaml:"extends,omitempty"`
	Name    string `yaml:"name"`
	// Out is the folder of all stages, relative to the file's folder.
	Out string `yaml:"out"`
	// Model, Engine, Template, System, Date and Seed hold for every stage that does not say otherwise.
	Model    string                 `yaml:"model"`
	Engine   workspace.EngineConfig `yaml:"engine"`
	Template data.TemplateName      `yaml:"template,omitempty"`
	System   *string                `yaml:"system,omitempty"`
	Date     data.Date              `yaml:"date,omitempty"`
	// TemplateVars likewise.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	Seed         uint64            `yaml:"seed"`
	// Seeds makes it a [Study]: everything once for each, below Out in a folder of its own.
	Seeds []uint64 `yaml:"seeds,omitempty"`
	// Preset (default or thesis) is what sft, reward and ppo start from, unless one names its own.
	Preset string `yaml:"preset"`
	// Theories names the reward models and policies, in the order of every table.
	Theories []rewards.TheoryName `yaml:"theories"`
	// Judges names reward models that have no policy by themselves; the evaluation asks them, too, and policies
	// may name them.
	Judges []string `yaml:"judges,omitempty"`

	SFT    jobs.SFT    `yaml:"sft"`
	Reward jobs.Reward `yaml:"reward"`
	PPO    jobs.PPO    `yaml:"ppo"`
	// GRPO and DPO are what policies of these methods start from.
	GRPO jobs.GRPO `yaml:"grpo"`
	DPO  jobs.DPO  `yaml:"dpo"`
	Eval jobs.Eval `yaml:"eval"`

	// Each holds what differs for one theory: its data, and any other key of reward or ppo.
	Each map[string]*Theory `yaml:"each"`
	// Policies are those beside the ones of the theories, by name.
	Policies map[string]*Policy `yaml:"policies,omitempty"`

	study string // the folder of the study that this is a run of; "" if it is none
	// file is what it was read from, as it was named.
	file string
	// noData: the suite of Eval has nothing to measure on.
	noData *jobs.NoDataError
}

// Theory is the part of an experiment that belongs to one theory, or to one more reward model of it.
type Theory struct {
	// Theory is the one whose data and reading it has; the entry's own name where it is not given. Another
	// reward model of a theory starts from that of the theory, with random numbers of its own.
	Theory rewards.TheoryName `yaml:"theory,omitempty"`
	Reward jobs.Reward        `yaml:"reward"`
	PPO    jobs.PPO           `yaml:"ppo"`
}

// toSections hands the top-level settings down to the sections.
func (e *Experiment) toSections() {
	e.SFT.Model, e.SFT.Engine, e.SFT.Template, e.SFT.System, e.SFT.Seed = e.Model, e.Engine, e.Template, e.System,
		e.Seed
	e.Reward.Model, e.Reward.Engine, e.Reward.Template, e.Reward.System, e.Reward.Seed = e.Model, e.Engine, e.Template,
		e.System, e.Seed
	for _, p := range []struct {
		policy *jobs.Policy
		seed   *uint64
	}{{&e.PPO.Policy, &e.PPO.Seed}, {&e.GRPO.Policy, &e.GRPO.Seed}, {&e.DPO.Policy, &e.DPO.Seed}} {
		*p.policy = jobs.Policy{Model: e.Model, Engine: e.Engine, Template: e.Template, System: e.System, Date: e.Date,
			TemplateVars: e.TemplateVars}
		*p.seed = e.Seed
	}
	e.Eval.Model, e.Eval.Engine, e.Eval.Template, e.Eval.System = e.Model, e.Engine, e.Template, e.System
	e.SFT.Date, e.Reward.Date, e.Eval.Date = e.Date, e.Date, e.Date
	e.SFT.TemplateVars, e.Reward.TemplateVars, e.Eval.TemplateVars = e.TemplateVars, e.TemplateVars, e.TemplateVars
}

// toTheories hands the sections of reward and ppo down to each theory.
func (e *Experiment) toTheories() {
	given := maps.Clone(e.Each)
	for name := range e.Each {
		t := &Theory{Reward: e.Reward, PPO: e.PPO}
		if given[name] != nil {
			t.Theory = given[name].Theory
		}
		t.Reward.Theory = t.named(name)
		t.Reward.LoRA.Targets = slices.Clone(e.Reward.LoRA.Targets)
		t.PPO.LoRA.Targets = slices.Clone(e.PPO.LoRA.Targets)
		e.Each[name] = t
	}
}

// toMoreModels lets every other reward model of a theory start from the theory's, with random numbers of its own.
func (e *Experiment) toMoreModels() {
	for name, t := range e.Each {
		of := e.Each[string(t.Theory)]
		if of == nil || string(t.Theory) == name {
			continue
		}
		t.Reward = of.Reward
		t.Reward.LoRA.Targets = slices.Clone(of.Reward.LoRA.Targets)
		t.Reward.Seed = seed.Derive(e.Seed, "experiment.reward."+name)
	}
}

// named is the theory of an entry of Each.
func (t *Theory) named(entry string) rewards.TheoryName {
	return cmp.Or(t.Theory, rewards.TheoryName(entry))
}

func (e *Experiment) resolve(dir string) error {
	if e.Name == "" {
		return &conf.Error{File: e.file, Key: "name",
			Msg: "want a name (steer init writes an experiment to start from)"}
	}
	if len(e.Theories) == 0 {
		for name := range e.Each {
			if !slices.Contains(e.Judges, name) {
				e.Theories = append(e.Theories, rewards.TheoryName(name))
			}
		}
		slices.Sort(e.Theories)
	}
	var errs []error
	for i, name := range e.rewarded() {
		if e.Each[name] == nil {
			errs = append(errs, fmt.Errorf("experiment: %s names %q: want its data under each.%s.reward.train.path",
				e.listOf(i), name, name))
		}
		if slices.Contains(e.rewarded()[:i], name) {
			errs = append(errs, fmt.Errorf("experiment: %s names %q a second time", e.listOf(i), name))
		}
	}
	for name, t := range e.Each {
		if t.Reward.Preset != e.Reward.Preset || t.PPO.Preset != e.PPO.Preset {
			errs = append(errs,
				fmt.Errorf("experiment: each.%s: theories start from the presets of the sections reward and ppo: "+
					"leave preset out", name))
		}
		if !slices.Contains(e.rewarded(), name) {
			errs = append(errs,
				fmt.Errorf("experiment: each.%s: not among theories %v, nor judges %v", name, e.Theories, e.Judges))
		}
		if _, err := rewards.Lookup(t.named(name)); err != nil {
			errs = append(errs, fmt.Errorf("experiment: each.%s: %w", name, err))
		}
	}
	errs = append(errs, e.checkPolicies()...)
	e.Out = workspace.Abs(dir, e.Out)
	e.Model = workspace.Abs(dir, e.Model)
	e.fillPaths(dir)
	if len(errs) == 0 {
		e.fillPolicies(dir)
		err := e.Eval.FindData("")
		if e.noData = nil; errors.As(err, &e.noData) {
			err = nil // told with what else is not there
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// rewarded names all reward models: those of the theories, and judges.
func (e *Experiment) rewarded() []string { return slices.Concat(theoryNames(e.Theories), e.Judges) }

func theoryNames(theories []rewards.TheoryName) (out []string) {
	for _, t := range theories {
		out = append(out, string(t))
	}
	return out
}

// listOf is the key that holds the i-th of rewarded.
func (e *Experiment) listOf(i int) string {
	if i < len(e.Theories) {
		return "theories"
	}
	return "judges"
}

// fillPaths makes all paths absolute and fills in those of what earlier stages make.
func (e *Experiment) fillPaths(dir string) {
	sftAdapter := e.adapterOf("sft")
	e.SFT.Model, e.SFT.Train.Path, e.SFT.Eval.Path, e.SFT.InitAdapter = e.Model, workspace.Abs(dir, e.SFT.Train.Path),
		workspace.Abs(dir, e.SFT.Eval.Path), workspace.Abs(dir, e.SFT.InitAdapter)
	ev := &e.Eval
	ev.Model, ev.Data = e.Model, workspace.Abs(dir, ev.Data)
	for _, f := range ev.DataFiles() {
		*f.Path = workspace.Abs(dir, *f.Path)
	}
	ev.Subjects = []jobs.Subject{{Name: "sft", Role: "sft", Adapters: []string{sftAdapter}}}
	ev.Rewards = nil
	for _, name := range e.rewarded() {
		t := e.Each[name]
		if t == nil {
			continue
		}
		t.Reward.Model, t.Reward.Theory, t.Reward.SFT = e.Model, t.named(name), []string{sftAdapter}
		t.Reward.Train.Path, t.Reward.HeldOut.Path = workspace.Abs(dir, t.Reward.Train.Path),
			workspace.Abs(dir, t.Reward.HeldOut.Path)
		t.Reward.InitAdapter = workspace.Abs(dir, t.Reward.InitAdapter)
		ev.Rewards = append(ev.Rewards, jobs.RewardModel{Name: name, Below: []string{sftAdapter},
			Adapter: e.adapterOf("reward-" + name)})
		if slices.Contains(e.Judges, name) {
			continue
		}
		t.PPO.Model, t.PPO.SFT, t.PPO.RewardBelow = e.Model, []string{sftAdapter}, []string{sftAdapter}
		t.PPO.Reward = e.adapterOf("reward-" + name)
		t.PPO.Prompts.Path, t.PPO.HeldOut.Path = workspace.Abs(dir, t.PPO.Prompts.Path),
			workspace.Abs(dir, t.PPO.HeldOut.Path)
		ev.RewardText = t.PPO.RewardText
		ev.Subjects = append(ev.Subjects, jobs.Subject{Name: name, Role: "policy", Theory: string(t.named(name)),
			Adapters: []string{sftAdapter, e.adapterOf("ppo-" + name)}})
	}
}

func (e *Experiment) adapterOf(stage string) string {
	return filepath.Join(e.Out, stage, run.AdapterFile)
}

// Stages lists the jobs in the order in which they run.
func (e *Experiment) Stages() []jobs.Named {
	stages := []jobs.Named{{Name: "sft", Job: &e.SFT}}
	for _, t := range e.rewarded() {
		stages = append(stages, jobs.Named{Name: "reward-" + t, Job: &e.Each[t].Reward})
	}
	for _, t := range e.Theories {
		stages = append(stages, jobs.Named{Name: "ppo-" + string(t), Job: &e.Each[string(t)].PPO})
	}
	for _, name := range e.policyNames() {
		if job := e.Policies[name].job(); job != nil {
			stages = append(stages, jobs.Named{Name: e.Policies[name].stage(name), Job: job})
		}
	}
	return append(stages, jobs.Named{Name: "eval", Job: &e.Eval})
}

// Lock finds mistakes and missing files, then takes the folder for a whole run of the
// experiment: another process is told who has it. Reports may be written meanwhile.
func (e *Experiment) Lock() (io.Closer, error) {
	if err := errors.Join(e.Validate(), e.checkInputs()); err != nil {
		return nil, err
	}
	return run.Lock(e.Out, "experiment folder")
}

// Run runs every stage that is not finished yet. The folder should be locked. A finished stage is skipped if neither
// its configuration nor any file that went into it has changed; otherwise it is run anew.
// An interrupted one goes on, unless files that went into it have changed.
func (e *Experiment) Run(ctx context.Context, con jobs.Console, fresh bool) error {
	if err := errors.Join(e.Validate(), e.checkInputs()); err != nil {
		return err
	}
	if err := e.writeSummary(); err != nil {
		return err
	}
	for _, s := range e.Stages() {
		if err := s.Job.Resolve("", con.Hashes); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		dir := filepath.Join(e.Out, s.Name)
		anew := fresh
		if !fresh {
			diff, err := jobs.Changes(dir, s.Job)
			intact := false
			if err == nil && len(diff) == 0 && run.HasResult(dir) {
				intact, err = jobs.AdapterIntact(dir)
			}
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", s.Name, err)
			case len(diff) > 0 && (run.HasResult(dir) || jobs.OnlyInputs(diff)):
				parts := s.Job.Kind() == jobs.EvalKind // which keeps what the change does not touch
				con.Progress.Note(fmt.Sprintf("%s: run anew, since %s", s.Name, diff[0]))
				anew = !parts
			case intact:
				con.Progress.Note(s.Name + ": finished, nothing that goes into it has changed: skipped")
				continue
			case len(diff) == 0 && run.HasResult(dir):
				con.Progress.Note(s.Name +
					": its adapter.gguf is not the one it finished with: made again from the last checkpoint")
			}
		}
		if err := e.runStage(ctx, s, con, dir, anew, fresh); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// forgetReports removes the reports of what a fresh start forgets.
func (e *Experiment) forgetReports() error {
	var errs []error
	for _, dir := range []string{e.Out, e.study} {
		for _, name := range run.ReportFiles() {
			if err := os.Remove(filepath.Join(dir, name)); dir != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// runStage runs one stage. fresh forgets an earlier run of it, forget the reports as well.
func (e *Experiment) runStage(
	ctx context.Context, s jobs.Named, con jobs.Console, dir string, fresh, forget bool,
) error {
	var before func() error
	if forget {
		before = e.forgetReports
	}
	err := plan.Run(ctx, s.Job, con, s.Name, dir, fresh, before)
	if errors.Is(err, run.ErrConfigChanged) {
		return fmt.Errorf("%w\nGo back to that configuration, remove %s to run this stage anew, "+
			"or start all over with --fresh", err, dir)
	}
	return err
}

// input is a file that an experiment names.
type input struct{ key, path string }

// inputs lists the files that the experiment names and does not make itself.
func (e *Experiment) inputs() []input {
	all := []input{{"model", e.Model}, {"sft.train.path", e.SFT.Train.Path}, {"sft.eval.path", e.SFT.Eval.Path}}
	for _, name := range e.rewarded() {
		t := e.Each[name]
		key := "each." + name + ".reward."
		all = append(all, input{key + "train.path", t.Reward.Train.Path},
			input{key + "held_out.path", t.Reward.HeldOut.Path})
		if slices.Contains(e.Judges, name) {
			continue
		}
		all = append(all, input{"ppo.prompts.path", t.PPO.Prompts.Path}, input{"ppo.held_out.path", t.PPO.HeldOut.Path})
	}
	for _, name := range e.policyNames() {
		all = append(all, e.Policies[name].inputs("policies."+name+".")...)
	}
	for _, f := range e.Eval.DataFiles() {
		all = append(all, input{"eval." + f.Key + ".path", *f.Path})
	}
	return slices.DeleteFunc(all, func(f input) bool { return f.path == "" })
}

// checkInputs finds missing files before anything runs, not after an hour.
func (e *Experiment) checkInputs() error {
	var errs []error
	for _, f := range e.inputs() {
		if hub.IsName(f.path) { // what it is [Study.Locate] finds
			continue
		}
		_, err := os.Stat(f.path)
		if err != nil && f.key != "model" {
			_, err = data.Resolve(f.path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.key, err))
		}
	}
	if e.noData != nil && len(errs) == 0 { // what fetches the others fetches these
		errs = append(errs, e.noData)
	}
	err := WithSources(unique(errs))
	if missing, ok := errors.AsType[*SourcesError](err); ok {
		missing.File = e.file
	}
	return err
}

// Validate finds mistakes in the configuration of any stage before the first one runs.
// It opens no file.
func (e *Experiment) Validate() error {
	errs := []error{e.Engine.Validate(), e.SFT.Config.Validate(), e.Eval.Config.Validate()}
	named := func(key, path string) {
		if path == "" {
			errs = append(errs, fmt.Errorf("experiment: %s: want the path of a file", key))
		}
	}
	named("model", e.Model)
	named("sft.train.path", e.SFT.Train.Path)
	for _, name := range e.rewarded() {
		t := e.Each[name]
		named("each."+name+".reward.train.path", t.Reward.Train.Path)
		errs = append(errs, t.Reward.Config.Validate())
		if slices.Contains(e.Judges, name) {
			continue
		}
		named("ppo.prompts.path", t.PPO.Prompts.Path)
		errs = append(errs, t.PPO.Config.Validate(), t.PPO.LoRA.Validate("ppo.lora"))
	}
	for _, name := range e.policyNames() {
		if err := e.Policies[name].validate(); err != nil {
			errs = append(errs, fmt.Errorf("experiment: policies.%s: %w", name, err))
		}
	}
	return unique(errs)
}

// each is what an error joins.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// unique joins errors, leaving out those that say the same as one before: theories
// share most of their configuration.
func unique(errs []error) error {
	var out []error
	seen := map[string]bool{}
	for _, err := range errs {
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

// Forecast plans every stage. Adapters that earlier stages have not made yet are
// taken to be as they are configured.
func (e *Experiment) Forecast(ctx context.Context, opt plan.ForecastOptions) (*plan.Forecast, error) {
	if err := errors.Join(e.Validate(), e.checkInputs()); err != nil {
		return nil, err
	}
	files := map[string]jobs.Maker{}
	for _, s := range e.Stages() {
		if m, ok := s.Job.(jobs.Maker); ok {
			files[e.adapterOf(s.Name)] = m
		}
	}
	return plan.Stages(ctx, e.Stages(), files, opt)
}

// printMissing prints which input files are not there yet.
func (e *Experiment) printMissing(con jobs.Console) {
	err := e.checkInputs()
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*SourcesError](err); ok {
		fmt.Fprintln(con.Out, comment("missing: "+err.Error()))
		return
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(err.Error(), "\n") {
		if line, _, _ = strings.Cut(line, " (also"); !seen[line] {
			fmt.Fprintf(con.Out, "# missing: %s\n", line)
		}
		seen[line] = true
	}
}

// printStages prints what would be done with each stage.
func (e *Experiment) printStages(con jobs.Console) {
	for _, s := range e.Stages() {
		state := "to run"
		if run.HasResult(filepath.Join(e.Out, s.Name)) {
			state = "has a result (skipped if its inputs are unchanged)"
		} else if run.Exists(filepath.Join(e.Out, s.Name, run.CheckpointsDir)) {
			state = "to be resumed"
		}
		fmt.Fprintf(con.Out, "# --- stage %s: %s\n", s.Name, state)
	}
}

// writeSummary writes experiment.yaml beside the folders of the stages.
func (e *Experiment) writeSummary() error {
	raw, err := conf.Marshal(e.summary())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.Out, 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(e.Out, run.ExperimentFile), raw, 0o666)
}

// summary is what experiment.yaml in the output folder says.
func (e *Experiment) summary() run.Experiment {
	return run.Experiment{
		Name: e.Name, Theories: theoryNames(e.Theories), Judges: e.Judges, Model: e.Model,
		Template: string(cmp.Or(e.Template, workspace.OwnOr(e.Model))), Seed: e.Seed, Preset: e.Preset,
		Policies: e.policySummaries(),
	}
}
