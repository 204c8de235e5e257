package sft

import (
	"steer/rl/data"
	"steer/rl/train"
)

// New returns the configuration of a preset; "" is the default one. docs/sft.md lists the fields in
// which they differ, with the reasons.
func New(p train.Preset) (Config, error) {
	return train.Presets[Config]{train.PresetDefault: Default, train.PresetThesis: Thesis}.New("sft", p)
}

// Default is what is right today (docs/sft.md gives the sources).
func Default() Config {
	return Config{
		Preset: train.PresetDefault,
		LoRA: train.LoRA{
			Rank: 16, Alpha: 32,
			Targets: []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"},
		},
		Optim: train.Optim{
			LR: 2e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1,
			LRSchedule: train.LRSchedule{Schedule: train.Cosine, WarmupSteps: train.AutoWarmup},
		},
		LossOn: data.LossAnswers, Pack: PackAuto, MaxTokens: 1024, Overlong: data.OverlongTruncate,
		Batches:   train.Batches{MiniBatchSize: 8, MicroBatchTokens: 2048},
		EvalEvery: 100, CheckpointEvery: 100, Keep: KeepBest,
	}
}

// Thesis is the published recipe: trl 0.7.1's stack_llama supervised_finetuning.py with
// the command line of the thesis.
func Thesis() Config {
	return Config{
		Preset: train.PresetThesis,
		LoRA:   train.LoRA{Rank: 16, Alpha: 32, Dropout: 0.05, Targets: []string{"attn_q", "attn_v"}},
		Optim: train.Optim{
			LR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.05, MaxGradNorm: 1,
			LRSchedule: train.LRSchedule{Schedule: train.Cosine, WarmupSteps: 100},
		},
		LossOn: data.LossAll, JoinText: true, Pack: PackRunOn, MaxTokens: 1024, Overlong: data.OverlongTruncate,
		Batches:   train.Batches{MiniBatchSize: 8, MicroBatchTokens: 2048, MaxSteps: 5000},
		EvalEvery: 100, CheckpointEvery: 1000, Keep: KeepLast,
	}
}
