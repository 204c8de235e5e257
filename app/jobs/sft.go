package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/sft"
	"steer/rl/train"
)

// SFT is one supervised fine-tuning job.
type SFT struct {
	// Model is the base, a GGUF file.
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// Template and System are the form in which conversations are put before the model:
	// that of InitAdapter where none is given, or the model's own, or chatml where it has none.
	Template data.TemplateName `yaml:"template,omitempty"`
	System   *string           `yaml:"system,omitempty"`
	// Date is what a model's own template shows as today.
	Date data.Date `yaml:"date,omitempty"`
	// TemplateVars are variables of a model's own template, such as enable_thinking.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	// Train is learned from; Eval is measured on. Without an Eval path nothing is.
	Train data.Source `yaml:"train"`
	Eval  data.Source `yaml:"eval"`
	// InitAdapter continues an adapter (GGUF or PEFT folder) instead of a new one.
	InitAdapter string `yaml:"init_adapter,omitempty"`
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool `yaml:"any_stack,omitempty"`

	sft.Config `yaml:",inline"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	// Inputs is filled in: SHA-256 of every file that goes in.
	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`

	opened *data.Template // when the job runs
}

// NewSFT is the job of a preset.
func NewSFT(p train.Preset) (SFT, error) {
	c, err := sft.New(p)
	return SFT{Engine: workspace.DefaultEngine(), Config: c}, err
}

// SFTMethod fine-tunes on instructions.
func SFTMethod() Method {
	return Method{SFTKind, "preset", func(preset string) (Job, error) {
		j, err := NewSFT(train.Preset(preset))
		return &j, err
	}}
}

// Base implements Job.
func (j *SFT) Base() (string, workspace.EngineConfig) { return j.Model, j.Engine }

// Folder implements Job.
func (j *SFT) Folder() string { return "sft" }

// Kind implements Job.
func (j *SFT) Kind() Kind { return SFTKind }

// Read implements Job.
func (j *SFT) Read() Inputs { return j.Inputs }

// Clone implements Job.
func (j *SFT) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *SFT) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{microBatch(&j.MicroBatchSize, &j.MicroBatchTokens)}}
}

// Resolve makes paths absolute and hashes the inputs.
func (j *SFT) Resolve(dir string, hashes *filehash.Cache) (err error) {
	for _, p := range []*string{&j.Model, &j.Train.Path, &j.Eval.Path, &j.InitAdapter} {
		*p = workspace.Abs(dir, *p)
	}
	if j.Model == "" {
		return errors.New("sft: model: want the path of a GGUF file")
	}
	if err := modelfile.Trainable(j.Model); err != nil {
		return err
	}
	if j.Train.Path == "" {
		return errors.New("sft: train.path: want the path of the training data")
	}
	if err := errors.Join(j.Engine.Validate(), j.Config.Validate(), checkSource("train", j.Train),
		checkSource("eval", j.Eval), j.fillForm()); err != nil {
		return err
	}
	j.Inputs, err = inputsOf(hashes,
		map[string]string{"model": j.Model, "init_adapter": j.InitAdapter},
		map[string]string{"train": j.Train.Path, "eval": j.Eval.Path})
	return err
}

// Run trains, or goes on from the newest checkpoint in dir.
func (j *SFT) Run(ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	if err := j.fillForm(); err != nil {
		return err
	}
	examples, info, err := j.Examples(w, j.Train, "train")
	if err != nil {
		return err
	}
	var held []data.Example
	infos := []run.DataFile{info}
	if j.Eval.Path != "" {
		if held, info, err = j.Examples(w, j.Eval, "held-out"); err != nil {
			return err
		}
		infos = append(infos, info)
	}
	host, err := j.NewAdapter(w)
	if err != nil {
		return err
	}
	live, err := w.Adapter(host, true)
	if err != nil {
		return err
	}
	adapters := []*ggml.Adapter{live}
	learner, err := w.Step(adapters, true, j.LoRA.Dropout)
	if err != nil {
		return err
	}
	cfg := j.Config
	cfg.MaxTokens = w.Within("max_tokens", cfg.MaxTokens, w.Model.Info().CtxTrain, "examples")
	j.Derived = nil
	j.Derived.note("max_tokens", j.MaxTokens, cfg.MaxTokens)
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	res, err := sft.Train(ctx, cfg, sft.Deps{
		Deps: train.Deps{
			Stage: name, Learner: learner, Run: s.folder, Progress: con.Progress, Stopper: con.Stopper,
			AdapterOf: adapterOf(host, j.Meta("")),
		},
		Train: examples, Eval: held, EOS: w.Tok.EOS(),
	})
	if err != nil {
		return err
	}
	return s.finish(w, j.Inputs, &run.SFT{Record: run.Record{Data: infos, Seed: &j.Seed}, SFTSummary: res})
}

func (j *SFT) form() workspace.Form {
	return workspace.Form{Template: j.Template, System: j.System, Date: j.Date, Vars: j.TemplateVars}
}

