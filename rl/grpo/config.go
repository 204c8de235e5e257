package grpo

import (
	"steer/rl/mixture"
	"steer/rl/rollout"
	"steer/rl/train"
)

// Config is everything a run can be told. Start from [New]; sizes are counted in answers (one prompt
// with one response), lengths in tokens, KL in nats.
type Config struct {
	// Preset names the values this configuration started from.
	Preset Preset `yaml:"preset"`
	// Seed determines every random choice of the run.
	Seed uint64 `yaml:"seed"`
	// Iterations is the number of rollout batches.
	Iterations int64 `yaml:"iterations"`
	// Prompts is the number of prompts of an iteration, NumGenerations the answers to each of them,
	// which are a group.
	Prompts        int `yaml:"prompts_per_iteration"`
	NumGenerations int `yaml:"num_generations"`
	// MiniBatchSize is the number of answers of an optimizer update; it divides prompts_per_iteration
	// times num_generations.
	MiniBatchSize int `yaml:"mini_batch_size"`
	// MicroBatchSize is the number of answers of a forward and backward pass; it divides MiniBatchSize
	// and changes memory and speed only.
	MicroBatchSize int `yaml:"micro_batch_size"`
	// Epochs is the number of passes over a rollout batch (trl's num_iterations).
	Epochs int `yaml:"epochs"`
	// Optim is AdamW and the learning rate's course over all updates of the run.
	Optim train.Optim `yaml:"optim"`

	rollout.Sampling `yaml:",inline"`
	Advantage        `yaml:",inline"`
	Loss             `yaml:",inline"`
	rollout.Guards   `yaml:",inline"`
	rollout.Record   `yaml:",inline"`
	// Mixture joins several rewards.
	Mixture mixture.Config `yaml:",inline"`
}

// Advantage says how rewards become advantages.
type Advantage struct {
	// Baseline is what a reward is compared with.
	Baseline Baseline `yaml:"baseline"`
	// ScaleRewards divides what is above the baseline by a standard deviation of rewards.
	ScaleRewards Scale `yaml:"scale_rewards"`
	// NormalizeAdvantages then gives the advantages of the batch mean 0 and standard deviation 1.
	NormalizeAdvantages bool `yaml:"normalize_advantages"`
	// Aggregation: several rewards are summed first, or each is normalised in its group first (GDPO).
	Aggregation Aggregation `yaml:"multi_objective_aggregation"`
	// Beta is the weight of the KL divergence from the reference, KLIn the place where it counts.
	Beta float64 `yaml:"beta"`
	KLIn KLIn    `yaml:"kl_in"`
	// DynamicSampling is how often groups whose answers all have one score may be replaced by those
	// of other prompts; 0 keeps them (their advantages are 0).
	DynamicSampling int `yaml:"dynamic_sampling"`
	// OverlongCache punishes the last so many tokens before max_new_tokens, the more the longer, up to
	// 1 (DAPO's soft overlong punishment); 0 is off.
	OverlongCache int `yaml:"overlong_cache"`
}

