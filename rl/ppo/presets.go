package ppo

import (
	"steer/rl/rollout"
	"steer/rl/train"
)

// New returns the configuration of a preset; "" is the default one. docs/ppo.md lists the fields in
// which they differ, with the reasons.
func New(p train.Preset) (Config, error) {
	return train.Presets[Config]{train.PresetDefault: Default, train.PresetThesis: Thesis}.New("ppo", p)
}

// Default is what is right today (docs/ppo.md gives the sources).
func Default() Config {
	return Config{
		Preset:           train.PresetDefault,
		Iterations:       200,
		RolloutBatchSize: 64,
		MiniBatchSize:    32,
		MicroBatchSize:   4,
		PPOEpochs:        4,
		Optim: train.Optim{
			LR: 3e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, MaxGradNorm: 1,
			LRSchedule: train.LRSchedule{Schedule: train.Linear},
		},
		Sampling: rollout.Sampling{
			Temperature: 1, LogprobTemperature: rollout.LogprobAtSampling,
			LengthDraw: rollout.LengthFixed, LengthGroup: 1, MaxNewTokens: 128,
			EOS: rollout.EOSStop, MissingEOSPenalty: 1,
		},
		Objective: Objective{
			KLPenalty: rollout.KLK1, KLCoef: 0.05, KLControl: KLFixed, KLTarget: 6, KLHorizon: 10000,
			Gamma: 1, GAELambda: 0.95,
		},
		Loss: Loss{
			LossMean: MeanToken, LossGroup: 1, ClipRange: 0.2, ValueClipRange: 0.2, ValueCoef: 0.1,
			RatioThreshold: 10, EarlyStop: true, PolicyKLTarget: 0.1,
		},
		Guards: rollout.Guards{
			RatioTolerance: 1e-4, MaxKL: 50, MinEntropyRatio: 0.1, MaxEntropyRatio: 3,
			MaxRepetitionRise: 0.3, RepetitionNgram: 4, AlarmPatience: 3, MaxScore: 1000,
		},
		Record: rollout.Record{CheckpointEvery: 10, SamplesEvery: 10, SamplesCount: 4},
	}
}

// Thesis is the published recipe: trl 0.7.1 with stack_llama's script as "Engineering
// Ethical LLMs" ran it, two processes of 8 episodes each.
func Thesis() Config {
	c := Default()
	c.Preset = train.PresetThesis
	c.Iterations = 400
	c.RolloutBatchSize = 16
	c.MiniBatchSize = 16
	c.MicroBatchSize = 1
	c.Optim.LR = 1.4e-5
	c.Optim.Eps = 1e-8
	c.Optim.MaxGradNorm = 0
	c.Optim.LRSchedule = train.LRSchedule{Schedule: train.Constant}
	c.LogprobTemperature = rollout.LogprobAtOne
	c.LengthDraw = rollout.LengthGroup
	c.LengthGroup = 4
	c.MinNewTokens = 32
	c.MaxNewTokens = 127
	c.EOS = rollout.EOSCut
	c.MissingEOSPenalty = 0
	c.KLCoef = 0.2
	c.KLControl = KLAdaptive
	c.WhitenGroupSize = 8
	c.LossMean = MeanSequence
	c.UpdateWhenSkipped = true
	c.EarlyStop = false
	c.CheckpointEvery = 100
	return c
}