// fillForm takes the template of the adapter that is continued, where none is given.
func (j *SFT) fillForm() error {
	var stack []string
	if j.InitAdapter != "" {
		stack = []string{j.InitAdapter}
	}
	return workspace.FillForm(j.Model, &j.Template, &j.System, &j.Date, &j.TemplateVars, stack)
}

// Meta implements Maker: what the adapter says of itself.
func (j *SFT) Meta(trainedOn string) map[string]string {
	m := map[string]string{
		adapter.MetaRole: string(adapter.RoleSFT), adapter.MetaBase: j.Inputs["model"],
		adapter.MetaTrainedOn: trainedOn,
	}
	src, err := j.Train.Resolve(sftFormats...)
	if err == nil && src.Format != data.FormatTokens {
		maps.Copy(m, j.form().Meta(j.opened)) // rows of ids do not tell theirs
	}
	return m
}

// NewAdapter implements Maker.
func (j *SFT) NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error) {
	if j.InitAdapter != "" {
		a, err := w.ReadAdapter(j.InitAdapter)
		if err != nil {
			return nil, err
		}
		p := w.Placed(j.InitAdapter, a)
		if t, _, err := w.Template(j.form()); err == nil {
			w.NoteForm(t, p)
		}
		err = workspace.CheckRole(j.InitAdapter, a, workspace.UseSFT)
		return a, errors.Join(err, w.CheckStack([]adapter.Placed{p}))
	}
	return adapter.New(w.Model.Shape(), j.LoRA.Targets, j.LoRA.Rank, float32(j.LoRA.Alpha), j.LoRA.RsLoRA,
		seed.Derive(j.Seed, "sft.lora"))
}

// sftFormats are those that it learns from.
var sftFormats = append(data.ConversationFormats(), data.FormatTokens)

// Examples reads and tokenizes a source: conversations, or rows of token ids.
func (j *SFT) Examples(w *workspace.Workspace, src data.Source, role string) ([]data.Example, run.DataFile, error) {
	src, err := src.Resolve(sftFormats...)
	if err != nil {
		return nil, run.DataFile{}, fmt.Errorf("sft: %s data: %w", role, err)
	}
	var out []data.Example
	var loaded data.Loaded
	refused := 0
	if src.Format == data.FormatTokens {
		if out, loaded, err = data.LoadTokens(src); err != nil {
			return nil, run.DataFile{}, err
		}
		for _, e := range out {
			if err := data.CheckVocab(e.IDs, w.Tok.VocabSize()); err != nil {
				return nil, run.DataFile{}, fmt.Errorf("%s: line %d: %w", loaded.Path, e.Line, err)
			}
		}
	} else {
		tpl, _, err := w.Template(j.form())
		if err != nil {
			return nil, run.DataFile{}, err
		}
		j.opened = tpl
		var rows []data.Conversation
		if rows, loaded, err = data.LoadConversations(src); err != nil {
			return nil, run.DataFile{}, err
		}
		if out, refused, err = j.render(w, tpl, rows, loaded.Path); err != nil {
			return nil, run.DataFile{}, err
		}
	}
	w.NoteData(loaded)
	return out, run.DataFile{Path: loaded.Path, Role: role, Rows: loaded.Rows, Used: len(out), Refused: refused}, nil
}

// render puts conversations in the template. Those that a model's own template refuses are left out,
// and those whose earlier turns it renders differently once more turns follow become an example for
// each answer; both aloud.
func (j *SFT) render(
	w *workspace.Workspace, tpl *data.Template, rows []data.Conversation, path string,
) (out []data.Example, left int, err error) {
	var refused *data.Refusal
	apart := 0
	for _, c := range rows {
		turns, err := tpl.Turns(c.Messages)
		if errors.As(err, &refused) && refused.Raised {
			left++
			continue
		}
		if len(turns) > 1 && j.LossOn == data.LossAll { // what comes before an answer would count again and again
			var whole []data.Segment
			whole, err = tpl.Render(c.Messages)
			turns = [][]data.Segment{whole}
		}
		if err != nil {
			return nil, left, fmt.Errorf("%s: line %d: %w", path, c.Line, err)
		}
		if len(turns) > 1 {
			apart++
		}
		for _, segments := range turns {
			e, err := data.Tokenize(w.Tok, segments, j.Tokenize(tpl))
			if err != nil {
				return nil, left, fmt.Errorf("%s: line %d: %w", path, c.Line, err)
			}
			e.Line = c.Line
			out = append(out, e)
		}
	}
	if left == len(rows) && left > 0 {
		return nil, left, fmt.Errorf("%s: all of %d conversations: %w", path, left, refused)
	}
	if left > 0 {
		w.Warn(fmt.Sprintf("%s: %d of %d conversations are left out: %v", path, left, len(rows), refused))
	}
	if apart > 0 {
		w.Warn(fmt.Sprintf("%s: the model's chat template renders earlier turns differently once more turns follow: "+
			"%d of %d conversations are learned from one answer at a time, each as it stood when it was given",
			path, apart, len(rows)))
	}
	return out, left, nil
}
