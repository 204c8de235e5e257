package ppo

import "steer/rl/train"

// Validate reports every field that cannot be used, with what was expected.
func (c *Config) Validate() error {
	check := train.NewChecks("ppo")
	check.Enum("preset", c.Preset)
	check.Enum("kl_penalty", c.KLPenalty)
	check.Enum("kl_control", c.KLControl)
	check.Enum("loss_mean", c.LossMean)
	c.checkCounts(check)
	check.Error(c.Optim.Validate("optim"))
	c.Sampling.Check(check)
	c.checkNumbers(check)
	c.Guards.Check(check, c.Dropout)
	c.Record.Check(check)
	c.Mixture.Check(check)
	return check.Err()
}

// checkCounts checks whole numbers, and which of them divide others.
func (c *Config) checkCounts(check *train.Checks) {
	for _, f := range []struct {
		key   string
		v     int64
		least int64
	}{
		{"iterations", c.Iterations, 1},
		{"rollout_batch_size", int64(c.RolloutBatchSize), 2},
		{"ppo_epochs", int64(c.PPOEpochs), 1},
		{"loss_group", int64(c.LossGroup), 1},
		{"whiten_group_size", int64(c.WhitenGroupSize), 0},
	} {
		check.AtLeast(f.key, f.v, f.least)
	}
	check.Error(train.CheckDivides("rollout_batch_size", c.RolloutBatchSize, "mini_batch_size", c.MiniBatchSize))
	check.Error(train.CheckDivides("mini_batch_size", c.MiniBatchSize, "micro_batch_size", c.MicroBatchSize))
	if c.WhitenGroupSize > 0 {
		check.Error(train.CheckDivides("rollout_batch_size", c.RolloutBatchSize, "whiten_group_size",
			c.WhitenGroupSize))
		if c.WhitenGroupSize == 1 {
			check.Want("whiten_group_size", "0 (the whole rollout batch) or at least 2", 1)
		}
	}
	if c.LossMean == MeanGroup {
		// Whether a group counts is known when all of it has been through the forward pass.
		check.Error(train.CheckDivides("micro_batch_size", c.MicroBatchSize, "loss_group", c.LossGroup))
	}
}

// checkNumbers checks that numbers are within their ranges.
func (c *Config) checkNumbers(check *train.Checks) {
	for _, f := range []struct {
		key  string
		v    float64
		ok   bool
		want string
	}{
		{"score_clip", c.ScoreClip, c.ScoreClip >= 0, "at least 0 (0: no clipping)"},
		{"kl_coef", c.KLCoef, c.KLCoef >= 0, "at least 0"},
		{"kl_target", c.KLTarget, c.KLTarget > 0, "more than 0"},
		{"kl_horizon", c.KLHorizon, c.KLHorizon > 0, "more than 0"},
		{"gamma", c.Gamma, c.Gamma > 0 && c.Gamma <= 1, "more than 0, at most 1"},
		{"gae_lambda", c.GAELambda, c.GAELambda >= 0 && c.GAELambda <= 1, "0 to 1"},
		{"clip_range", c.ClipRange, c.ClipRange > 0 && c.ClipRange < 1, "more than 0, less than 1"},
		{"value_clip_range", c.ValueClipRange, c.ValueClipRange > 0, "more than 0"},
		{"value_coef", c.ValueCoef, c.ValueCoef >= 0, "at least 0"},
		{"ratio_threshold", c.RatioThreshold, c.RatioThreshold == 0 || c.RatioThreshold > 1, "0 (off) or more than 1"},
		{"policy_kl_target", c.PolicyKLTarget, c.PolicyKLTarget > 0, "more than 0"},
	} {
		check.Number(f.key, f.v, f.ok, f.want)
	}
	if c.NormScores && !c.ScaleScores {
		check.Want("norm_scores", "false unless scale_scores is true", true)
	}
}
