package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"steer/app/workspace"
	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/suite"
	"steer/ggml"
	"steer/ggml/lm"
	"steer/internal/atomicfile"
	"steer/internal/filehash"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// Eval is one evaluation: models under benchmarks, and answers under reward models.
type Eval struct {
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// Template and System are those of the SFT adapter, for prompts of the reward matrix: those
	// of the first subject that says its own where none is given, or chatml.
	Template data.TemplateName `yaml:"template,omitempty"`
	System   *string           `yaml:"system,omitempty"`
	// Date is what a model's own template shows as today.
	Date data.Date `yaml:"date,omitempty"`
	// TemplateVars are variables of a model's own template, such as enable_thinking.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	// Subjects are the models under test, besides the base; the order is that of every table.
	Subjects []Subject `yaml:"subjects"`
	// Rewards are the reward models of the matrix.
	Rewards []RewardModel `yaml:"rewards"`
	// RewardText says what the reward models read; see PPO.
	RewardText RewardText `yaml:"reward_text"`
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool `yaml:"any_stack,omitempty"`

	// Suite names a set of benchmarks with their options; the data of those whose path is
	// not given are looked for below Data. See [Suite].
	Suite SuiteName `yaml:"suite,omitempty"`
	Data  string    `yaml:"data,omitempty"`
	// Limit takes the first so many items of every benchmark; 0 takes all.
	Limit int `yaml:"limit,omitempty"`
	// Missing lists the data of the suite that were not found.
	Missing []MissingData `yaml:"missing,omitempty"`

	benchmark.Config `yaml:",inline"`

	// TaskData names the data files of tasks by the names of the tasks; Resolve puts them where
	// Tasks have theirs.
	TaskData map[string]string `yaml:"task_data,omitempty"`
	// FindDataset, if set, gives Resolve the files of data sets that tasks name and nobody gave.
	FindDataset benchmark.Finder `yaml:"-"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`
}

// Subject is a model under test: the base with a stack of adapters.
type Subject struct {
	Name     string   `yaml:"name"`
	Role     string   `yaml:"role"` // sft or policy
	Theory   string   `yaml:"theory,omitempty"`
	Adapters []string `yaml:"adapters"`
	// BestOf gives the best of several answers of that stack.
	BestOf *BestOfN `yaml:"best_of,omitempty"`
}

// RewardModel is a reward adapter on the base and the adapters below it.
type RewardModel struct {
	Name    string   `yaml:"name"`
	Below   []string `yaml:"below"`
	Adapter string   `yaml:"adapter"`
}

// NewEval measures nothing yet.
func NewEval() Eval {
	return Eval{Engine: workspace.DefaultEngine(), RewardText: RewardTokens, Config: benchmark.DefaultConfig()}
}

// EvalMethod measures; what an evaluation starts from is a suite.
func EvalMethod() Method {
	return Method{EvalKind, "suite", func(suite string) (Job, error) {
		j, err := NewEvalSuite(SuiteName(suite))
		return &j, err
	}}
}

// Base implements Job.
func (j *Eval) Base() (string, workspace.EngineConfig) { return j.Model, j.Engine }

// Folder implements Job.
func (j *Eval) Folder() string { return "eval" }

// Kind implements Job.
func (j *Eval) Kind() Kind { return EvalKind }

// Read implements Job.
func (j *Eval) Read() Inputs { return j.Inputs }

// Clone implements Job.
func (j *Eval) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *Eval) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{
		{"batch_tokens", &j.BatchTokens, false}, {"engine.sequences", &j.Engine.Sequences, false},
	}}
}