// Loss says what the updates minimise.
type Loss struct {
	// LossType is the formula and how the losses of tokens become one number.
	LossType LossType `yaml:"loss_type"`
	// Level is what a ratio of probabilities is taken of.
	Level Level `yaml:"importance_sampling_level"`
	// EpsilonLow and EpsilonHigh clip the ratio to 1 - low .. 1 + high. cispo: high is the greatest
	// ratio. gmpo: they clip its logarithm.
	EpsilonLow  float64 `yaml:"epsilon_low"`
	EpsilonHigh float64 `yaml:"epsilon_high"`
	// Delta caps the ratio of the branch that is not clipped (INTELLECT-2's two-sided clipping); 0 is off.
	Delta float64 `yaml:"delta"`
	// KLImportance multiplies the KL in the loss by the ratio (trl's use_bias_correction_kl).
	KLImportance bool `yaml:"use_bias_correction_kl"`
	// MaskTruncated leaves answers without an end out of the loss.
	MaskTruncated bool `yaml:"mask_truncated_completions"`
	// OffPolicyMask leaves answers with a negative advantage out whose mean of log old - log new is
	// above it (DeepSeek-V3.2); 0 is off.
	OffPolicyMask float64 `yaml:"off_policy_mask_threshold"`
	// TopEntropyQuantile is the share of tokens, those of the highest entropy, that have a policy loss
	// (Wang et al. 2025, arXiv:2506.01939); 1 takes all.
	TopEntropyQuantile float64 `yaml:"top_entropy_quantile"`
	// EntropyCoef is the weight of a bonus for the mean entropy of the tokens that have a policy loss.
	EntropyCoef float64 `yaml:"entropy_coef"`
	// SAPO's temperatures for positive and negative advantages.
	SAPOTemperaturePos float64 `yaml:"sapo_temperature_pos"`
	SAPOTemperatureNeg float64 `yaml:"sapo_temperature_neg"`
	// VESPO's exponents and rates for advantages of either sign.
	VESPOKPos      float64 `yaml:"vespo_k_pos"`
	VESPOLambdaPos float64 `yaml:"vespo_lambda_pos"`
	VESPOKNeg      float64 `yaml:"vespo_k_neg"`
	VESPOLambdaNeg float64 `yaml:"vespo_lambda_neg"`
	// Dropout switches the adapter's dropout on in the policy's passes; the ratio of the first
	// mini-batch is then not 1 (set RatioTolerance 0).
	Dropout bool `yaml:"dropout"`
}

// Baseline names what a reward is compared with.
type Baseline string

// The baselines.
const (
	// GroupMean is the mean reward of the group.
	GroupMean Baseline = "group_mean"
	// LeaveOneOut is the mean reward of the group's other answers (RLOO, Ahmadian et al. 2024).
	LeaveOneOut Baseline = "leave_one_out"
	// NoBaseline compares with 0.
	NoBaseline Baseline = "none"
)

// Values implements the enum check of the configuration reader.
func (Baseline) Values() []string {
	return []string{string(GroupMean), string(LeaveOneOut), string(NoBaseline)}
}

// Scale names whose standard deviation advantages are divided by.
type Scale string

// The scales; the standard deviation has n-1 in the denominator, and 1e-4 is added to it.
const (
	ScaleGroup Scale = "group"
	ScaleBatch Scale = "batch"
	ScaleNone  Scale = "none"
)

// Values implements the enum check of the configuration reader.
func (Scale) Values() []string {
	return []string{string(ScaleGroup), string(ScaleBatch), string(ScaleNone)}
}

// Aggregation names the order of summing rewards and normalising them.
type Aggregation string

// The orders.
const (
	SumThenNormalize Aggregation = "sum_then_normalize"
	// NormalizeThenSum is GDPO: each reward is normalised in its group, their weighted sum over the batch.
	NormalizeThenSum Aggregation = "normalize_then_sum"
)

// Values implements the enum check of the configuration reader.
func (Aggregation) Values() []string {
	return []string{string(SumThenNormalize), string(NormalizeThenSum)}
}

// KLIn names where the KL divergence counts.
type KLIn string

// The places.
const (
	// KLInLoss adds beta times the k3 estimate of each token to its loss.
	KLInLoss KLIn = "loss"
	// KLInReward takes beta times the k1 estimate of the whole answer from its reward.
	KLInReward KLIn = "reward"
	// KLInTokenReward takes beta times the k1 estimate of each token from that token's reward; the
	// advantage of a token is then what comes from it on.
	KLInTokenReward KLIn = "token_reward"
)

// Values implements the enum check of the configuration reader.
func (KLIn) Values() []string {
	return []string{string(KLInLoss), string(KLInReward), string(KLInTokenReward)}
}

// updatesPerIteration is the number of optimizer updates of a whole iteration.
func (c *Config) updatesPerIteration() int64 {
	return int64(c.Epochs) * int64(c.answers()/c.MiniBatchSize)
}

// answers of an iteration.
func (c *Config) answers() int { return c.Prompts * c.NumGenerations }
