package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"steer/app/source"
	"steer/app/workspace"
	"steer/eval"
	"steer/eval/journal"
	"steer/eval/judge"
	"steer/internal/filehash"
	"steer/rewards"
	"steer/rewards/constitution"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
)

// Judge lets a model compare answers under a constitution, and writes what it prefers.
type Judge struct {
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// Template is the form of the question: that of the adapters, or the model's own, or chatml. Its system message is
	// the constitution.
	Template data.TemplateName `yaml:"template,omitempty"`
	// Date is what a model's own template shows as today.
	Date data.Date `yaml:"date,omitempty"`
	// TemplateVars are variables of a model's own template, such as enable_thinking.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	// Adapters lie on the base, in this order.
	Adapters []string `yaml:"adapters"`
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool `yaml:"any_stack,omitempty"`

	// Constitution is the name of a text that comes with steer, or the path of one.
	Constitution string `yaml:"constitution"`
	// Pairs are the answers to compare; Theory says how they are read, as for a reward model. Without one that is as
	// the file's format has it.
	Pairs  data.Source        `yaml:"pairs"`
	Theory rewards.TheoryName `yaml:"theory,omitempty"`
	Recipe rewards.Recipe     `yaml:"recipe,omitempty"`
	// Labelled: of pairs, the chosen answer is the one that people prefer; the agreement with them is measured.
	Labelled bool `yaml:"labelled"`
	// Sampled answers to prompts take the place of Pairs.
	Sampled JudgedSamples `yaml:",inline"`
	// Seed is of everything random: answers, and pairs that are drawn.
	Seed uint64 `yaml:"seed"`

	// MinMargin is the least log-odds, in nats, averaged over both orders, that decides; Consistent leaves out pairs
	// whose orders disagree.
	MinMargin  float64 `yaml:"min_margin"`
	Consistent bool    `yaml:"consistent"`
	// MaxTokens bounds a question, BatchTokens a batch.
	MaxTokens   int `yaml:"max_tokens"`
	BatchTokens int `yaml:"batch_tokens"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`
}

// NewJudge is a job of judging.
func NewJudge() Judge {
	return Judge{Engine: workspace.DefaultEngine(), Labelled: true, Sampled: newJudgedSamples(), MaxTokens: 2048,
		BatchTokens: 2048}
}

// JudgeMethod compares answers.
func JudgeMethod() Method {
	return Method{JudgeKind, "constitution", func(text string) (Job, error) {
		j := NewJudge()
		j.Constitution = text
		return &j, nil
	}}
}

// Base implements Job.
func (j *Judge) Base() (string, workspace.EngineConfig) { return j.Model, j.Engine }

// Folder implements Job.
func (j *Judge) Folder() string { return "judge" }

// Kind implements Job.
func (j *Judge) Kind() Kind { return JudgeKind }

// Read implements Job.
func (j *Judge) Read() Inputs { return j.Inputs }

// From implements Job.
func (j *Judge) From() *Sources { return &j.Sources }

// Clone implements Job.
func (j *Judge) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *Judge) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{
		{"batch_tokens", &j.BatchTokens, false}, {"engine.sequences", &j.Engine.Sequences, false},
	}}
}

// Names implements Job.
func (j *Judge) Names() []Name {
	names := append(namesAt("adapters", source.Adapter, j.Adapters), nameAt("model", source.Model, &j.Model),
		nameAt("pairs.path", source.Data, &j.Pairs.Path), nameAt("prompts.path", source.Data, &j.Sampled.Prompts.Path))
	for i := range j.Sampled.Policies {
		names = append(names, namesAt(fmt.Sprintf("policies[%d].adapters", i), source.Adapter,
			j.Sampled.Policies[i].Adapters)...)
	}
	return names
}

