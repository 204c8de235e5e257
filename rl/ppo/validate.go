package ppo

import (
	"fmt"
	"slices"

	"steer/rl/train"
)

// Validate reports every field that cannot be used, with what was expected.
func (c *Config) Validate() error {
	check := train.NewChecks("ppo")
	check.Enum("preset", c.Preset)
	check.Enum("logprob_temperature", c.LogprobTemperature)
	check.Enum("length_draw", c.LengthDraw)
	check.Enum("eos", c.EOS)
	check.Enum("kl_penalty", c.KLPenalty)
	check.Enum("kl_control", c.KLControl)
	check.Enum("loss_mean", c.LossMean)
	c.checkCounts(check)
	check.Error(c.Optim.Validate("optim"))
	c.checkNumbers(check)
	c.checkTogether(check)
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
		{"max_new_tokens", int64(c.MaxNewTokens), 1},
		{"min_new_tokens", int64(c.MinNewTokens), 0},
		{"length_group", int64(c.LengthGroup), 1},
		{"loss_group", int64(c.LossGroup), 1},
		{"top_k", int64(c.TopK), 0},
		{"whiten_group_size", int64(c.WhitenGroupSize), 0},
		{"repetition_ngram", int64(c.RepetitionNgram), 1},
		{"alarm_patience", int64(c.AlarmPatience), 1},
		{"samples_every", c.SamplesEvery, 0},
		{"samples_count", int64(c.SamplesCount), 0},
		{"checkpoint_every", c.CheckpointEvery, 0},
		{"heldout_every", c.HeldoutEvery, 0},
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
		{"temperature", float64(c.Temperature), c.Temperature > 0, "more than 0: PPO learns from samples, not from " +
			"the likeliest answer"},
		{"top_p", float64(c.TopP), c.TopP >= 0 && c.TopP <= 1, "0 to 1 (0 or 1: off)"},
		{"min_p", float64(c.MinP), c.MinP >= 0 && c.MinP < 1, "at least 0 (off) and less than 1"},
		{"missing_eos_penalty", c.MissingEOSPenalty, c.MissingEOSPenalty >= 0, "at least 0"},
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
		{"ratio_tolerance", c.RatioTolerance, c.RatioTolerance >= 0, "at least 0 (0: not checked)"},
		{"ratio_outliers", c.RatioOutliers, c.RatioOutliers >= 0 && c.RatioOutliers < 1,
			"a share of tokens, at least 0 and less than 1"},
		{"max_kl", c.MaxKL, c.MaxKL >= 0, "at least 0 (0: off)"},
		{"min_entropy_ratio", c.MinEntropyRatio, c.MinEntropyRatio >= 0 && c.MinEntropyRatio < 1,
			"at least 0 (off) and less than 1"},
		{"max_entropy_ratio", c.MaxEntropyRatio, c.MaxEntropyRatio == 0 || c.MaxEntropyRatio > 1,
			"0 (off) or more than 1"},
		{"max_score", c.MaxScore, c.MaxScore >= 0, "at least 0 (0: off)"},
		{"max_repetition_rise", c.MaxRepetitionRise, c.MaxRepetitionRise >= 0 && c.MaxRepetitionRise <= 1,
			"0 (off) to 1"},
	} {
		check.Number(f.key, f.v, f.ok, f.want)
	}
}

// checkTogether checks settings that have a meaning only beside others.
func (c *Config) checkTogether(check *train.Checks) {
	if c.LengthDraw == LengthFixed && c.MinNewTokens != 0 {
		check.Want("min_new_tokens", "0 with length_draw fixed (or length_draw sample)", c.MinNewTokens)
	}
	if c.LengthDraw != LengthFixed && (c.MinNewTokens < 1 || c.MinNewTokens > c.MaxNewTokens) {
		check.Want("min_new_tokens", fmt.Sprintf("1 to max_new_tokens %d with length_draw %s", c.MaxNewTokens,
			c.LengthDraw), c.MinNewTokens)
	}
	if c.LengthDraw != LengthGroup && c.LengthGroup != 1 {
		check.Want("length_group", "1 unless length_draw is group", c.LengthGroup)
	}
	if c.EOS == EOSCut && len(c.StopStrings) > 0 {
		check.Want("stop_strings", "none with eos cut (or eos stop)", c.StopStrings)
	}
	if slices.Contains(c.StopStrings, "") {
		check.Want("stop_strings", "no empty string", fmt.Sprintf("%q", c.StopStrings))
	}
	if c.truncates() && !c.AllowTruncatedSampling {
		check.Bad("top_k %d, top_p %v, min_p %v: a truncated sampler draws from another distribution than the "+
			"log-probabilities describe, and the KL comes out wrong: set all three to 0, or "+
			"allow_truncated_sampling: true",
			c.TopK, c.TopP, c.MinP)
	}
	if c.NormScores && !c.ScaleScores {
		check.Want("norm_scores", "false unless scale_scores is true", true)
	}
	if c.Dropout && c.RatioTolerance > 0 {
		check.Want("ratio_tolerance", "0 with dropout true: random masks make the ratio of the first mini-batch "+
			"differ from 1", c.RatioTolerance)
	}
}

// truncates: the sampler leaves tokens out that the policy gives a probability.
func (c *Config) truncates() bool {
	return c.TopK > 0 || c.TopP > 0 && c.TopP < 1 || c.MinP > 0
}
