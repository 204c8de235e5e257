package rollout

// Sampling says how responses are sampled.
type Sampling struct {
	// Temperature of sampling, more than 0.
	Temperature float32 `yaml:"temperature"`
	// LogprobTemperature says what divides the logits in every log-probability:
	// the sampling temperature, so that the policy trained is the policy sampled
	// from, or one, as trl 0.7.1.
	LogprobTemperature LogprobTemperature `yaml:"logprob_temperature"`
	// TopK, TopP and MinP truncate the distribution; 0 is off, and so is TopP 1. The
	// log-probabilities are those of the whole distribution, so a truncated sampler
	// makes the estimated KL wrong, and negative: AllowTruncatedSampling must say
	// that this is wanted.
	TopK                   int     `yaml:"top_k"`
	TopP                   float32 `yaml:"top_p"`
	MinP                   float32 `yaml:"min_p"`
	AllowTruncatedSampling bool    `yaml:"allow_truncated_sampling"`
	// LengthDraw: is the longest response always MaxNewTokens, or drawn uniformly
	// from MinNewTokens..MaxNewTokens, both included, for each sample or each
	// LengthGroup consecutive samples.
	LengthDraw   LengthDraw `yaml:"length_draw"`
	LengthGroup  int        `yaml:"length_group"`
	MinNewTokens int        `yaml:"min_new_tokens"`
	MaxNewTokens int        `yaml:"max_new_tokens"`
	// EOS: stop generating at an end token, or generate on and cut behind the first
	// one afterwards. The end token stays in the response.
	EOS EOSMode `yaml:"eos"`
	// StopStrings end a response too (eos: stop only).
	StopStrings []string `yaml:"stop_strings"`
	// MissingEOSPenalty is taken from the score of a response that neither an end
	// token nor a stop string ended.
	MissingEOSPenalty float64 `yaml:"missing_eos_penalty"`
}

// Guards end a run that goes wrong, with a checkpoint and a sentence of why.
type Guards struct {
	// RatioTolerance is how far a ratio of an iteration's first mini-batch may be
	// from 1; more is an error in the engine. 0 does not check.
	RatioTolerance float64 `yaml:"ratio_tolerance"`
	// RatioOutliers is the share of the mini-batch's response tokens that may be farther
	// from 1 than that.
	RatioOutliers float64 `yaml:"ratio_outliers"`
	// MaxKL stops the run when the mean KL of a response is above it; 0 is off.
	MaxKL float64 `yaml:"max_kl"`
	// MinEntropyRatio and MaxEntropyRatio bound the mean entropy of a token relative
	// to the first iteration's; 0 is off.
	MinEntropyRatio float64 `yaml:"min_entropy_ratio"`
	MaxEntropyRatio float64 `yaml:"max_entropy_ratio"`
	// MaxRepetitionRise bounds how much the share of repeated RepetitionNgram-grams
	// in a response may rise above the first iteration's; 0 is off.
	MaxRepetitionRise float64 `yaml:"max_repetition_rise"`
	RepetitionNgram   int     `yaml:"repetition_ngram"`
	// MaxScore is the greatest absolute raw score that a working reward model gives: one
	// beyond it is an error. Scores of a whole batch that are all equal are warned of, and
	// stop the run if they stay so. 0 looks at no score.
	MaxScore float64 `yaml:"max_score"`
	// AlarmPatience is how many iterations in a row an entropy, repetition or equal-scores
	// alarm must hold.
	AlarmPatience int `yaml:"alarm_patience"`
}

// Record says what is written and how often, in iterations; 0 means after the last
// iteration only. Metrics are written after every one.
type Record struct {
	CheckpointEvery int64 `yaml:"checkpoint_every"`
	SamplesEvery    int64 `yaml:"samples_every"`
	SamplesCount    int   `yaml:"samples_count"` // episodes of a batch that are written
	// HeldoutEvery is how often the held-out prompts are answered and scored between
	// the start and the end of the run, where they always are.
	HeldoutEvery int64 `yaml:"heldout_every"`
}

// LogprobTemperature names the temperature of log-probabilities.
type LogprobTemperature string

// The temperatures of log-probabilities.
const (
	LogprobAtSampling LogprobTemperature = "sampling"
	LogprobAtOne      LogprobTemperature = "one"
)

// Values implements the enum check of the configuration reader.
func (LogprobTemperature) Values() []string {
	return []string{string(LogprobAtSampling), string(LogprobAtOne)}
}

// LengthDraw names how the longest response is drawn.
type LengthDraw string

// The draws.
const (
	LengthFixed  LengthDraw = "fixed"
	LengthSample LengthDraw = "sample"
	LengthGroup  LengthDraw = "group"
)

// Values implements the enum check of the configuration reader.
func (LengthDraw) Values() []string {
	return []string{string(LengthFixed), string(LengthSample), string(LengthGroup)}
}

// EOSMode names what an end token does to a rollout.
type EOSMode string

// The modes.
const (
	EOSStop EOSMode = "stop"
	EOSCut  EOSMode = "cut"
)

// Values implements the enum check of the configuration reader.
func (EOSMode) Values() []string { return []string{string(EOSStop), string(EOSCut)} }
