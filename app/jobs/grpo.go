package jobs

import (
	"context"
	"errors"

	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/internal/filehash"
	"steer/rl/data"
	"steer/rl/grpo"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// GRPO is one job of GRPO or its kin: a policy steered by rewards of groups of answers, without a value head.
type GRPO struct {
	Sampled `yaml:",inline"`

	grpo.Config `yaml:",inline"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`

	opened *data.Template // when the job runs
}

// NewGRPO is the job of a preset.
func NewGRPO(p grpo.Preset) (GRPO, error) {
	c, err := grpo.New(p)
	j := GRPO{Sampled: newSampled(), Config: c}
	if p == grpo.PresetTRL { // PEFT's LoraConfig
		j.LoRA = train.LoRA{Rank: 8, Alpha: 8, Targets: []string{"attn_q", "attn_v"}}
	}
	return j, err
}

// GRPOMethod steers a policy by groups of answers.
func GRPOMethod() Method {
	return Method{GRPOKind, "preset", func(preset string) (Job, error) {
		j, err := NewGRPO(grpo.Preset(preset))
		return &j, err
	}}
}

// Folder implements Job.
func (j *GRPO) Folder() string { return "grpo" }

// Kind implements Job.
func (j *GRPO) Kind() Kind { return GRPOKind }

// Read implements Job.
func (j *GRPO) Read() Inputs { return j.Inputs }

// From implements Job.
func (j *GRPO) From() *Sources { return &j.Sources }

// Clone implements Job.
func (j *GRPO) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *GRPO) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{
		{"micro_batch_size", &j.MicroBatchSize, true},
		{"score_batch_tokens", &j.ScoreBatchTokens, false},
		{"engine.sequences", &j.Engine.Sequences, false},
	}}
}

// Resolve makes paths absolute and hashes the inputs.
func (j *GRPO) Resolve(dir string, hashes *filehash.Cache) (err error) {
	j.Inputs, err = j.resolve(j.Kind(), dir, hashes, j.Mixture, j.Config.Validate())
	return err
}

// Run steers, or goes on from the newest checkpoint in dir.
func (j *GRPO) Run(
	ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool,
) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	// 1. The form in which prompts are put.
	if err := j.fillForm(); err != nil {
		return err
	}
	tpl, stop, err := w.Template(j.form())
	if err != nil {
		return err
	}
	j.opened = tpl
	// 2. Reference and policy, what scores them, and the prompts.
	open, err := j.open(w, con, j, tpl, stop, j.MaxNewTokens, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, open.close()) }()
	// 3. What runs otherwise than it is configured.
	cfg := j.Config
	if cfg.EOS == rollout.EOSStop && len(cfg.StopStrings) == 0 {
		cfg.StopStrings = tpl.StopStrings()
	}
	rounding := allowRounding(&cfg.Guards, w.OnGPU(), w.Engine.Precision)
	open.derive(&j.Derived, &j.Sampled, &j.Sampling, &cfg.Sampling, &j.Guards, &cfg.Guards)
	// 4. The run.
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	open.tell(con, name, &cfg.Guards, rounding)
	res, err := grpo.Train(ctx, cfg, grpo.Deps{
		Deps: open.deps(w, con, s, name, j.Meta(open.models.trainedOn)), Weights: j.Rewards.weights(),
	})
	if err != nil {
		return err
	}
	// 5. The result.
	return s.finish(w, j.Inputs, &run.GRPO{
		Record: ended(open.files, &j.Seed, res), PolicySummary: res, Theory: open.theory,
		Preset: string(j.Preset), Rewards: j.Rewards.uses(), Combine: string(j.Mixture.Combine),
	})
}

// Meta implements Maker: what the policy's adapter says of itself.
func (j *GRPO) Meta(trainedOn string) map[string]string {
	return j.meta(j.Inputs["model"], j.opened, trainedOn)
}

// NewAdapter implements Maker: the policy's at the start.
func (j *GRPO) NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error) {
	return newAdapter(w, j.LoRA, j.Seed, "grpo.lora")
}
