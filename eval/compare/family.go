package compare

import (
	"steer/internal/stats"
	"steer/rl/run"
)

// Metric is what is compared.
type Metric string

// MCC is Matthews' correlation of two-class predictions, Accuracy the share of right
// ones.
const (
	MCC      Metric = "mcc"
	Accuracy Metric = "acc"
)

// Benchmark is one benchmark under one protocol: every model of every run.
type Benchmark struct {
	Name     string
	Protocol string
	Metric   Metric
	Runs     [][]Input // [run][model]
}

// Input is one model with its records.
type Input struct {
	Model string
	Items []run.Prediction
}

// Family is all comparisons of a benchmark: the p-values in it are adjusted for one
// another.
type Family struct {
	Benchmark string `json:"benchmark"`
	Protocol  string `json:"protocol,omitempty"`
	Metric    Metric `json:"metric"`
	Runs      int    `json:"runs"`
	Items     int    `json:"items"`
	// LeftOut counts items that not all models were asked.
	LeftOut int `json:"left_out,omitempty"`
	Options
	ResampleSeed uint64 `json:"resample_seed"`

	Models []Model `json:"models"`
	Pairs  []Pair  `json:"pairs"`
	// Omnibus is Cochran's Q over the accuracies of all models, Answered over how often
	// they answered; nil for several runs.
	Omnibus  *Omnibus `json:"cochran_q,omitempty"`
	Answered *Omnibus `json:"cochran_q_coverage,omitempty"`
	// Common is the number of items that every model answered; nil where none refused.
	Common *int `json:"common,omitempty"`
}

// Omnibus is Cochran's Q.
type Omnibus struct {
	Q  float64 `json:"q"`
	DF int     `json:"df"`
	P  float64 `json:"p"`
}

// Estimate is a number with an interval; Kind is bca, percentile,
// wilson, clopper-pearson or two-level (several runs), "" where there is none.
type Estimate struct {
	Value float64  `json:"value"`
	Lo    *float64 `json:"lo,omitempty"`
	Hi    *float64 `json:"hi,omitempty"`
	Kind  string   `json:"kind,omitempty"`
}

// Model is one model of a family.
type Model struct {
	Name string `json:"name"`
	Estimate
	Correct int `json:"correct"` // of Items, over all runs
	Refused int `json:"refused,omitempty"`
	Ties    int `json:"ties,omitempty"` // best choices that scored the same: wrong here
	// Coverage is the share of items that were answered.
	Coverage float64 `json:"coverage"`
	// Degenerate: one and the same class for every item answered, in some run.
	Degenerate bool `json:"degenerate,omitempty"`
	// DegenerateResamples counts resamples on which the metric was undefined and set to 0.
	DegenerateResamples int       `json:"degenerate_resamples,omitempty"`
	Common              *Estimate `json:"common,omitempty"` // on the items that all answered
	PerRun              []float64 `json:"per_run,omitempty"`
}

// Pair compares model A with model B on the same items.
type Pair struct {
	A string `json:"a"`
	B string `json:"b"`
	// Difference is A - B of the metric.
	Difference Estimate `json:"difference"`
	// Simultaneous holds with the confidence for all pairs of the family together
	// (Bonferroni).
	Simultaneous *Estimate `json:"simultaneous,omitempty"`
	// McNemar compares the accuracies, whatever the metric; nil for several runs.
	McNemar *stats.Paired `json:"mcnemar,omitempty"`
	// P tests that the difference is 0; Test says how. Holm is P adjusted for the family.
	P    float64 `json:"p"`
	Test string  `json:"test"`
	Holm float64 `json:"holm"`

	Equivalence *Equivalence `json:"equivalence,omitempty"`
	// Detectable is the difference that a test at level Alpha would find with the given
	// power, DetectableHolm the same at the strictest level of Holm's procedure; nil where
	// the models agree on every item, or the items are too few for any.
	Detectable     *float64 `json:"detectable,omitempty"`
	DetectableHolm *float64 `json:"detectable_holm,omitempty"`

	Common *CommonPair `json:"common,omitempty"`
	PerRun []float64   `json:"per_run,omitempty"`
	// Identical: the two agree on every item. Nothing then tells about the spread of
	// their difference.
	Identical bool `json:"identical,omitempty"`
	// Degenerate names the one-class models of the pair: "a", "b" or "both".
	Degenerate string `json:"degenerate,omitempty"`
}

// Equivalence is two one-sided tests at level Alpha: is the difference inside ±Margin?
type Equivalence struct {
	Margin float64 `json:"margin"`
	// Lo and Hi end the 1-2·Alpha interval of the difference.
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
	// P of paired t-tests; nil for the MCC, whose test is the interval.
	P     *float64 `json:"p,omitempty"`
	Shown bool     `json:"shown"`
}

// CommonPair is a pair on the items that every model answered. P is not adjusted.
type CommonPair struct {
	Difference Estimate `json:"difference"`
	P          float64  `json:"p"`
}

// Different tells whether the pair differs at level alpha after Holm's correction.
func (p Pair) Different(alpha float64) bool { return p.Holm < alpha }

func ptr[T any](v T) *T { return &v }
