package dpo

import (
	"steer/rl/data"
	"steer/rl/train"
)

// Preset names a set of values that a configuration starts from.
type Preset string

// The presets.
const (
	// PresetDefault is what is right today.
	PresetDefault Preset = "default"
	// PresetTRL is what TRL's DPOConfig is by default.
	PresetTRL Preset = "trl-dpo"
)

// Values lists the presets.
func (Preset) Values() []string { return []string{string(PresetDefault), string(PresetTRL)} }

// New returns the configuration of a preset; "" is the default one. docs/dpo.md lists the fields in
// which they differ, with the reasons.
func New(p Preset) (Config, error) {
	return train.Presets[Config]{
		train.Preset(PresetDefault): Default, train.Preset(PresetTRL): TRL,
	}.New("dpo", train.Preset(p))
}

// Default is what is right today (docs/dpo.md gives the sources).
func Default() Config {
	return Config{
		Preset: PresetDefault,
		Loss:   Sigmoid,
		Terms: Terms{Beta: 0.1, Divergence: ReverseKL, AlphaCoef: 0.5, DiscopopTau: 0.05, DesirableWeight: 1,
			UndesirableWeight: 1, SimPOGamma: 0.5},
		LDAlpha:   1,
		MaxLength: 1024, Overlong: data.OverlongTruncateLeft,
		LoRA: train.LoRA{
			Rank: 16, Alpha: 32,
			Targets: []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"},
		},
		Optim: train.Optim{
			LR: 5e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1,
			LRSchedule: train.LRSchedule{Schedule: train.Linear, WarmupSteps: train.AutoWarmup},
		},
		Batches:        train.Batches{MiniBatchSize: 16, MicroBatchTokens: 2048, Epochs: 1},
		RatioTolerance: 1e-4,
		EvalEvery:      100, EvalPairs: 256, CheckpointEvery: 100,
	}
}

// TRL is what TRL's DPOConfig is where nothing is said (version 1.16), with a LoRA as PEFT's LoraConfig has it.
func TRL() Config {
	c := Default()
	c.Preset = PresetTRL
	c.Overlong = data.OverlongTruncate
	c.LoRA = train.LoRA{Rank: 8, Alpha: 8, Targets: []string{"attn_q", "attn_v"}}
	c.Optim.LR = 1e-6
	c.Optim.WarmupSteps = 0
	c.MiniBatchSize = 8
	c.Epochs = 3
	c.EvalEvery = 0
	c.CheckpointEvery = 500
	return c
}
