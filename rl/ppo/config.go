package ppo

import (
	"steer/rl/mixture"
	"steer/rl/rollout"
	"steer/rl/train"
)

// Config is everything a PPO run can be told. Start from [New]; sizes are counted in
// episodes (one prompt with one response), lengths in tokens, KL in nats.
type Config struct {
	// Preset names the values this configuration started from.
	Preset train.Preset `yaml:"preset"`
	// Seed determines every random choice of the run.
	Seed uint64 `yaml:"seed"`
	// Iterations is the number of rollout batches.
	Iterations int64 `yaml:"iterations"`
	// RolloutBatchSize is the number of episodes of an iteration.
	RolloutBatchSize int `yaml:"rollout_batch_size"`
	// MiniBatchSize is the number of episodes of an optimizer update; it divides
	// RolloutBatchSize.
	MiniBatchSize int `yaml:"mini_batch_size"`
	// MicroBatchSize is the number of episodes of a forward and backward pass; it
	// divides MiniBatchSize and changes memory and speed only.
	MicroBatchSize int `yaml:"micro_batch_size"`
	// PPOEpochs is the number of passes over a rollout batch.
	PPOEpochs int `yaml:"ppo_epochs"`
	// Optim is AdamW and the learning rate's course over all updates of the run.
	Optim train.Optim `yaml:"optim"`

	rollout.Sampling `yaml:",inline"`
	Objective        `yaml:",inline"`
	Loss             `yaml:",inline"`
	rollout.Guards   `yaml:",inline"`
	rollout.Record   `yaml:",inline"`
	// Mixture joins several rewards.
	Mixture mixture.Config `yaml:",inline"`
}

// Objective says how scores become advantages.
type Objective struct {
	// ScaleScores divides scores by their running standard deviation, NormScores
	// subtracts the running mean first.
	ScaleScores bool `yaml:"scale_scores"`
	NormScores  bool `yaml:"norm_scores"`
	// ScoreClip then clips to ±ScoreClip; 0 does not.
	ScoreClip float64 `yaml:"score_clip"`
	// KLPenalty is the estimator of the KL in the reward.
	KLPenalty rollout.KLPenalty `yaml:"kl_penalty"`
	// KLCoef is the weight of the KL in the reward at the start.
	KLCoef float64 `yaml:"kl_coef"`
	// KLControl moves the coefficient (adaptive) or does not (fixed); KLTarget is the
	// KL of a response aimed at, KLHorizon the episodes it takes to correct.
	KLControl KLControl `yaml:"kl_control"`
	KLTarget  float64   `yaml:"kl_target"`
	KLHorizon float64   `yaml:"kl_horizon"`
	// Gamma discounts, GAELambda trades bias of the advantages for variance.
	Gamma     float64 `yaml:"gamma"`
	GAELambda float64 `yaml:"gae_lambda"`
	// WhitenRewards scales rewards to unit variance, their mean kept.
	WhitenRewards bool `yaml:"whiten_rewards"`
	// WhitenGroupSize whitens consecutive groups of episodes apart, as processes of
	// trl do; 0 takes the whole rollout batch. It divides RolloutBatchSize.
	WhitenGroupSize int `yaml:"whiten_group_size"`
}

// Loss says what the updates minimise.
type Loss struct {
	// LossMean: every token, every response or every group of LossGroup responses weighs the
	// same. Ratio threshold, early stop and statistics are taken over the same groups.
	LossMean LossMean `yaml:"loss_mean"`
	// LossGroup is the size of such a group with LossMean "group". It divides MicroBatchSize.
	LossGroup int `yaml:"loss_group"`
	// ClipRange of the ratio, ValueClipRange of the value, around the old ones.
	ClipRange      float64 `yaml:"clip_range"`
	ValueClipRange float64 `yaml:"value_clip_range"`
	// ValueCoef is the weight of the value loss.
	ValueCoef float64 `yaml:"value_coef"`
	// RatioThreshold zeroes the loss where the mean ratio is above it; 0 is off.
	RatioThreshold float64 `yaml:"ratio_threshold"`
	// UpdateWhenSkipped takes the optimizer's step even if the threshold zeroed the
	// whole mini-batch; Adam's old momentum then moves the weights.
	UpdateWhenSkipped bool `yaml:"update_when_skipped"`
	// EarlyStop leaves out the remaining epochs of an iteration once the policy KL of
	// the last mini-batch is above 1.5 PolicyKLTarget.
	EarlyStop      bool    `yaml:"early_stop"`
	PolicyKLTarget float64 `yaml:"policy_kl_target"`
	// Dropout switches the adapter's dropout on in the policy's passes; the ratio of
	// the first mini-batch is then not 1 (set RatioTolerance 0).
	Dropout bool `yaml:"dropout"`
}
