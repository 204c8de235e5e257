package run

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"steer/internal/stats"
)

// Evaluation is result.json of an evaluation.
type Evaluation struct {
	Record

	// Limit is how many items of a benchmark a quick look takes; 0: all.
	Limit int `json:"limit,omitempty"`
	// Suite is the set of benchmarks that was asked for; nil: none by name.
	Suite       *Suite         `json:"suite,omitempty"`
	Models      []Model        `json:"models"`
	Benchmarks  []*Measurement `json:"benchmarks"`
	CrossReward *CrossReward   `json:"cross_reward,omitempty"`
	Samples     []Sample       `json:"samples,omitempty"`

	// Steps and Tokens are those of other programs.
	Steps  int64 `json:"steps,omitempty"`
	Tokens int64 `json:"tokens,omitempty"`
}

// NewEvaluation puts the parts of an evaluation together; cross is nil without a matrix.
func NewEvaluation(name string, models []Model, measured []*Measurement, cross *CrossReward) *Evaluation {
	e := &Evaluation{
		Record: Record{Stage: StageEval, Name: name, Version: ResultVersion},
		Models: models, Benchmarks: measured, CrossReward: cross,
	}
	for i := range models {
		if models[i].Adapters == nil {
			models[i].Adapters = []string{} // "[]", not "null"
		}
	}
	if cross != nil {
		e.Samples = cross.Samples
	}
	return e
}

// Check finds what contradicts itself.
func (e *Evaluation) Check() error {
	errs := []error{e.Record.check()}
	for i, b := range e.Benchmarks {
		errs = append(errs, b.check(fmt.Sprintf("benchmarks[%d]", i)))
	}
	if e.CrossReward != nil {
		errs = append(errs, e.CrossReward.check())
	}
	return first(errs)
}

// Suite is a set of benchmarks by its name.
type Suite struct {
	Name string `json:"name"`
	Data string `json:"data"` // the folder
	// Missing are the data that were not found there.
	Missing []MissingData `json:"missing"`
}

// MissingData are data of a suite that were not found.
type MissingData struct {
	Key   string   `json:"key"`
	Files []string `json:"files"` // any one of these, below the data folder
	From  string   `json:"from"`
	Lost  string   `json:"lost"` // what there is no result of, in words
}

// Model is a model under test, a row of every table.
type Model struct {
	Name     string   `json:"name" yaml:"name"`
	Role     string   `json:"role" yaml:"role"` // base, sft or policy
	Theory   string   `json:"theory,omitempty" yaml:"theory,omitempty"`
	Adapters []string `json:"adapters" yaml:"adapters"`
	// BestOf: an answer is the best of so many of that stack; 0: it is its own.
	BestOf int `json:"best_of,omitempty" yaml:"best_of,omitempty"`
}

// ID names a measurement: a benchmark under a protocol, of a model. Parts may be empty.
type ID struct {
	Benchmark string `json:"benchmark"`
	Protocol  string `json:"protocol"`
	Model     string `json:"model"`
}

