package sft

import (
	"fmt"

	"steer/rl/data"
	"steer/rl/train"
)

// Preset names a set of values to start from.
type Preset string

// The presets. Each field in which they differ is listed in docs/sft.md with the reason.
const (
	PresetDefault Preset = "default"
	PresetThesis  Preset = "thesis"
)

// Values lists the presets.
func (Preset) Values() []string { return []string{string(PresetDefault), string(PresetThesis)} }

// New returns the configuration of a preset; "" is the default one.
func New(p Preset) (Config, error) {
	switch p {
	case PresetDefault, "":
		return Default(), nil
	case PresetThesis:
		return Thesis(), nil
	}
	return Config{}, fmt.Errorf("sft: preset %q: want one of %v", p, p.Values())
}

// Default is what is right today (docs/sft.md gives the sources).
func Default() Config {
	return Config{
		Preset: PresetDefault,
		LoRA: train.LoRA{
			Rank: 16, Alpha: 32,
			Targets: []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"},
		},
		Optim: train.Optim{
			LR: 2e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1,
			Schedule: train.Schedule{Kind: train.Cosine, WarmupSteps: train.AutoWarmup},
		},
		LossOn: data.LossAnswers, Pack: PackAuto, MaxTokens: 1024, Overlong: data.OverlongTruncate,
		MiniBatchSize: 8, MicroBatchTokens: 2048,
		EvalEvery: 100, CheckpointEvery: 100, Keep: KeepBest,
	}
}

// Thesis is the published recipe: trl 0.7.1's stack_llama supervised_finetuning.py with
// the command line of the thesis.
func Thesis() Config {
	return Config{
		Preset: PresetThesis,
		LoRA:   train.LoRA{Rank: 16, Alpha: 32, Dropout: 0.05, Targets: []string{"attn_q", "attn_v"}},
		Optim: train.Optim{
			LR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.05, MaxGradNorm: 1,
			Schedule: train.Schedule{Kind: train.Cosine, WarmupSteps: 100},
		},
		LossOn: data.LossAll, JoinText: true, Pack: PackRunOn, MaxTokens: 1024, Overlong: data.OverlongTruncate,
		MiniBatchSize: 8, MicroBatchTokens: 2048, MaxSteps: 5000,
		EvalEvery: 100, CheckpointEvery: 1000, Keep: KeepLast,
	}
}
