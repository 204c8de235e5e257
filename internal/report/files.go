package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"steer/internal/stats"
)

// ResultVersion is the version of result.json that this package reads.
const ResultVersion = 1

// ErrVersion is returned (wrapped) by [Load] for a result.json of another version.
var ErrVersion = errors.New("result of another version")

// Interval is a number with the ends of its 95 % interval. Lo and Hi are nil when
// the file gives the number alone.
type Interval struct {
	Mean float64  `json:"mean"`
	Lo   *float64 `json:"lo,omitempty"`
	Hi   *float64 `json:"hi,omitempty"`
	N    int      `json:"n,omitempty"`
	// PerRun holds the value of every run where Mean is a mean over several.
	PerRun []float64 `json:"per_run,omitempty"`
	// mark is the value that an end has to be told apart from: 0, or chance.
	mark float64
}

// UnmarshalJSON takes a bare number for an interval without ends.
func (v *Interval) UnmarshalJSON(b []byte) error {
	var mean float64
	if json.Unmarshal(b, &mean) == nil {
		*v = Interval{Mean: mean}
		return nil
	}
	type plain Interval
	return json.Unmarshal(b, (*plain)(v))
}

// known tells whether both ends are there.
func (v Interval) known() bool { return v.Lo != nil && v.Hi != nil }

func (v Interval) check(field string) error {
	if v.known() && *v.Lo > *v.Hi {
		return fmt.Errorf("field %q: want lo <= hi, got [%g, %g]", field, *v.Lo, *v.Hi)
	}
	return nil
}

// Base is the quantized model that everything was trained on.
type Base struct {
	Path         string `json:"path,omitempty"`
	SHA256       string `json:"sha256,omitempty"`
	Name         string `json:"name,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Quantization string `json:"quantization,omitempty"`
	Parameters   int64  `json:"parameters,omitempty"`
}

// Data is one data file that a stage read; Rows are in the file, Used of them
// were used.
type Data struct {
	Path      string `json:"path"`
	Role      string `json:"role,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Rows      int    `json:"rows,omitempty"`
	Used      int    `json:"used,omitempty"`
	Dropped   int    `json:"dropped,omitempty"`
	Truncated int    `json:"truncated,omitempty"`
}