// String is how people read it.
func (id ID) String() string {
	parts := []string{id.Benchmark, id.Protocol, id.Model}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// Measurement is the outcome of one benchmark, under one protocol, for one model.
type Measurement struct {
	ID
	N       int                `json:"n"` // items
	Metrics map[string]float64 `json:"metrics"`
	// Intervals holds [lo, hi] of the metric of the same name.
	Intervals  map[string][2]float64 `json:"intervals,omitempty"`
	Flags      []string              `json:"flags,omitempty"` // words, or word=count
	Provenance Provenance            `json:"provenance,omitzero"`
	// Calibration compares forecast probabilities with what came true, where the
	// benchmark has such.
	Calibration []stats.Bin `json:"calibration,omitempty"`
}

func (b *Measurement) check(field string) error {
	if b.Benchmark == "" || b.Model == "" {
		return fmt.Errorf("field %q: benchmark and model must not be empty", field)
	}
	for _, k := range slices.Sorted(maps.Keys(b.Intervals)) {
		if v := b.Intervals[k]; v[0] > v[1] {
			return fmt.Errorf("field %q: want lo <= hi, got [%g, %g]", field+".intervals."+k, v[0], v[1])
		}
	}
	return nil
}

// CrossReward is the matrix: answers of policies (rows) under reward models (columns).
type CrossReward struct {
	Policies  []string `json:"policies"`
	Rewards   []string `json:"rewards"`
	Reference string   `json:"reference"` // the row that differences are taken to
	Unit      string   `json:"unit"`      // raw, or normalised if every reward has a normalisation
	// Normalisation is by reward.
	Normalisation map[string]Normalisation `json:"normalisation,omitempty"`
	Prompts       *DataFile                `json:"prompts,omitempty"`
	Cells         [][]Cell                 `json:"cells"`   // [policy][reward]
	KL            map[string]Interval      `json:"kl"`      // k1, nats a response, from the reference
	KLK3          map[string]Interval      `json:"kl_k3"`   // the same by the k3 estimator
	Lengths       map[string]Interval      `json:"lengths"` // tokens
	// BestOf says of policies that give the best of n answers how many that are. Their KL is Beirami's estimate, and
	// their kl_k3 the closed form, log n - (n-1)/n.
	BestOf     map[string]int `json:"best_of,omitempty"`
	Histograms []Histogram    `json:"histograms,omitempty"`
	// Samples are written beside the matrix.
	Samples []Sample `json:"-"`
	// Items is the file of the answers' records, relative to the run folder; results of former
	// versions do not name it.
	Items       string `json:"items,omitempty"`
	ItemsSHA256 string `json:"items_sha256,omitempty"`
}

// The units of the matrix.
const (
	UnitRaw        = "raw"
	UnitNormalised = "normalised"
)

func (c *CrossReward) check() error {
	if len(c.Cells) != len(c.Policies) {
		return fmt.Errorf("field %q: want a row for each of %d policies, got %d",
			"cross_reward.cells", len(c.Policies), len(c.Cells))
	}
	for i, row := range c.Cells {
		if len(row) != len(c.Rewards) {
			return fmt.Errorf("field %q: want a cell for each of %d rewards, got %d",
				fmt.Sprintf("cross_reward.cells[%d]", i), len(c.Rewards), len(row))
		}
		for j, v := range row {
			if err := v.check(fmt.Sprintf("cross_reward.cells[%d][%d]", i, j)); err != nil {
				return err
			}
		}
	}
	switch c.Unit {
	case "", UnitRaw, UnitNormalised:
	default:
		return fmt.Errorf("field %q: want raw or normalised, got %q", "cross_reward.unit", c.Unit)
	}
	for k, v := range c.Normalisation {
		if v.Std < 0 || math.IsNaN(v.Std) {
			return fmt.Errorf("field %q: want >= 0, got %g", "cross_reward.normalisation."+k+".std", v.Std)
		}
	}
	for i, h := range c.Histograms {
		if err := h.check(fmt.Sprintf("cross_reward.histograms[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// Cell is the mean score of a policy's answers under a reward model with its 95 % interval.
// Differences are paired by prompt and absent for the reference itself. WinRate is the share of
// prompts on which the policy scores above the reference, ties counting one half.
type Cell struct {
	Mean    float64  `json:"mean"`
	Lo      *float64 `json:"lo,omitempty"`
	Hi      *float64 `json:"hi,omitempty"`
	N       int      `json:"n,omitempty"`
	Diff    *float64 `json:"diff_sft,omitempty"`
	DiffLo  *float64 `json:"diff_lo,omitempty"`
	DiffHi  *float64 `json:"diff_hi,omitempty"`
	WinRate *float64 `json:"win_rate,omitempty"`
}

// Interval is the mean score with its ends.
func (c Cell) Interval() Interval { return Interval{c.Mean, c.Lo, c.Hi, c.N} }

func (c Cell) check(field string) error {
	if err := c.Interval().check(field); err != nil {
		return err
	}
	return Interval{Lo: c.DiffLo, Hi: c.DiffHi}.check(field + ".diff")
}

// Sample is one prompt with every policy's answer and its scores by reward.
type Sample struct {
	Prompt  string                        `json:"prompt"`
	Answers map[string]string             `json:"answers"`
	Scores  map[string]map[string]float64 `json:"scores,omitempty"`
}
