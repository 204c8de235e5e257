package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/dpo"
	"steer/rl/run"
	"steer/rl/train"
)

// DPO is one job of steering by preferences, without a reward model.
type DPO struct {
	Policy `yaml:",inline"`

	// Theory says how the preferences are read; they are those of a reward model of it.
	Theory rewards.TheoryName `yaml:"theory"`
	// Train names the file that is learned from, HeldOut the one measured on. Without a path that is a share of
	// the former (HeldOutShare), taken off before training.
	Train        data.Source `yaml:"train"`
	HeldOut      data.Source `yaml:"held_out"`
	HeldOutShare float64     `yaml:"held_out_share"`
	// DropOverlap leaves out held-out pairs that share their prompt or a whole text with a train pair.
	DropOverlap bool `yaml:"drop_overlap"`
	// Recipe makes pairs of labelled or ranked rows: cross, zip or one; empty is the theory's own.
	Recipe rewards.Recipe `yaml:"recipe,omitempty"`

	dpo.Config `yaml:",inline"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`

	opened *data.Template // when the job runs
}

// NewDPO is the job of a preset.
func NewDPO(p dpo.Preset) (DPO, error) {
	c, err := dpo.New(p)
	return DPO{Policy: Policy{Engine: workspace.DefaultEngine()}, Theory: rewards.Custom, HeldOutShare: 0.1, Config: c},
		err
}

// DPOMethod steers a policy by preferences.
func DPOMethod() Method {
	return Method{DPOKind, "preset", func(preset string) (Job, error) {
		j, err := NewDPO(dpo.Preset(preset))
		return &j, err
	}}
}

// Folder implements Job.
func (j *DPO) Folder() string { return "dpo" }

// Kind implements Job.
func (j *DPO) Kind() Kind { return DPOKind }

// Read implements Job.
func (j *DPO) Read() Inputs { return j.Inputs }

// Clone implements Job.
func (j *DPO) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *DPO) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{microBatch(&j.MicroBatchSize, &j.MicroBatchTokens)}}
}

// pairs is what the preferences are made by: a reward model of the theory would have the same.
func (j *DPO) pairs() rewards.Config {
	return rewards.Config{
		Seed: j.Seed, Theory: j.Theory, Train: j.Train, HeldOut: j.HeldOut, HeldOutShare: j.HeldOutShare,
		DropOverlap: j.DropOverlap, Recipe: j.Recipe,
	}
}

// Resolve makes paths absolute and hashes the inputs.
func (j *DPO) Resolve(dir string, hashes *filehash.Cache) (err error) {
	paths := append(j.paths(), &j.Train.Path, &j.HeldOut.Path)
	for _, p := range paths {
		*p = workspace.Abs(dir, *p)
	}
	if j.Model == "" {
		return errors.New("dpo: model: want the path of a GGUF file")
	}
	if err := modelfile.Trainable(j.Model); err != nil {
		return err
	}
	if j.Train.Path == "" {
		return errors.New("dpo: train.path: want the path of the preferences")
	}
	errs := []error{
		j.checkStack(j.Kind()), j.Engine.Validate(), j.Config.Validate(), j.checkTheory(),
		checkSource("train", j.Train), checkSource("held_out", j.HeldOut), j.fillForm(),
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	j.Inputs, err = inputsOf(hashes, j.files(), map[string]string{"train": j.Train.Path, "held_out": j.HeldOut.Path})
	return err
}

// checkTheory finds a theory whose data a loss cannot learn from before they are read.
func (j *DPO) checkTheory() error {
	if _, err := rewards.Lookup(j.Theory); err != nil {
		return err
	}
	if j.Theory == rewards.Toxicity && !j.Loss.Unpaired() {
		return fmt.Errorf("dpo: theory toxicity has single statements with a label, of which loss %s makes nothing: "+
			"set loss to kto", j.Loss)
	}
	return nil
}

// Run steers, or goes on from the newest checkpoint in dir.
func (j *DPO) Run(
	ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool,
) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	// 1. The form in which prompts and answers are put.
	if err := j.fillForm(); err != nil {
		return err
	}
	if j.opened, _, err = w.Template(j.form()); err != nil {
		return err
	}
	// 2. The preferences, and what held-out ones share with those learned from.
	set, err := rewards.Load(j.pairs())
	if err != nil {
		return err
	}
	for _, part := range []run.PairSource{set.Train.Info, set.HeldOut.Info} {
		w.NoteData(data.Loaded{Path: part.Path, Notes: part.Notes})
	}
	// 3. Reference and policy.
	m, err := j.openModels(w, j, j.opened, j.LoRA, !j.Loss.ReferenceFree())
	if err != nil {
		return err
	}
	// 4. What runs otherwise than it is configured.
	cfg := j.derive(w)
	// 5. The run.
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	con.Progress.Note(fmt.Sprintf("%s: overlap: %s", name, set.Overlap))
	reference := dpo.Reference{Model: m.reference, Depends: j.depends(w)}
	if s.folder != nil {
		reference.Path = s.folder.Path(run.ReferenceFile)
	}
	res, err := dpo.Train(ctx, cfg, dpo.Deps{
		Deps: train.Deps{
			Stage: name, Learner: m.policy, Run: s.folder, Progress: con.Progress, Stopper: con.Stopper,
			AdapterOf: adapterOf(m.host, j.Meta(m.trainedOn)),
		},
		Encoder: dpo.NewEncoder(cfg, j.opened, w.Tok), Reference: reference,
		Train: set.Train.Pairs, HeldOut: set.HeldOut.Pairs, Clean: set.Overlap.SharesNothing,
	})
	if err != nil {
		return err
	}
	// 6. The result.
	return s.finish(w, j.Inputs, j.result(set, res))
}