// Resolve finds the data of the suite, makes paths absolute and hashes the inputs.
func (j *Eval) Resolve(dir string, hashes *filehash.Cache) (err error) {
	if err := j.FindData(dir); err != nil {
		return err
	}
	if err := j.checkNames(); err != nil {
		return err
	}
	for i := range j.Tasks {
		j.Tasks[i].Path = workspace.Abs(dir, j.Tasks[i].Path)
	}
	if err := j.Tasks.Expand(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(j.TaskData)) {
		if err := j.Tasks.SetData(name, workspace.Abs(dir, j.TaskData[name])); err != nil {
			return err
		}
	}
	j.TaskData = nil
	if j.FindDataset != nil {
		if err := j.Tasks.Find(j.FindDataset); err != nil {
			return err
		}
	}
	files := map[string]*string{"model": &j.Model}
	sources := map[string]*string{}
	for _, f := range j.DataFiles() {
		sources[roleOf(f)] = f.Path
	}
	for i := range j.Subjects {
		for k := range j.Subjects[i].Adapters {
			files[numbered("subject."+j.Subjects[i].Name, k)] = &j.Subjects[i].Adapters[k]
		}
		if err := j.Subjects[i].bestOfFiles(files); err != nil {
			return err
		}
	}
	for i := range j.Rewards {
		files["reward."+j.Rewards[i].Name] = &j.Rewards[i].Adapter
		for k := range j.Rewards[i].Below {
			role := numbered("reward."+j.Rewards[i].Name+".on", k)
			if files[role] != nil {
				return fmt.Errorf("eval: rewards: the name %q reads like an adapter below %q: choose another",
					strings.TrimPrefix(role, "reward."), j.Rewards[i].Name)
			}
			files[role] = &j.Rewards[i].Below[k]
		}
	}
	placed := func(paths map[string]*string) map[string]string {
		out := map[string]string{}
		for role, p := range paths {
			*p = workspace.Abs(dir, *p)
			out[role] = *p
		}
		return out
	}
	models, data := placed(files), placed(sources)
	if j.Model == "" {
		return errors.New("eval: model: want the path of a GGUF file")
	}
	if err := errors.Join(j.Engine.Validate(), j.Config.Validate(), j.fillForm()); err != nil {
		return err
	}
	if err := j.LoadTasks(); err != nil {
		return err
	}
	maps.Copy(data, j.Tasks.Inputs())
	j.Inputs, err = inputsOf(hashes, models, data)
	return err
}

// checkNames refuses names that could not tell two models apart: results, records and inputs go
// by them.
func (j *Eval) checkNames() error {
	names := []string{"base"}
	for _, s := range j.Subjects {
		if s.Name == "" || slices.Contains(names, s.Name) {
			return fmt.Errorf("eval: subjects: name %q is empty, taken or \"base\"", s.Name)
		}
		names = append(names, s.Name)
	}
	names = nil
	for _, r := range j.Rewards {
		if r.Name == "" || slices.Contains(names, r.Name) {
			return fmt.Errorf("eval: rewards: name %q is empty or taken", r.Name)
		}
		names = append(names, r.Name)
	}
	return nil
}

// roleOf names a data file among the inputs.
func roleOf(f benchmark.DataFile) string {
	if f.Key == "cross_reward.prompts" {
		return "prompts"
	}
	return strings.ReplaceAll(f.Key, ".", "_")
}

// Run measures. An interrupted evaluation goes on at the batch it was in.
func (j *Eval) Run(ctx context.Context, w *workspace.Workspace, con Console, name, dir string,
	fresh bool) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	if err := j.fillForm(); err != nil {
		return err
	}
	cfg, err := j.fitting(w.Model.Info().CtxTrain)
	if err != nil {
		return err
	}
	j.derive(cfg)
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-con.Stopper.Stop():
			cancel()
		case <-ctx.Done():
		}
	}()
	var stop []int32
	if cfg.Template, stop, err = w.Template(j.form()); err != nil {
		return err
	}
	cfg.OnProgress = evalProgress(con.Progress)
	if dir == "" { // nothing is kept
		var remove func() error
		if dir, remove, err = atomicfile.TempDir("", "steer-plan-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
		cfg.Resamples = 1 // nobody waits for statistics of numbers without meaning
	}
	evaluation, err := suite.New(cfg, dir)
	if err != nil {
		return run.DiskFull(err, "every finished measurement is kept")
	}
	evaluation.Version, evaluation.Note = con.Version, con.Progress.Note
	defer func() {
		done, all := evaluation.Done()
		kept := fmt.Sprintf("%d of %d measurements are done, and of the next every batch that was", done, all)
		if con.Stopper.Stopping() && errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: %s", train.ErrInterrupted, kept)
		}
		err = run.DiskFull(err, kept)
	}()
	subjects, models, err := j.subjects(w, cfg.Template, stop)
	if err != nil {
		return err
	}
	rewardModels, err := j.rewards(w, con)
	if err != nil {
		return err
	}
	if s.folder != nil {
		j.identify(subjects, rewardModels)
	}
	w.Tell(con.Progress)
	j.tellMissing(con.Progress.Note)
	for _, note := range cfg.Tasks.Notes() {
		con.Progress.Note(note)
	}
	benchmarks, cross, err := evaluation.Run(ctx, subjects, rewardModels)
	if err != nil {
		return err
	}
	if len(benchmarks) == 0 && cross == nil {
		con.Progress.Note(fmt.Sprintf("warning: %s: nothing was measured: no benchmark has data; name a suite, a "+
			"task, or the file of a benchmark (steer eval --list)", name))
	}
	record := run.NewEvaluation(name, models, benchmarks, cross)
	record.Seed = &cfg.Seed
	j.recordSuite(record)
	return s.finish(w, j.Inputs, record)
}