// Resolve makes paths absolute and hashes the inputs.
func (j *Judge) Resolve(dir string, hashes *filehash.Cache) (err error) {
	for _, p := range []*string{&j.Model, &j.Pairs.Path, &j.Sampled.Prompts.Path} {
		*p = workspace.Abs(dir, *p)
	}
	files := map[string]string{"model": j.Model}
	for i := range j.Adapters {
		j.Adapters[i] = workspace.Abs(dir, j.Adapters[i])
		files[numbered("adapter", i)] = j.Adapters[i]
	}
	j.Sampled.place(dir, files)
	if !slices.Contains(constitution.Names(), j.Constitution) && j.Constitution != "" {
		j.Constitution = workspace.Abs(dir, j.Constitution)
		files["constitution"] = j.Constitution
	}
	if err := j.check(); err != nil {
		return err
	}
	if err := errors.Join(j.fillForm(), j.Sampled.fillForms(j)); err != nil {
		return err
	}
	j.Inputs, err = inputsOf(hashes, files,
		map[string]string{"pairs": j.Pairs.Path, "prompts": j.Sampled.Prompts.Path})
	return err
}

// check finds mistakes before anything is opened.
func (j *Judge) check() error {
	_, unknown := constitution.Open(j.Constitution)
	errs := []error{unknown, j.Engine.Validate(), checkSource("pairs", j.Pairs),
		checkSource("prompts", j.Sampled.Prompts)}
	if j.Theory != "" {
		_, err := rewards.Lookup(j.Theory)
		errs = append(errs, err)
	}
	if j.Model == "" {
		errs = append(errs, errors.New("judge: model: want the path of a GGUF file"))
	}
	switch pairs, prompts := j.Pairs.Path != "", j.Sampled.Prompts.Path != ""; {
	case pairs && prompts:
		errs = append(errs, errors.New("judge: pairs and prompts: want one of them: answers that are there, or "+
			"prompts to sample answers to"))
	case !pairs && !prompts:
		errs = append(errs, errors.New("judge: pairs.path: want a file of answers to compare, or, as prompts.path, "+
			"one of prompts to sample answers to"))
	case prompts:
		errs = append(errs, j.Sampled.check(j.Recipe, j.Theory))
	case len(j.Sampled.Policies) > 0:
		errs = append(errs, errors.New("judge: policies: they answer prompts: want prompts.path, not pairs.path"))
	}
	if j.MinMargin < 0 {
		errs = append(errs, fmt.Errorf("judge: min_margin: want at least 0, got %g", j.MinMargin))
	}
	if j.MaxTokens < 1 || j.BatchTokens < 1 {
		errs = append(errs, errors.New("judge: max_tokens and batch_tokens: want at least 1"))
	}
	return errors.Join(errs...)
}

// fillForm takes the template of the adapters, or the model's own. Their system message is not taken: the constitution
// stands there.
func (j *Judge) fillForm() error {
	var system *string
	return workspace.FillForm(j.Model, &j.Template, &system, &j.Date, &j.TemplateVars, j.Adapters)
}

// rule is which judgements become preferences.
func (j *Judge) rule() judge.Rule {
	return judge.Rule{MinMargin: j.MinMargin, Consistent: j.Consistent}
}

// Run judges, or goes on at the batch it was in.
func (j *Judge) Run(
	ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool,
) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	// 1. The model, and the form of the question.
	text, err := constitution.Open(j.Constitution)
	if err != nil {
		return err
	}
	model, config, err := j.open(w, text.Text)
	if err != nil {
		return err
	}
	// 2. The pairs, or what is needed to sample some.
	var set judged
	var sampler *answerer
	if j.Sampled.Prompts.Path == "" {
		set, err = j.readPairs(w)
	} else {
		sampler, err = j.openAnswerer(w, con, name, dir == "")
	}
	if err != nil {
		return err
	}
	// 3. The run.
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ctx, cancel := stoppable(ctx, con.Stopper)
	defer cancel()
	asked, err := openAsked(con, name, dir)
	if err != nil {
		return run.DiskFull(err, "nothing is lost")
	}
	defer func() { err = keptAnswers(errors.Join(err, asked.Close()), con) }()
	// 4. Answers, where there are none yet; judgements.
	if sampler != nil {
		if set, err = sampler.pairs(ctx, asked, j.Seed); err != nil {
			return err
		}
	}
	con.Progress.Note(fmt.Sprintf("%s: %d pairs to judge by %s", name, len(set.pairs), text.Name))
	set.judgements, err = config.Judge(ctx, asked.Subject(model).Evaluator, set.pairs, func(done int) {
		con.Progress.Step(train.Status{Stage: name, Step: int64(done), Total: int64(len(set.pairs))})
	})
	if err != nil {
		return err
	}
	// 5. The preferences and the result.
	return j.finish(w, s, text, &set)
}

