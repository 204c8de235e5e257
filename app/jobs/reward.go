package jobs

import (
	"context"
	"errors"
	"slices"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/internal/seed"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
)

// Reward is one reward-model job.
type Reward struct {
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// SFT lists the adapters below the reward adapter: usually the SFT adapter alone.
	SFT []string `yaml:"sft"`
	// InitAdapter continues an adapter with a head (GGUF or PEFT folder) instead of a new one.
	InitAdapter string `yaml:"init_adapter,omitempty"`
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool `yaml:"any_stack,omitempty"`

	rewards.Config `yaml:",inline"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`
}

// NewReward is the job of a preset.
func NewReward(p train.Preset) (Reward, error) {
	c, err := rewards.New(p)
	c.Template = "" // that of the adapters below, or chatml
	return Reward{Engine: workspace.DefaultEngine(), Config: c}, err
}

// RewardMethod trains a reward model.
func RewardMethod() Method {
	return Method{RewardKind, "preset", func(preset string) (Job, error) {
		j, err := NewReward(train.Preset(preset))
		return &j, err
	}}
}

// Base implements Job.
func (j *Reward) Base() (string, workspace.EngineConfig) { return j.Model, j.Engine }

// Folder implements Job.
func (j *Reward) Folder() string { return "reward-" + string(j.Theory) }

// Kind implements Job.
func (j *Reward) Kind() Kind { return RewardKind }

// Read implements Job.
func (j *Reward) Read() Inputs { return j.Inputs }

// Clone implements Job.
func (j *Reward) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *Reward) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{microBatch(&j.MicroBatchSize, &j.MicroBatchTokens)}}
}

// Resolve makes paths absolute and hashes the inputs.
func (j *Reward) Resolve(dir string, hashes *filehash.Cache) (err error) {
	paths := []*string{&j.Model, &j.InitAdapter, &j.Train.Path, &j.HeldOut.Path}
	for i := range j.SFT {
		paths = append(paths, &j.SFT[i])
	}
	for _, p := range paths {
		*p = workspace.Abs(dir, *p)
	}
	if j.Model == "" {
		return errors.New("reward: model: want the path of a GGUF file")
	}
	if err := modelfile.Trainable(j.Model); err != nil {
		return err
	}
	if j.Train.Path == "" {
		return errors.New("reward: train.path: want the path of the training data")
	}
	if err := workspace.FillForm(j.Model, &j.Template, &j.System, &j.Date, &j.TemplateVars, j.SFT); err != nil {
		return err
	}
	if err := errors.Join(j.Engine.Validate(), j.Config.Validate(), checkSource("train", j.Train),
		checkSource("held_out", j.HeldOut)); err != nil {
		return err
	}
	files := map[string]string{"model": j.Model, "init_adapter": j.InitAdapter}
	for i, p := range j.SFT {
		files[numbered("sft", i)] = p
	}
	j.Inputs, err = inputsOf(hashes, files, map[string]string{"train": j.Train.Path, "held_out": j.HeldOut.Path})
	return err
}

// Run trains, or goes on from the newest checkpoint in dir.
func (j *Reward) Run(
	ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool,
) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	if err := workspace.FillForm(j.Model, &j.Template, &j.System, &j.Date, &j.TemplateVars, j.SFT); err != nil {
		return err
	}
	set, err := rewards.Load(j.Config)
	if err != nil {
		return err
	}
	for _, part := range []run.PairSource{set.Train.Info, set.HeldOut.Info} {
		w.NoteData(data.Loaded{Path: part.Path, Notes: part.Notes})
	}
	below, stack, err := w.LoadStack(j.SFT, workspace.UseBelow)
	if err != nil {
		return err
	}
	if j.Form == rewards.FormChat {
		t, _, err := w.Template(workspace.Form{Template: j.Template, System: j.System, Date: j.Date,
			Vars: j.TemplateVars})
		if err != nil {
			return err
		}
		w.NoteForm(t, stack...)
		j.Own = workspace.OwnMeta(t)
	}
	host, err := j.NewAdapter(w)
	if err != nil {
		return err
	}
	if j.InitAdapter != "" {
		first := w.Placed(j.InitAdapter, host)
		if err := workspace.CheckRole(j.InitAdapter, host, workspace.UseInit); err != nil {
			return err
		}
		if err := w.CheckStack(append(slices.Clone(stack), first)); err != nil {
			return err
		}
	}
	live, err := w.Adapter(host, true)
	if err != nil {
		return err
	}
	learner, err := w.Step(append(append([]*ggml.Adapter{}, below...), live), true, j.LoRA.Dropout)
	if err != nil {
		return err
	}
	cfg := j.Config
	cfg.MaxLength = w.Within("max_length", cfg.MaxLength, w.Model.Info().CtxTrain, "texts")
	j.Derived = nil
	j.Derived.note("max_length", j.MaxLength, cfg.MaxLength)
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	res, err := rewards.Train(ctx, cfg, set, rewards.Deps{
		Deps: train.Deps{
			Stage: name, Learner: learner, Run: s.folder, Progress: con.Progress, Stopper: con.Stopper,
			AdapterOf: adapterOf(host, j.Meta(adapter.TrainedOnText(stack))),
		},
		Tokenizer: w.Tok,
	})
	if err != nil {
		return err
	}
	res.Seed = &j.Seed
	for _, part := range []struct {
		role string
		from run.PairSource
	}{{"train", set.Train.Info}, {"held-out", set.HeldOut.Info}} {
		res.Data = append(res.Data, run.DataFile{
			Path: part.from.Path, Role: part.role, Rows: part.from.Rows, Used: part.from.Pairs,
		})
	}
	return s.finish(w, j.Inputs, &res)
}

// Meta implements Maker: what the adapter says of itself.
func (j *Reward) Meta(trainedOn string) map[string]string {
	m := j.Config.Meta()
	m[adapter.MetaBase], m[adapter.MetaTrainedOn] = j.Inputs["model"], trainedOn
	return m
}

// NewAdapter implements Maker.
func (j *Reward) NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error) {
	if j.InitAdapter != "" {
		a, err := w.ReadAdapter(j.InitAdapter)
		if err == nil && a.Head == nil {
			a.Head = j.head(w)
		}
		return a, err
	}
	a, err := adapter.New(w.Model.Shape(), j.LoRA.Targets, j.LoRA.Rank, float32(j.LoRA.Alpha), j.LoRA.RsLoRA,
		seed.Derive(j.Seed, "reward.lora"))
	if err == nil {
		a.Head = j.head(w)
	}
	return a, err
}

func (j *Reward) head(w *workspace.Workspace) *adapter.Head {
	// The pairwise loss gives a bias no gradient; a classifier needs its intercept.
	return &adapter.Head{Weight: j.HeadInit.Weights(w.Model.Shape().Embd, j.Seed),
		HasBias: j.Classifies()}
}
