package grpo

import "steer/rl/train"

// Validate reports every field that cannot be used, with what was expected.
func (c *Config) Validate() error {
	check := train.NewChecks("grpo")
	check.Enum("preset", c.Preset)
	c.checkCounts(check)
	check.Error(c.Optim.Validate("optim"))
	c.Sampling.Check(check)
	c.Advantage.check(check)
	c.Loss.check(check)
	c.checkTogether(check)
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
		{"prompts_per_iteration", int64(c.Prompts), 1},
		{"num_generations", int64(c.NumGenerations), 1},
		{"epochs", int64(c.Epochs), 1},
		{"dynamic_sampling", int64(c.DynamicSampling), 0},
		{"overlong_cache", int64(c.OverlongCache), 0},
	} {
		check.AtLeast(f.key, f.v, f.least)
	}
	check.Error(train.CheckDivides("prompts_per_iteration times num_generations,", c.answers(), "mini_batch_size",
		c.MiniBatchSize))
	check.Error(train.CheckDivides("mini_batch_size", c.MiniBatchSize, "micro_batch_size", c.MicroBatchSize))
	if c.OverlongCache > c.MaxNewTokens {
		check.Want("overlong_cache", "at most max_new_tokens", c.OverlongCache)
	}
}

func (a *Advantage) check(check *train.Checks) {
	check.Enum("baseline", a.Baseline)
	check.Enum("scale_rewards", a.ScaleRewards)
	check.Enum("multi_objective_aggregation", a.Aggregation)
	check.Enum("kl_in", a.KLIn)
	check.Number("beta", a.Beta, a.Beta >= 0, "at least 0")
}

func (l *Loss) check(check *train.Checks) {
	check.Enum("loss_type", l.LossType)
	check.Enum("importance_sampling_level", l.Level)
	low := l.EpsilonLow >= 0 && (l.EpsilonLow < 1 || l.LossType == GMPO)
	check.Number("epsilon_low", l.EpsilonLow, low, "at least 0 and less than 1")
	check.Number("epsilon_high", l.EpsilonHigh, l.EpsilonHigh >= 0, "at least 0")
	check.Number("delta", l.Delta, l.Delta == 0 || l.Delta > 1+l.EpsilonHigh, "0 (off) or more than 1 + epsilon_high")
	check.Number("off_policy_mask_threshold", l.OffPolicyMask, l.OffPolicyMask >= 0, "at least 0 (0: off)")
	check.Number("entropy_coef", l.EntropyCoef, l.EntropyCoef >= 0, "at least 0 (0: off)")
	check.Number("top_entropy_quantile", l.TopEntropyQuantile, l.TopEntropyQuantile > 0 && l.TopEntropyQuantile <= 1,
		"more than 0, at most 1 (1: all tokens)")
	for _, f := range []struct {
		key string
		v   float64
	}{
		{"sapo_temperature_pos", l.SAPOTemperaturePos}, {"sapo_temperature_neg", l.SAPOTemperatureNeg},
		{"vespo_k_pos", l.VESPOKPos}, {"vespo_lambda_pos", l.VESPOLambdaPos},
		{"vespo_k_neg", l.VESPOKNeg}, {"vespo_lambda_neg", l.VESPOLambdaNeg},
	} {
		check.Number(f.key, f.v, f.v > 0, "more than 0")
	}
}

// checkTogether checks settings that have a meaning only beside others.
func (c *Config) checkTogether(check *train.Checks) {
	if c.NumGenerations == 1 && (c.Baseline != NoBaseline || c.ScaleRewards == ScaleGroup) {
		check.Bad("num_generations: want at least 2: an answer is compared with others to its prompt (or baseline " +
			"none and scale_rewards batch or none)")
	}
	if c.NumGenerations == 1 && c.DynamicSampling > 0 {
		check.Want("dynamic_sampling", "0 with num_generations 1: one answer has no spread", c.DynamicSampling)
	}
	if c.Aggregation == NormalizeThenSum {
		if c.KLIn != KLInLoss {
			check.Want("kl_in", "loss with multi_objective_aggregation normalize_then_sum", c.KLIn)
		}
		if c.Baseline != GroupMean || c.ScaleRewards != ScaleGroup {
			check.Bad("baseline, scale_rewards: want group_mean and group with multi_objective_aggregation " +
				"normalize_then_sum, which normalises each reward in its group")
		}
		if m := c.Mixture.Combine; m != "" && m != "sum" {
			check.Want("combine", "sum with multi_objective_aggregation normalize_then_sum", m)
		}
	}
	if c.KLIn == KLInTokenReward && c.Level != LevelToken {
		check.Want("importance_sampling_level", "token with kl_in token_reward: tokens have advantages of their own",
			c.Level)
	}
	if c.LossType == GMPO && (c.Level != LevelToken || c.KLIn == KLInTokenReward) {
		check.Bad("loss_type gmpo: want importance_sampling_level token (it takes the mean of the tokens' ratios " +
			"itself) " +
			"and kl_in loss or reward")
	}
	if c.LossType == GMPO && (c.OffPolicyMask > 0 || c.TopEntropyQuantile < 1) {
		check.Bad("loss_type gmpo: want off_policy_mask_threshold 0 and top_entropy_quantile 1: it has one loss an " +
			"answer")
	}
	if c.Delta > 0 && (!c.LossType.clips() || c.LossType == GMPO) {
		check.Want("delta", "0: loss_type "+string(c.LossType)+" does not read it", c.Delta)
	}
}