// keptAnswers says of an error that ends a run that nothing is lost.
func keptAnswers(err error, con Console) error {
	const kept = "every batch that was answered is kept"
	if con.Stopper.Stopping() && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %s", train.ErrInterrupted, kept)
	}
	return run.DiskFull(err, kept)
}

// finish says what came out, and writes it.
func (j *Judge) finish(w *workspace.Workspace, s *stage, text constitution.Text, set *judged) error {
	result := j.result(text, set)
	for _, line := range describe(&result.Judging) {
		s.con.Progress.Note(s.name + ": " + line)
	}
	for _, warning := range result.Warnings {
		s.con.Progress.Note("warning: " + s.name + ": " + warning)
	}
	if s.folder == nil {
		return nil
	}
	err := j.write(s.folder, text, set)
	if err == nil {
		result.JudgedSHA256, err = filehash.Sum(s.folder.Path(run.JudgedFile))
	}
	if err != nil {
		return err
	}
	return s.finish(w, j.Inputs, result)
}

// open opens the judge, and says how it is asked.
func (j *Judge) open(w *workspace.Workspace, text string) (model eval.Subject, config judge.Config, err error) {
	if err := j.fillForm(); err != nil {
		return model, config, err
	}
	tpl, _, err := w.Template(workspace.Form{Template: j.Template, Date: j.Date, Vars: j.TemplateVars})
	if err != nil {
		return model, config, err
	}
	adapters, stack, err := w.LoadStack(j.Adapters, workspace.UsePolicy)
	if err != nil {
		return model, config, fmt.Errorf("judge: adapters: %w", err)
	}
	w.NoteForm(tpl, stack...)
	step, err := w.Step(adapters, false, 0)
	if err != nil {
		return model, config, err
	}
	longest := w.Within("max_tokens", j.MaxTokens, w.Model.Info().CtxTrain, "questions")
	j.Derived = nil
	j.Derived.note("max_tokens", j.MaxTokens, longest)
	config = judge.Config{Constitution: text, Template: tpl, Tokenizer: w.Tok, MaxTokens: longest,
		BatchTokens: j.BatchTokens}
	var refused *data.Refusal
	_, err = tpl.Render(config.Question("user: Why?", "This.", "That."))
	if errors.As(err, &refused) && refused.Raised {
		config.NoSystem = true
		w.Remark("the model's chat template takes no message of the system: the constitution stands at the head of " +
			"the user's message")
	}
	return eval.Subject{Name: "judge", Evaluator: step, Tokenizer: w.Tok,
		ID: fmt.Sprintf("judge %v in %s", j.identity("adapter", len(j.Adapters)), j.Engine.Precision)}, config, nil
}

// identity is the hashes of the base and of a stack of n adapters, by which kept answers are recognised.
func (j *Judge) identity(role string, n int) []string {
	out := []string{j.Inputs["model"]}
	for i := range n {
		out = append(out, j.Inputs[numbered(role, i)])
	}
	return out
}

// openAsked opens the journal of a run folder, nil without one. An answer is found by all that it depends on, so it
// may outlive its question: another threshold, or another text to judge by, asks no more than it has to.
func openAsked(con Console, name, dir string) (*journal.Journal, error) {
	if dir == "" {
		return nil, nil
	}
	asked, err := journal.Open(filepath.Join(dir, run.AskedFile), run.Fingerprint{Program: con.Version},
		con.Progress.Note)
	if err == nil && asked.Found() > 0 {
		con.Progress.Note(fmt.Sprintf("%s: %d batches of answers are kept from before", name, asked.Found()))
	}
	return asked, err
}

// stoppable is a context that ends when the user wants to stop.
func stoppable(ctx context.Context, stopper *train.Stopper) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stopper.Stop():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// result is result.json without what every stage says.
func (j *Judge) result(text constitution.Text, set *judged) *run.Judge {
	r := &run.Judge{
		Record:       run.Record{Seed: &j.Seed, Data: set.files},
		Judging:      judge.Summarize(set.pairs, set.judgements, j.rule()),
		Constitution: text.Name, ConstitutionSHA256: text.SHA256, ConstitutionText: text.Text,
		Template: string(j.Template), Theory: string(set.theory), Source: set.source, Sampled: set.sampled,
	}
	r.Warnings = doubts(&r.Judging)
	return r
}
