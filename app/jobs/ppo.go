package jobs

import (
	"context"
	"errors"

	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/internal/filehash"
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/ppo"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// ValueInit names the first weights of the value head.
type ValueInit string

// The initialisations.
const (
	// ValueZero starts the value at 0 everywhere (Huang et al. 2024, detail l).
	ValueZero ValueInit = "zero"
	// ValueUniform is torch's Linear default, as trl 0.7.1 leaves it.
	ValueUniform ValueInit = "uniform"
)

// Values lists the initialisations.
func (ValueInit) Values() []string { return []string{string(ValueZero), string(ValueUniform)} }

// PPO is one PPO job: a policy steered by rewards, with a value head.
type PPO struct {
	Sampled `yaml:",inline"`
	// ValueInit is the start of the value head.
	ValueInit ValueInit `yaml:"value_init"`

	ppo.Config `yaml:",inline"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`

	opened *data.Template // when the job runs
}

// NewPPO is the job of a preset.
func NewPPO(p train.Preset) (PPO, error) {
	c, err := ppo.New(p)
	j := PPO{Sampled: newSampled(), Config: c, ValueInit: ValueZero}
	if p == train.PresetThesis {
		j.MaxPromptTokens, j.ValueInit, j.RewardText = 512, ValueUniform, RewardRetokenized
		j.LoRA = train.LoRA{Rank: 16, Alpha: 32, Dropout: 0.05, Targets: []string{"attn_q", "attn_v"}}
	}
	return j, err
}

// PPOMethod steers a policy.
func PPOMethod() Method {
	return Method{PPOKind, "preset", func(preset string) (Job, error) {
		j, err := NewPPO(train.Preset(preset))
		return &j, err
	}}
}

// Folder implements Job.
func (j *PPO) Folder() string { return "ppo" }

// Kind implements Job.
func (j *PPO) Kind() Kind { return PPOKind }

// Read implements Job.
func (j *PPO) Read() Inputs { return j.Inputs }

// From implements Job.
func (j *PPO) From() *Sources { return &j.Sources }

// Clone implements Job.
func (j *PPO) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *PPO) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{
		{"micro_batch_size", &j.MicroBatchSize, true},
		{"score_batch_tokens", &j.ScoreBatchTokens, false},
		{"engine.sequences", &j.Engine.Sequences, false},
	}}
}

// Resolve makes paths absolute and hashes the inputs.
func (j *PPO) Resolve(dir string, hashes *filehash.Cache) (err error) {
	j.Inputs, err = j.resolve(j.Kind(), dir, hashes, j.Mixture, j.Config.Validate())
	return err
}

// Run steers, or goes on from the newest checkpoint in dir.
func (j *PPO) Run(
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
	res, err := ppo.Train(ctx, cfg, ppo.Deps{
		Deps:    open.deps(w, con, s, name, j.Meta(open.models.trainedOn)),
		Weights: j.Rewards.weights(),
		FullKL:  w.KL(open.models.policy, open.models.reference),
	})
	if err != nil {
		return err
	}
	// 5. The result.
	return s.finish(w, j.Inputs, &run.PPO{
		Record: ended(open.files, &j.Seed, res), PolicySummary: res, Theory: open.theory,
		Rewards: j.Rewards.uses(), Combine: string(j.Mixture.Combine),
	})
}

// Meta implements Maker: what the policy's adapter says of itself.
func (j *PPO) Meta(trainedOn string) map[string]string {
	return j.meta(j.Inputs["model"], j.opened, trainedOn)
}

// NewAdapter implements Maker: the policy's at the start, with its value head.
func (j *PPO) NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error) {
	host, err := newAdapter(w, j.LoRA, j.Seed, "ppo.lora")
	if err != nil {
		return nil, err
	}
	host.Head = adapter.NewValueHead(w.Model.Shape().Embd, seed.Derive(j.Seed, "ppo.value"))
	if j.ValueInit == ValueZero {
		clear(host.Head.Weight)
		host.Head.Bias = 0
	}
	return host, nil
}
