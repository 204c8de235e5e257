package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"steer/app/source"
	"steer/app/workspace"
	"steer/eval"
	"steer/eval/journal"
	"steer/eval/judge"
	"steer/ggml/modelfile"
	"steer/internal/atomicfile"
	"steer/internal/filehash"
	"steer/rewards"
	"steer/rewards/constitution"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
)

// Judge lets a model compare the two answers of pairs under a constitution, and writes what it prefers.
type Judge struct {
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// Template is the form of the question: that of the adapters, or the model's own, or chatml.
	Template data.TemplateName `yaml:"template,omitempty"`
	System   *string           `yaml:"system,omitempty"`
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
	// Pairs are the answers to compare; Theory says how they are read, as for a reward model.
	Pairs  data.Source        `yaml:"pairs"`
	Theory rewards.TheoryName `yaml:"theory"`
	Recipe rewards.Recipe     `yaml:"recipe,omitempty"`
	Seed   uint64             `yaml:"seed"`
	// Labelled: the first of two answers is the one that people prefer; the agreement with them is measured.
	Labelled bool `yaml:"labelled"`
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
	return Judge{Engine: workspace.DefaultEngine(), Theory: rewards.Custom, Labelled: true, MaxTokens: 2048,
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
	return Knobs{&j.Engine.KeepActivations, []Knob{{"batch_tokens", &j.BatchTokens, false}}}
}

// Names implements Job.
func (j *Judge) Names() []Name {
	return append(namesAt("adapters", source.Adapter, j.Adapters), nameAt("model", source.Model, &j.Model),
		nameAt("pairs.path", source.Data, &j.Pairs.Path))
}

// Resolve makes paths absolute and hashes the inputs.
func (j *Judge) Resolve(dir string, hashes *filehash.Cache) (err error) {
	j.Model, j.Pairs.Path = workspace.Abs(dir, j.Model), workspace.Abs(dir, j.Pairs.Path)
	files := map[string]string{"model": j.Model}
	for i := range j.Adapters {
		j.Adapters[i] = workspace.Abs(dir, j.Adapters[i])
		files[numbered("adapter", i)] = j.Adapters[i]
	}
	if path := workspace.Abs(dir, j.Constitution); isFile(path) {
		j.Constitution, files["constitution"] = path, path
	}
	_, unknown := constitution.Open(j.Constitution)
	_, theory := rewards.Lookup(j.Theory)
	errs := []error{j.Engine.Validate(), checkSource("pairs", j.Pairs), unknown, theory}
	need := func(key, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("judge: %s: want a path", key))
		}
	}
	need("model", j.Model)
	need("pairs.path", j.Pairs.Path)
	if j.MinMargin < 0 || j.MaxTokens < 1 || j.BatchTokens < 1 {
		errs = append(errs, errors.New("judge: min_margin: want at least 0; max_tokens and batch_tokens: at least 1"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	errs = []error{modelfile.Trainable(j.Model),
		workspace.FillForm(j.Model, &j.Template, &j.System, &j.Date, &j.TemplateVars, j.Adapters)}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	j.Inputs, err = inputsOf(hashes, files, map[string]string{"pairs": j.Pairs.Path})
	return err
}

// Run judges, or goes on at the batch it was in.
func (j *Judge) Run(
	ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool,
) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	// 1. The text, the form of the question, the pairs.
	text, err := constitution.Open(j.Constitution)
	if err != nil {
		return err
	}
	tpl, _, err := w.Template(workspace.Form{Template: j.Template, Date: j.Date, Vars: j.TemplateVars})
	if err != nil {
		return err
	}
	part, err := rewards.LoadPart(j.Theory, j.Pairs, j.Recipe, j.Seed)
	if err != nil {
		return err
	}
	w.NoteData(data.Loaded{Path: part.Info.Path, Notes: part.Info.Notes})
	// 2. The model.
	adapters, stack, err := w.LoadStack(j.Adapters, workspace.UsePolicy)
	if err != nil {
		return fmt.Errorf("judge: %w", err)
	}
	w.NoteForm(tpl, stack...)
	step, err := w.Step(adapters, false, 0)
	if err != nil {
		return err
	}
	longest := w.Within("max_tokens", j.MaxTokens, w.Model.Info().CtxTrain, "questions")
	// 3. The run.
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
	config := judge.Config{Constitution: text.Text, Template: tpl, Tokenizer: w.Tok, MaxTokens: longest,
		BatchTokens: j.BatchTokens}
	model := eval.Subject{Name: "judge", Evaluator: step, Tokenizer: w.Tok,
		ID: fmt.Sprintf("%v in %s", j.Inputs, j.Engine.Precision)}
	judged, err := j.ask(ctx, con, dir, name, model, &config, part.Pairs)
	if err != nil {
		if con.Stopper.Stopping() && errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: every batch that was answered is kept", train.ErrInterrupted)
		}
		return err
	}
	// 4. The preferences and the result.
	if dir != "" {
		if err := j.write(filepath.Join(dir, run.JudgedFile), text.Name, part.Pairs, judged); err != nil {
			return run.DiskFull(err, "judge again: the answers are kept")
		}
	}
	result := &run.Judge{
		Record: run.Record{Seed: &j.Seed}, Judging: judge.Summarize(judged, j.Labelled, j.MinMargin, j.Consistent),
		Constitution: text.Name, ConstitutionSHA256: text.SHA256, Theory: string(j.Theory), Source: part.Info,
	}
	con.Progress.Note(name + ": " + sentence(&result.Judging))
	return s.finish(w, j.Inputs, result)
}