// AdapterFile is what a stage produced.
type AdapterFile struct {
	Path   string `json:"path,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// Normalisation maps a raw score to (raw - Mean) / Std.
type Normalisation struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// Histogram counts scores: Counts[i] lie in [Edges[i], Edges[i+1]). A file may give
// Values instead; they are binned on loading.
type Histogram struct {
	Name   string    `json:"name,omitempty"`
	Policy string    `json:"policy,omitempty"`
	Reward string    `json:"reward,omitempty"`
	Edges  []float64 `json:"edges,omitempty"`
	Counts []float64 `json:"counts,omitempty"`
	Values []float64 `json:"values,omitempty"`
}

func (h Histogram) check(field string) error {
	if len(h.Values) > 0 {
		return nil
	}
	if len(h.Edges) != len(h.Counts)+1 {
		return fmt.Errorf("field %q: want one edge more than counts, got %d edges and %d counts", field, len(h.Edges), len(h.Counts))
	}
	for i := 1; i < len(h.Edges); i++ {
		if h.Edges[i] <= h.Edges[i-1] {
			return fmt.Errorf("field %q: edges must ascend, edge %d is %g after %g", field, i, h.Edges[i], h.Edges[i-1])
		}
	}
	return nil
}

// StageResult is what every result.json has, and the fields that sft, reward and
// ppo add.
type StageResult struct {
	Stage    string            `json:"stage"`
	Name     string            `json:"name"`
	Version  int               `json:"version"`
	Status   string            `json:"status,omitempty"` // finished | stopped | interrupted; "" means finished
	Reason   string            `json:"reason,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	Steps    int64             `json:"steps,omitempty"`
	Seconds  float64           `json:"seconds,omitempty"`
	Tokens   int64             `json:"tokens,omitempty"`
	Resumed  int               `json:"resumed,omitempty"`
	Seed     *uint64           `json:"seed,omitempty"`
	Base     *Base             `json:"base,omitempty"`
	Data     []Data            `json:"data,omitempty"`
	Adapter  *AdapterFile      `json:"adapter,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
	Device   string            `json:"device,omitempty"`
	Precise  string            `json:"precision,omitempty"`
	Command  []string          `json:"command,omitempty"`

	Counts     *Counts `json:"counts,omitempty"`      // what became of the training examples
	EvalCounts *Counts `json:"eval_counts,omitempty"` // and of the held-out ones

	EvalBefore *LossEval `json:"eval_before,omitempty"` // sft: before the first step
	EvalLast   *LossEval `json:"eval_last,omitempty"`   // sft: after the last

	Theory        string         `json:"theory,omitempty"`   // reward, ppo
	Recipe        string         `json:"recipe,omitempty"`   // reward
	Accuracy      *Interval      `json:"accuracy,omitempty"` // reward, held-out pairs, Wilson
	Normalisation *Normalisation `json:"normalisation,omitempty"`
	Histograms    []Histogram    `json:"histograms,omitempty"`

	Iterations int64    `json:"iterations,omitempty"`   // ppo
	ScoreFirst *float64 `json:"score_first,omitempty"`  // ppo
	ScoreLast  *float64 `json:"score_last,omitempty"`   // ppo
	KLLast     *float64 `json:"kl_last,omitempty"`      // ppo, nats a response
	KLCoefLast *float64 `json:"kl_coef_last,omitempty"` // ppo

	HeldoutFirst *Heldout `json:"heldout_first,omitempty"` // ppo: before training
	HeldoutLast  *Heldout `json:"heldout_last,omitempty"`  // ppo: after it
	// StoppedBecause is the sentence of the guard that ended a ppo run: the same as
	// status stopped with a reason.
	StoppedBecause string `json:"stopped_because,omitempty"`
}

// Counts says what became of the examples of a data set.
type Counts struct {
	In        int `json:"in"`
	Kept      int `json:"kept"`
	Dropped   int `json:"dropped"`   // longer than the limit
	Truncated int `json:"truncated"` // kept, but cut
	NoTargets int `json:"no_targets"`
}

// LossEval is a measurement on held-out text.
type LossEval struct {
	Loss       float64 `json:"loss"` // nats a token
	Perplexity float64 `json:"perplexity"`
}

// Heldout is a policy measured on prompts it is not trained on; Difference is paired
// with the scores before training.
type Heldout struct {
	Score      Interval `json:"score"`
	Difference Interval `json:"difference"`
	KL         Interval `json:"kl"`     // nats a response
	Length     float64  `json:"length"` // tokens
}

// evalResult is what eval/result.json adds.
type evalResult struct {
	Models      []Model      `json:"models"`
	Benchmarks  []Benchmark  `json:"benchmarks"`
	CrossReward *crossReward `json:"cross_reward"`
	Samples     []Sample     `json:"samples"`
}

// Model is one row of the tables.
type Model struct {
	Name     string   `json:"name"`
	Role     string   `json:"role,omitempty"`   // base | sft | policy
	Theory   string   `json:"theory,omitempty"` // reward the policy was trained with
	Adapters []string `json:"adapters,omitempty"`
}

// Benchmark is one benchmark, under one protocol, of one model.
type Benchmark struct {
	Benchmark  string                `json:"benchmark"`
	Protocol   string                `json:"protocol,omitempty"`
	Model      string                `json:"model"`
	N          int                   `json:"n"`
	Metrics    map[string]float64    `json:"metrics"`
	Intervals  map[string][2]float64 `json:"intervals,omitempty"`
	Flags      []string              `json:"flags,omitempty"`
	Provenance map[string]any        `json:"provenance,omitempty"`
	// Calibration compares forecasts with what came true, where the benchmark has them.
	Calibration []stats.Bin `json:"calibration,omitempty"`
}

// crossReward is the scores of policies (rows) under reward models (columns).
type crossReward struct {
	Policies      []string                 `json:"policies"`
	Rewards       []string                 `json:"rewards"`
	Reference     string                   `json:"reference"`
	Unit          string                   `json:"unit"`
	Normalisation map[string]Normalisation `json:"normalisation"`
	Prompts       *Data                    `json:"prompts"`
	Cells         [][]Cell                 `json:"cells"`
	KL            map[string]Interval      `json:"kl"`
	Lengths       map[string]Interval      `json:"lengths"`
	Histograms    []Histogram              `json:"histograms"`
	// Items is the file of the answers' records; results of former versions do not name it.
	Items       string `json:"items"`
	ItemsSHA256 string `json:"items_sha256"`
}

// Cell is the mean score of a policy's answers under a reward model with its 95 %
// interval, and the paired difference to the reference row; Diff is nil in that row.
type Cell struct {
	Mean    float64  `json:"mean"`
	Lo      *float64 `json:"lo,omitempty"`
	Hi      *float64 `json:"hi,omitempty"`
	N       int      `json:"n,omitempty"`
	Diff    *float64 `json:"diff_sft,omitempty"`
	DiffLo  *float64 `json:"diff_lo,omitempty"`
	DiffHi  *float64 `json:"diff_hi,omitempty"`
	WinRate *float64 `json:"win_rate,omitempty"`
	// P tests that the difference is 0, Holm is P adjusted for all cells of the matrix;
	// nil where the answers themselves were not found.
	P    *float64 `json:"p,omitempty"`
	Holm *float64 `json:"holm,omitempty"`
	// PerRun is the difference in every run where there are several.
	PerRun []float64 `json:"per_run,omitempty"`
}

// Sample is one prompt with the answer of each model and their scores by model and
// reward.
type Sample struct {
	// Run names the run whose answers these are, where there are several.
	Run     string                        `json:"run,omitempty"`
	Prompt  string                        `json:"prompt"`
	Answers map[string]string             `json:"answers"`
	Scores  map[string]map[string]float64 `json:"scores,omitempty"`
}

var stageKinds = map[string]bool{"sft": true, "reward": true, "ppo": true, "eval": true}

// readResult reads a result.json. A missing file gives nil, nil, nil; the third
// result is nil unless the stage is eval.
func (l Loader) readResult(path string) (*StageResult, *evalResult, error) {
	b, err := l.file(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("report: %w", err)
	}
	// The version comes first: the fields of another version may have other types.
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, nil, fmt.Errorf("report: %s: not a JSON object: %w", path, err)
	}
	if head.Version == nil {
		return nil, nil, fmt.Errorf("report: %s: field %q is missing: want %d (was this file written by steer?): %w", path, "version", ResultVersion, ErrVersion)
	}
	if *head.Version != ResultVersion {
		return nil, nil, fmt.Errorf("report: %s: field %q: want %d, got %d: use the steer that wrote it, or run the stage again: %w", path, "version", ResultVersion, *head.Version, ErrVersion)
	}
	res := &StageResult{}
	if err := json.Unmarshal(b, res); err != nil {
		return nil, nil, fmt.Errorf("report: %s: %w", path, err)
	}
	if !stageKinds[res.Stage] {
		return nil, nil, fmt.Errorf("report: %s: field %q: want sft, reward, ppo or eval, got %q", path, "stage", res.Stage)
	}
	if res.StoppedBecause != "" && (res.Status == "" || res.Status == "finished") {
		res.Status, res.Reason = "stopped", res.StoppedBecause
	}
	if err := res.check(); err != nil {
		return nil, nil, fmt.Errorf("report: %s: %w", path, err)
	}
	if res.Stage != "eval" {
		return res, nil, nil
	}
	ev := &evalResult{}
	if err := decodeExact(b, ev); err != nil {
		return nil, nil, fmt.Errorf("report: %s: %w", path, err)
	}
	if err := ev.check(); err != nil {
		return nil, nil, fmt.Errorf("report: %s: %w", path, err)
	}
	return res, ev, nil
}

// decodeExact is json.Unmarshal that keeps numbers whose type is open, as those of the
// provenance, as they are written: a seed has 64 bits, a float64 53.
func decodeExact(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(into)
}

func (r *StageResult) check() error {
	switch r.Status {
	case "", "finished", "stopped", "interrupted":
	default:
		return fmt.Errorf("field %q: want finished, stopped or interrupted, got %q", "status", r.Status)
	}
	if r.Accuracy != nil {
		if err := r.Accuracy.check("accuracy"); err != nil {
			return err
		}
		if a := r.Accuracy.Mean; a < 0 || a > 1 {
			return fmt.Errorf("field %q: want a share in [0, 1], got %g", "accuracy.mean", a)
		}
	}
	for name, h := range map[string]*Heldout{"heldout_first": r.HeldoutFirst, "heldout_last": r.HeldoutLast} {
		if h == nil {
			continue
		}
		if err := errors.Join(h.Score.check(name+".score"), h.Difference.check(name+".difference"), h.KL.check(name+".kl")); err != nil {
			return err
		}
	}
	if r.Normalisation != nil && r.Normalisation.Std < 0 {
		return fmt.Errorf("field %q: want >= 0, got %g", "normalisation.std", r.Normalisation.Std)
	}
	for i, h := range r.Histograms {
		if err := h.check(fmt.Sprintf("histograms[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (e *evalResult) check() error {
	for i, b := range e.Benchmarks {
		if b.Benchmark == "" || b.Model == "" {
			return fmt.Errorf("field %q: benchmark and model must not be empty", fmt.Sprintf("benchmarks[%d]", i))
		}
		for _, k := range sortedKeys(b.Intervals) {
			if v := b.Intervals[k]; v[0] > v[1] {
				return fmt.Errorf("field %q: want lo <= hi, got [%g, %g]", fmt.Sprintf("benchmarks[%d].intervals.%s", i, k), v[0], v[1])
			}
		}
	}
	c := e.CrossReward
	if c == nil {
		return nil
	}
	if len(c.Cells) != len(c.Policies) {
		return fmt.Errorf("field %q: want a row for each of %d policies, got %d", "cross_reward.cells", len(c.Policies), len(c.Cells))
	}
	for i, row := range c.Cells {
		if len(row) != len(c.Rewards) {
			return fmt.Errorf("field %q: want a cell for each of %d rewards, got %d", fmt.Sprintf("cross_reward.cells[%d]", i), len(c.Rewards), len(row))
		}
		for j, v := range row {
			field := fmt.Sprintf("cross_reward.cells[%d][%d]", i, j)
			if err := (Interval{Lo: v.Lo, Hi: v.Hi}).check(field); err != nil {
				return err
			}
			if err := (Interval{Lo: v.DiffLo, Hi: v.DiffHi}).check(field + ".diff"); err != nil {
				return err
			}
		}
	}
	switch c.Unit {
	case "", "raw", "normalised":
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