// fitting is the configuration with its lengths cut to what the model can hold; what
// they cut off is counted in the result.
func (j *Eval) fitting(context int) (benchmark.Config, error) {
	cfg, most := j.Config, context-1
	if cfg.MaxLength == 0 {
		cfg.MaxLength = most
	}
	cfg.MaxLength = min(cfg.MaxLength, most)
	if x := &cfg.CrossReward; x.Prompts.Path != "" {
		if x.MaxNewTokens > most {
			return cfg, fmt.Errorf("eval: cross_reward.max_new_tokens %d leaves no room for a prompt in the model's "+
				"context of %d tokens: lower it", x.MaxNewTokens, most+1)
		}
		x.MaxPromptTokens = min(x.MaxPromptTokens, most+1-x.MaxNewTokens)
	}
	if x := &cfg.Generations; x.Path != "" {
		if x.MaxNewTokens > most {
			return cfg, fmt.Errorf("eval: generations.max_new_tokens %d leaves no room for a prompt in the model's "+
				"context of %d tokens: lower it", x.MaxNewTokens, most+1)
		}
		x.MaxPromptTokens = min(x.MaxPromptTokens, most+1-x.MaxNewTokens)
	}
	return cfg, nil
}

// derive notes what runs otherwise than it is configured.
func (j *Eval) derive(ran benchmark.Config) {
	j.Derived = nil
	j.Derived.note("max_length", j.MaxLength, ran.MaxLength)
	j.Derived.note("cross_reward.max_prompt_tokens", j.CrossReward.MaxPromptTokens, ran.CrossReward.MaxPromptTokens)
	j.Derived.note("generations.max_prompt_tokens", j.Generations.MaxPromptTokens, ran.Generations.MaxPromptTokens)
}

// identify gives every model the ID by which what was measured of it is recognised.
func (j *Eval) identify(subjects []eval.Subject, rewardModels []eval.Reward) {
	// How many sequences are decoded at once is part of the arithmetic of sampling.
	base := fmt.Sprintf("base %s in %s, %d sequences", j.Inputs["model"], j.Engine.Precision, j.Engine.Sequences)
	stack := func(role string, adapters []string) string {
		id := base
		for k := range adapters {
			id += ", " + j.Inputs[numbered(role, k)]
		}
		return id
	}
	subjects[0].ID = base
	for i, c := range j.Subjects {
		subjects[i+1].ID = stack("subject."+c.Name, c.Adapters)
		if c.BestOf != nil {
			subjects[i+1].ID += c.BestOf.id(c.bestOfRole(), j.Inputs)
		}
	}
	for i, c := range j.Rewards {
		system := ""
		if j.System != nil {
			system = *j.System
		}
		// What a reward model reads is closed by the template's end.
		rewardModels[i].ID = fmt.Sprintf("%s, reward %s on %s of template %s %q",
			stack("reward."+c.Name+".on", c.Below), j.Inputs["reward."+c.Name], j.RewardText, j.Template, system)
		if r, ok := rewardModels[i].Rewarder.(rewarder); ok && r.s.reencode {
			rewardModels[i].ID += ", in its own template"
		}
	}
}

func (j *Eval) form() workspace.Form {
	return workspace.Form{Template: j.Template, System: j.System, Date: j.Date, Vars: j.TemplateVars}
}

// fillForm takes the template of the first subject that says its own, or of the first
// reward model, where none is given.
func (j *Eval) fillForm() error {
	var paths []string // the last that says decides
	for _, r := range slices.Backward(j.Rewards) {
		paths = append(append(paths, r.Below...), r.Adapter)
	}
	for _, s := range slices.Backward(j.Subjects) {
		paths = append(paths, s.Adapters...)
	}
	return workspace.FillForm(j.Model, &j.Template, &j.System, &j.Date, &j.TemplateVars, paths)
}

// asksInTemplate tells whether anything is measured that is put in the template.
func (j *Eval) asksInTemplate() bool {
	return len(j.Tasks) > 0 && j.ApplyChatTemplate || j.CrossReward.Prompts.Path != "" ||
		j.Generations.Path != "" && j.Generations.Chat || j.KL.Path != ""
}

// subjects opens the base and every subject.
func (j *Eval) subjects(w *workspace.Workspace, tpl *data.Template, stop []int32) (
	[]eval.Subject, []run.Model, error,
) {
	base, err := w.Step(nil, false, 0)
	if err != nil {
		return nil, nil, err
	}
	subjects := []eval.Subject{{Name: "base", Evaluator: base, Generator: w.Generator(), Tokenizer: w.Tok}}
	models := []run.Model{{Name: "base", Role: "base", Adapters: []string{}}}
	for _, c := range j.Subjects {
		adapters, stack, err := w.LoadStack(c.Adapters, workspace.UsePolicy)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		if j.asksInTemplate() {
			w.NoteForm(tpl, stack...)
		}
		step, err := w.Step(adapters, false, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		s := eval.Subject{Name: c.Name, Evaluator: step, Generator: w.Generator(adapters...), Tokenizer: w.Tok}
		if c.BestOf != nil {
			asked := asking{template: tpl, stop: stop, text: j.RewardText}
			best, err := c.BestOf.open(w, s.Generator, asked, j.BatchTokens, w.Remark)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: best_of: %w", c.Name, err)
			}
			s.Generator, s.BestOf = best, c.BestOf.N
		}
		subjects = append(subjects, s)
		models = append(models, run.Model{Name: c.Name, Role: c.Role, Theory: c.Theory, Adapters: c.Adapters,
			BestOf: s.BestOf})
	}
	j.divergences(w, subjects)
	return subjects, models, nil
}