// ask puts the questions, with a journal of the answers in the run folder, if there is one.
func (j *Judge) ask(
	ctx context.Context, con Console, dir, name string, model eval.Subject, config *judge.Config, pairs []data.Pair,
) ([]judge.Judgement, error) {
	put := func(model eval.Subject) ([]judge.Judgement, error) {
		return config.Judge(ctx, model.Evaluator, pairs, func(done int) {
			con.Progress.Step(train.Status{Stage: name, Step: int64(done), Total: int64(len(pairs))})
		})
	}
	if dir == "" {
		return put(model)
	}
	settings := map[string]any{"constitution": config.Constitution, "max_tokens": config.MaxTokens,
		"template": string(j.Template), "batch_tokens": config.BatchTokens}
	asked, err := journal.Open(filepath.Join(dir, "answers"+run.JournalSuffix),
		run.Fingerprint{Program: con.Version, Models: []string{model.ID}, Settings: settings}, con.Progress.Note)
	if err != nil {
		return nil, err
	}
	if n := asked.Found(); n > 0 {
		con.Progress.Note(fmt.Sprintf("%s: going on after batch %d", name, n))
	}
	judged, err := put(asked.Subject(model))
	if err != nil {
		return nil, errors.Join(err, asked.Close())
	}
	return judged, asked.Remove()
}

// preference is a line of judged.jsonl.
type preference struct {
	Prompt   any     `json:"prompt,omitempty"`
	Chosen   any     `json:"chosen"`
	Rejected any     `json:"rejected"`
	Margin   float64 `json:"judge_margin"` // nats
	// FirstOrder and SecondOrder are the log-odds of the chosen answer where it stands at A, and at B.
	FirstOrder  float64 `json:"judge_first_order"`
	SecondOrder float64 `json:"judge_second_order"`
	Judge       string  `json:"judge"` // the constitution
	Line        int     `json:"source_line"`
}

// write writes what is preferred, whole or not at all.
func (j *Judge) write(path, text string, pairs []data.Pair, judged []judge.Judgement) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, p := range pairs {
		one := judged[i]
		if !judge.Decides(one, j.MinMargin, j.Consistent) {
			continue
		}
		chosen, rejected := p.Turns()
		line := preference{Margin: one.Margin(), FirstOrder: one.First, SecondOrder: one.Second, Judge: text,
			Line: p.Line}
		if line.Margin < 0 {
			chosen, rejected = rejected, chosen
			line.Margin, line.FirstOrder, line.SecondOrder = -line.Margin, -one.Second, -one.First
		}
		line.Prompt, line.Chosen, line.Rejected = sides(p, chosen, rejected)
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return atomicfile.WriteFile(path, b.Bytes(), os.FileMode(0o666))
}

// sides are prompt and answers in the shape that reward and dpo take: messages, or texts without a prompt.
func sides(p data.Pair, chosen, rejected []data.Message) (prompt, a, b any) {
	asked := p.Asked()
	if len(asked) == 0 && len(chosen) == 1 && len(rejected) == 1 {
		return nil, chosen[0].Content, rejected[0].Content
	}
	return asked, chosen[len(asked):], rejected[len(asked):]
}

// sentence says what the judgements came to.
func sentence(s *run.Judging) string {
	text := fmt.Sprintf("%d of %d pairs decided", s.Kept, s.Pairs)
	if s.TooLong > 0 {
		text += fmt.Sprintf(", %d too long to ask", s.TooLong)
	}
	if s.Agreement != nil {
		text += fmt.Sprintf("; agrees with the labels in %s", shareText(*s.Agreement))
	}
	return text + fmt.Sprintf("; the orders disagree in %s; A is preferred in %s, by %.3g nats on average",
		shareText(s.Inconsistent), shareText(s.FirstPlace), s.Bias.Mean)
}

func shareText(v run.Interval) string {
	if !v.Known() {
		return fmt.Sprintf("%.3f", v.Mean)
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", v.Mean, *v.Lo, *v.Hi)
}
