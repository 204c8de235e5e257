package grpo

import (
	"steer/rl/rollout"
	"steer/rl/train"
)

// Preset names a set of values that a configuration starts from.
type Preset string

// The presets.
const (
	// PresetDefault is what is right today.
	PresetDefault Preset = "default"
	// PresetTRL is what TRL's GRPOConfig is by default.
	PresetTRL Preset = "trl-grpo"
	// The algorithms by name: the default preset with what their papers change.
	PresetDrGRPO    Preset = "dr-grpo"
	PresetDAPO      Preset = "dapo"
	PresetGSPO      Preset = "gspo"
	PresetRLOO      Preset = "rloo"
	PresetREINFORCE Preset = "reinforce++"
)

// Values lists the presets.
func (Preset) Values() []string {
	return []string{string(PresetDefault), string(PresetTRL), string(PresetDrGRPO), string(PresetDAPO),
		string(PresetGSPO), string(PresetRLOO), string(PresetREINFORCE)}
}

// New returns the configuration of a preset; "" is the default one. docs/grpo.md lists the fields in
// which they differ, with the reasons.
func New(p Preset) (Config, error) {
	return train.Presets[Config]{
		train.Preset(PresetDefault): Default, train.Preset(PresetTRL): TRL, train.Preset(PresetDrGRPO): DrGRPOPaper,
		train.Preset(PresetDAPO): DAPOPaper, train.Preset(PresetGSPO): GSPO, train.Preset(PresetRLOO): RLOO,
		train.Preset(PresetREINFORCE): REINFORCE,
	}.New("grpo", train.Preset(p))
}

// Default is what is right today (docs/grpo.md gives the sources).
func Default() Config {
	return Config{
		Preset:         PresetDefault,
		Iterations:     200,
		Prompts:        8,
		NumGenerations: 8,
		MiniBatchSize:  32,
		MicroBatchSize: 4,
		Epochs:         2,
		Optim: train.Optim{
			LR: 3e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1,
			LRSchedule: train.LRSchedule{Schedule: train.Linear},
		},
		Sampling: rollout.Sampling{
			Temperature: 1, LogprobTemperature: rollout.LogprobAtSampling,
			LengthDraw: rollout.LengthFixed, LengthGroup: 1, MaxNewTokens: 128,
			EOS: rollout.EOSStop, MissingEOSPenalty: 1,
		},
		Advantage: Advantage{
			Baseline: GroupMean, ScaleRewards: ScaleGroup, Aggregation: SumThenNormalize, Beta: 0.04, KLIn: KLInLoss,
		},
		Loss: Loss{
			LossType: DAPO, Level: LevelToken, EpsilonLow: 0.2, EpsilonHigh: 0.2, KLImportance: true,
			TopEntropyQuantile: 1, SAPOTemperaturePos: 1, SAPOTemperatureNeg: 1.05,
			VESPOKPos: 2, VESPOLambdaPos: 3, VESPOKNeg: 3, VESPOLambdaNeg: 2,
		},
		Guards: rollout.Guards{
			RatioTolerance: 1e-4, MaxKL: 50, MinEntropyRatio: 0.1, MaxEntropyRatio: 3,
			MaxRepetitionRise: 0.3, RepetitionNgram: 4, AlarmPatience: 3, MaxScore: 1000,
		},
		Record: rollout.Record{CheckpointEvery: 10, SamplesEvery: 10, SamplesCount: 8},
	}
}

// TRL is what TRL's GRPOConfig is where nothing is said (version 1.16): one update for each group of 8 answers.
func TRL() Config {
	c := Default()
	c.Preset = PresetTRL
	c.Prompts, c.MiniBatchSize, c.Epochs = 1, 8, 1
	c.Optim.LR = 1e-6
	c.MaxNewTokens = 512
	c.MissingEOSPenalty = 0
	c.Beta = 0
	c.MaxKL, c.MinEntropyRatio, c.MaxEntropyRatio, c.MaxRepetitionRise, c.MaxScore = 0, 0, 0, 0, 0
	c.CheckpointEvery = 500
	return c
}

// DrGRPOPaper is GRPO without the two divisions that favour long wrong answers and easy or hard prompts (Liu et al.
// 2025, arXiv:2503.20783).
func DrGRPOPaper() Config {
	c := Default()
	c.Preset = PresetDrGRPO
	c.ScaleRewards = ScaleNone
	c.LossType = DrGRPO
	c.Beta = 0
	return c
}

// DAPOPaper clips higher than lower, weighs tokens alike, replaces groups without spread and punishes long answers
// softly (Yu et al. 2025, arXiv:2503.14476).
func DAPOPaper() Config {
	c := Default()
	c.Preset = PresetDAPO
	c.EpsilonHigh = 0.28
	c.DynamicSampling = 3
	c.OverlongCache = 32
	c.MissingEOSPenalty = 0
	c.Beta = 0
	return c
}

// GSPO takes one ratio an answer (Zheng et al. 2025, arXiv:2507.18071).
func GSPO() Config {
	c := Default()
	c.Preset = PresetGSPO
	c.LossType = GRPO
	c.Level = LevelSequence
	c.EpsilonLow, c.EpsilonHigh = 3e-4, 4e-4
	c.Beta = 0
	return c
}

// RLOO compares an answer with the mean of the group's others and takes the KL from its reward (Ahmadian et al. 2024,
// arXiv:2402.14740), with the ratio of whole answers, as trl's RLOOTrainer.
func RLOO() Config {
	c := Default()
	c.Preset = PresetRLOO
	c.Prompts, c.NumGenerations = 16, 4
	c.Epochs = 1
	c.Baseline, c.ScaleRewards = LeaveOneOut, ScaleNone
	c.Beta, c.KLIn = 0.05, KLInReward
	c.LossType, c.Level = GRPO, LevelSequenceSum
	return c
}

// REINFORCE takes the KL from the tokens' rewards and normalises what comes from a token on over
// the whole batch, without
// groups (REINFORCE++, Hu et al. 2025, arXiv:2501.03262).
func REINFORCE() Config {
	c := Default()
	c.Preset = PresetREINFORCE
	c.Prompts, c.NumGenerations = 64, 1
	c.Epochs = 1
	c.Baseline, c.ScaleRewards, c.NormalizeAdvantages = NoBaseline, ScaleNone, true
	c.Beta, c.KLIn = 0.01, KLInTokenReward
	c.LossType = BNPO
	return c
}