// result is result.json without what every stage says.
func (j *DPO) result(set *rewards.Set, res run.DPOSummary) *run.DPO {
	r := &run.DPO{
		Record: run.Record{Seed: &j.Seed, Warnings: append([]string{}, res.Alerts...)}, DPOSummary: res,
		Theory: string(j.Theory), Preset: string(j.Preset), Template: string(j.Template),
		Recipe: set.Train.Info.Recipe, TrainPairs: set.Train.Info, HeldOutPairs: set.HeldOut.Info,
		Overlap: set.Overlap.PairOverlap,
	}
	for _, part := range []struct {
		role string
		from run.PairSource
	}{{"train", set.Train.Info}, {"held-out", set.HeldOut.Info}} {
		r.Data = append(r.Data, run.DataFile{
			Path: part.from.Path, Role: part.role, Rows: part.from.Rows, Used: part.from.Pairs,
		})
	}
	return r
}

// derive is what runs, and notes where that is not what was configured.
func (j *DPO) derive(w *workspace.Workspace) dpo.Config {
	cfg := j.Config
	cfg.MaxLength = w.Within("max_length", cfg.MaxLength, w.Model.Info().CtxTrain, "prompts with their answers")
	if w.OnGPU() && w.Engine.Precision == ggml.BF16 && cfg.RatioTolerance > 0 &&
		cfg.RatioTolerance < gpuRatioTolerance {
		cfg.RatioTolerance = gpuRatioTolerance
		w.Remark(fmt.Sprintf("on a GPU in bf16 ratio_tolerance is %g: how products are rounded depends on their batch "+
			"there", gpuRatioTolerance))
	}
	j.Derived = nil
	j.Derived.note("max_length", j.MaxLength, cfg.MaxLength)
	j.Derived.note("ratio_tolerance", j.RatioTolerance, cfg.RatioTolerance)
	return cfg
}

// depends is what the reference's log-probabilities depend on besides their tokens.
func (j *DPO) depends(w *workspace.Workspace) []string {
	out := []string{
		"model " + j.Inputs["model"], "template " + string(j.Template) + " " + j.opened.Source(),
		"precision " + string(w.Engine.Precision), "kernel " + w.Device() + " " + w.Kernel(),
	}
	for i := range j.SFT {
		out = append(out, "adapter "+cmp.Or(j.Inputs[numbered("sft", i)], "none"))
	}
	return out
}

// Meta implements Maker: what the policy's adapter says of itself.
func (j *DPO) Meta(trainedOn string) map[string]string {
	return j.meta(j.Inputs["model"], j.opened, trainedOn)
}

// NewAdapter implements Maker: the policy's at the start.
func (j *DPO) NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error) {
	return newAdapter(w, j.LoRA, j.Seed, "dpo.lora")
}