// divergences lets every model but the reference say how far it is from it.
func (j *Eval) divergences(w *workspace.Workspace, subjects []eval.Subject) {
	at := slices.IndexFunc(subjects, func(s eval.Subject) bool { return s.Name == j.KL.Reference })
	if j.KL.Path == "" || at < 0 {
		return // the benchmark says so, where it is asked for
	}
	for i := range subjects {
		if i != at {
			subjects[i].KL = w.KL(subjects[i].Evaluator, subjects[at].Evaluator)
		}
	}
}

// rewards opens the reward models. Benchmarks take raw scores with their normalisation beside.
func (j *Eval) rewards(w *workspace.Workspace, con Console) ([]eval.Reward, error) {
	tpl, stop, err := w.Template(j.form())
	if err != nil {
		return nil, err
	}
	asked := asking{template: tpl, stop: stop, text: j.RewardText}
	var out []eval.Reward
	for _, c := range j.Rewards {
		s, err := openScorer(w, c.Below, c.Adapter, asked, j.BatchTokens)
		if err != nil {
			return nil, fmt.Errorf("reward %s: %w", c.Name, err)
		}
		r := eval.Reward{Name: c.Name, Rewarder: rewarder{s}, Mean: float64(s.Mean), Std: float64(s.Std),
			Form: string(s.trained), Classifier: s.theory == string(rewards.Toxicity)}
		out = append(out, r)
	}
	return out, nil
}

// rewarder gives raw scores of exchanges.
type rewarder struct{ s *scorer }

// Score implements eval.Rewarder.
func (r rewarder) Score(ctx context.Context, exchanges []eval.Exchange) ([]float32, error) {
	scores, _, err := r.ScoreCut(ctx, exchanges)
	return scores, err
}

// ScoreCut implements eval.CuttingRewarder.
func (r rewarder) ScoreCut(ctx context.Context, exchanges []eval.Exchange) (scores []float32, cut []int, err error) {
	sequences, cut := make([][]int32, len(exchanges)), make([]int, len(exchanges))
	for i, x := range exchanges {
		ids, err := r.tokens(x)
		if err != nil {
			return nil, nil, fmt.Errorf("exchange %d: %w", i, err)
		}
		kept := r.s.cut
		if x.Turns != nil {
			kept = r.s.encoder.Cut
		}
		sequences[i] = r.s.cut(kept(ids))
		cut[i] = len(ids) - len(sequences[i])
	}
	scores, err = r.s.Raw(ctx, sequences)
	return scores, cut, err
}

// tokens is what the reward model reads of an exchange.
func (r rewarder) tokens(x eval.Exchange) ([]int32, error) {
	switch {
	case x.Turns != nil && r.s.noEncoder != nil:
		return nil, r.s.noEncoder
	case x.Turns != nil && r.s.trained == rewards.FormChat:
		return r.s.encoder.Conversation(x.Turns)
	case x.Turns != nil:
		return r.s.encoder.Text(x.PromptText + x.ResponseText)
	}
	ids := slices.Concat(x.Prompt, x.Response)
	if ids == nil {
		var err error
		if ids, err = r.s.w.Tok.Encode(x.PromptText+x.ResponseText, true, false); err != nil {
			return nil, err
		}
	}
	return r.s.exchange(x.PromptTurns, ids, x.PromptText, x.ResponseText)
}

// evalProgress turns the suite's reports into progress lines: which measurement of how
// many, how far it is, and when all will be through.
func evalProgress(p train.Progress) func(eval.Progress) {
	return func(e eval.Progress) {
		stage := strings.Join(strings.Fields(e.Benchmark+" "+e.Protocol+" "+e.Model), " ")
		if e.Parts > 0 {
			stage = fmt.Sprintf("%d/%d %s", e.Part, e.Parts, stage)
		}
		p.Step(train.Status{Stage: stage, Step: int64(e.Done), Total: int64(e.Total),
			TokensPerSecond: e.TokensPerSecond, ETA: e.ETA})
	}
}

var (
	_ lm.Evaluator   = (*ggml.Step)(nil)
	_ rollout.Scorer = (*scorer)(nil)
)
