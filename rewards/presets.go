package rewards

import (
	"steer/rl/data"
	"steer/rl/train"
)

// New returns the configuration of a preset; "" is the default one. Theory and files are left to
// the caller. Each field in which the presets differ has its reason beside it in Thesis, and in
// docs/rewards.md.
func New(p train.Preset) (Config, error) {
	return train.Presets[Config]{train.PresetDefault: Default, train.PresetThesis: Thesis}.New("rewards", p)
}

// Default is what is right today: trl's RewardTrainer of 2026, the N implementation
// details of RLHF (Huang et al. 2024) and "LoRA Without Regret" (Schulman et al. 2025).
func Default() Config {
	return Config{
		Preset:       train.PresetDefault,
		HeldOutShare: 0.1,
		Form:         FormChat, EOS: true,
		MaxLength: 1024, Overlong: data.OverlongTruncateLeft,
		LoRA: train.LoRA{
			Rank: 16, Alpha: 32,
			Targets: []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"},
		},
		HeadInit: HeadScaled,
		Optim: train.Optim{
			LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, MaxGradNorm: 1,
			LRSchedule: train.LRSchedule{Schedule: train.Cosine},
		},
		Centre: 0.01, Normalise: true,
		Batches:   train.Batches{MiniBatchSize: 16, MicroBatchTokens: 2048, Epochs: 1},
		EvalEvery: 100, EvalPairs: 256, CheckpointEvery: 100, StuckAfter: 200,
	}
}

// Thesis is the published recipe: trl 0.7.1's stack_llama reward_modeling.py with the
// command line of the thesis.
func Thesis() Config {
	c := Default()
	c.Preset = train.PresetThesis
	// The two columns of the CSV are the whole input: no template, nothing added at
	// the end. The default asks the reward model about the exchanges PPO shows it.
	c.Form, c.EOS = FormPlain, false
	c.Template = data.TemplateGuanaco // the policy's; unused by the plain form
	// Pairs with a side over 512 tokens are filtered out. The default keeps them: the
	// long dialogues are not a random part of hh-rlhf.
	c.MaxLength, c.Overlong = 512, data.OverlongDrop
	// PEFT's defaults for Llama, with dropout. Dropout makes the score of a text
	// random in training and adapting every linear layer does better at equal cost.
	c.LoRA = train.LoRA{Rank: 8, Alpha: 32, Dropout: 0.1, Targets: []string{"attn_q", "attn_v"}}
	// transformers' initializer_range; at width d the first scores have a standard
	// deviation of about 0.02*sqrt(d): 1.4 for 13B, so the first loss is above ln 2. The default starts near 1.
	c.HeadInit = HeadNormal
	// HF Trainer's AdamW, linear to 0. Weight decay pulls LoRA and head to 0 without
	// being needed in one epoch, and eps 1e-8 lets parameters with tiny gradients
	// take full steps in the first updates (details u and (e) of the N details).
	c.Optim = train.Optim{
		LR: 2e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.001, MaxGradNorm: 1,
		LRSchedule: train.LRSchedule{Schedule: train.Linear},
	}
	// No centring and no normalisation: PPO then sees raw scores, whose offset and
	// scale differ between the four theories, and with them the weight of the KL term.
	c.Centre, c.Normalise = 0, false
	// 4 pairs on each of 2 devices.
	c.MiniBatchSize = 8
	c.EvalPairs, c.CheckpointEvery = 0, 1000
	return c
}
