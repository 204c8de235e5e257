package eval

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"steer/internal/seed"
	"steer/internal/stats"
)

// Protocols: how a benchmark turns a model into predictions.
const (
	ProtocolLogLik   = "loglik"   // log-likelihood of the choices
	ProtocolLogLik5  = "loglik-5" // of five labels
	ProtocolReward   = "reward"   // reward score against a frozen threshold
	ProtocolGenerate = "generate" // generate and compare
	ProtocolThesis   = "thesis"   // generate and parse
	ProtocolPaired   = "paired"   // reward scores of the completions compared
)

// Benchmark is the outcome of one benchmark, under one protocol, for one model; an
// element of "benchmarks" in result.json (docs/report.md).
type Benchmark struct {
	Benchmark string             `json:"benchmark"`
	Protocol  string             `json:"protocol"`
	Model     string             `json:"model"`
	N         int                `json:"n"`
	Metrics   map[string]float64 `json:"metrics"`
	// Intervals holds [lo, hi] of the metric of the same name.
	Intervals  map[string][2]float64 `json:"intervals,omitempty"`
	Flags      []string              `json:"flags,omitempty"`
	Provenance map[string]any        `json:"provenance,omitempty"`
	// Calibration compares forecast probabilities with what came true, where the
	// benchmark has such.
	Calibration []stats.Bin `json:"calibration,omitempty"`
}

func newBenchmark(name, protocol, model, version string, n int, set Settings) *Benchmark {
	return &Benchmark{
		Benchmark: name, Protocol: protocol, Model: model, N: n,
		Metrics:   map[string]float64{},
		Intervals: map[string][2]float64{},
		Provenance: map[string]any{
			"prompt_version": version,
			"confidence":     set.Confidence,
			"resamples":      set.Resamples,
			"seed":           set.Seed,
			"margin":         set.Margin,
		},
	}
}

// set stores a metric; what is undefined (NaN) is left out, as JSON has no word for
// it.
func (b *Benchmark) set(name string, v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		b.Metrics[name] = v
	}
}

func (b *Benchmark) interval(name string, lo, hi float64) {
	if !math.IsNaN(lo+hi) && !math.IsInf(lo, 0) && !math.IsInf(hi, 0) {
		b.Intervals[name] = [2]float64{lo, hi}
	}
}

// flag adds a word, or word=count if count is not negative.
func (b *Benchmark) flag(word string, count int) {
	if count >= 0 {
		word = fmt.Sprintf("%s=%d", word, count)
	}
	b.Flags = append(b.Flags, word)
}

// share stores k/n with its Wilson interval.
func (b *Benchmark) share(name string, k, n int, set Settings) {
	if n == 0 {
		return
	}
	b.set(name, float64(k)/float64(n))
	lo, hi := stats.Wilson(k, n, set.Confidence)
	b.interval(name, lo, hi)
}

// addAccuracy stores acc, its standard error in the harness's form
// (sample deviation / sqrt(n)), and the flags of truncation, refusals and ties, which
// both count as wrong.
func (b *Benchmark) addAccuracy(records []Record, set Settings) {
	right := make([]float64, len(records))
	correct, cut, refused, ties := 0, 0, 0, 0
	for i, r := range records {
		if r.Pred == r.Gold {
			right[i] = 1
			correct++
		}
		if r.Cut > 0 {
			cut++
		}
		if r.Refused {
			refused++
		}
		if r.Tie {
			ties++
		}
	}
	b.share("acc", correct, len(records), set)
	b.set("acc_stderr", stats.MeanOf(right).StdErr)
	if cut > 0 {
		b.flag("truncated", cut)
	}
	if refused > 0 {
		b.flag("refused", refused)
	}
	if ties > 0 {
		b.flag("ties", ties)
	}
}

// addNorm stores acc_norm: the prediction by likelihood per character.
func (b *Benchmark) addNorm(records []Record, set Settings) {
	right := make([]float64, len(records))
	correct := 0
	for i, r := range records {
		if r.PredNorm != nil && *r.PredNorm == r.Gold {
			right[i] = 1
			correct++
		}
	}
	b.share("acc_norm", correct, len(records), set)
	b.set("acc_norm_stderr", stats.MeanOf(right).StdErr)
}

// twoClass holds what the two-class measures need, one element an item.
type twoClass struct {
	gold, pred []int     // 0 or 1; a refusal is scored as wrong
	score      []float64 // higher = class 1; nil if there is none
}

// binaryOf reads two-class records. A refusal or a tie becomes the wrong class: dropping
// it would compare models on different items. The score is the raw reward score, or the
// difference of the two choices' scores or log-probabilities.
func binaryOf(records []Record) twoClass {
	var x twoClass
	for _, r := range records {
		pred := r.Pred
		if r.Refused || r.Tie {
			pred = 1 - r.Gold
		}
		x.gold, x.pred = append(x.gold, r.Gold), append(x.pred, pred)
		switch {
		case r.Score != nil:
			x.score = append(x.score, *r.Score)
		case len(r.Scores) == 2:
			x.score = append(x.score, r.Scores[1]-r.Scores[0])
		case len(r.LogProbs) == 2:
			x.score = append(x.score, r.LogProbs[1]-r.LogProbs[0])
		}
	}
	return x
}

// bootstrapSource gives the resamples of a benchmark. They depend on the run's seed, the
// benchmark and the number of items only, so that all models and protocols share
// them.
func (b *Benchmark) bootstrapSource(n int, set Settings) (stats.Resamples, error) {
	return stats.NewSeeded(n, seed.Bootstrap(set.Seed, b.Benchmark, n))
}

// addBinary stores the two-class measures: MCC with analytic error and bootstrap
// interval, balanced accuracy, F1, macro-F1, kappa, AUC, the rate of class 1 among
// predictions and gold labels, the accuracy of the majority class, and flags.
func (b *Benchmark) addBinary(x twoClass, set Settings) error {
	table, err := stats.CountBinary(x.gold, x.pred)
	if err != nil {
		return err
	}
	n := table.N()
	positives := table.TP + table.FN
	mcc, degenerate := table.MCC()
	b.set("mcc", mcc)
	b.set("balanced_acc", table.BalancedAccuracy())
	b.set("f1", table.F1())
	b.set("macro_f1", table.MacroF1())
	b.set("kappa", table.Kappa())
	b.share("predicted_yes", table.TP+table.FP, n, set)
	b.set("gold_yes", float64(positives)/float64(n))
	b.set("majority_acc", float64(max(positives, n-positives))/float64(n))
	for name, k := range map[string]int{"tp": table.TP, "tn": table.TN, "fp": table.FP, "fn": table.FN} {
		b.set(name, float64(k))
	}
	if positives == 0 || positives == n {
		b.flag("one_class", -1)
	}
	if said := table.TP + table.FP; said == 0 || said == n {
		b.flag("degenerate", -1)
	}
	if x.score != nil {
		auc, err := stats.AUC(x.gold, x.score)
		if err != nil && !errors.Is(err, stats.ErrOneClass) {
			return err
		}
		b.set("auc", auc)
	}
	if degenerate {
		return nil
	}
	return b.addMCCInterval(table, x, set)
}

// addMCCInterval stores the analytic and the bootstrap interval of the MCC, and the
// bootstrap interval of the balanced accuracy. BCa where it exists, else the
// percentile interval; which one is written down.
func (b *Benchmark) addMCCInterval(table stats.Binary, x twoClass, set Settings) error {
	mcc, _ := table.MCC()
	se := table.MCCStdErr()
	b.set("mcc_stderr", se)
	z := distuv.UnitNormal.Quantile((1 + set.Confidence) / 2)
	b.interval("mcc_analytic", math.Max(-1, mcc-z*se), math.Min(1, mcc+z*se))

	src, err := b.bootstrapSource(len(x.gold), set)
	if err != nil {
		return err
	}
	for name, metric := range map[string]stats.BinaryMetric{"mcc": stats.MetricMCC, "balanced_acc": stats.MetricBalancedAccuracy} {
		boot, err := stats.BootstrapBinary(x.gold, [][]int{x.pred}, metric, src, set.Resamples)
		if err != nil {
			return err
		}
		v, ok := boot[0].BCa(set.Confidence)
		b.interval(name, v.Lo, v.Hi)
		kind := "bca"
		if !ok {
			kind = "percentile"
		}
		b.Provenance[name+"_interval"] = kind
		if name == "mcc" {
			b.set("mcc_degenerate_resamples", float64(boot[0].DegenerateCount()))
		}
	}
	return nil
}

// addAUCError stores the standard error of the AUC (DeLong et al. 1988) and the normal
// interval from it.
func (b *Benchmark) addAUCError(x twoClass, set Settings) error {
	auc, known := b.Metrics["auc"]
	if !known {
		return nil
	}
	se, err := stats.AUCStdErr(x.gold, x.score)
	if err != nil {
		return err
	}
	b.set("auc_stderr", se)
	z := distuv.UnitNormal.Quantile((1 + set.Confidence) / 2)
	b.interval("auc", math.Max(0, auc-z*se), math.Min(1, auc+z*se))
	return nil
}

// addMean stores the mean of one value an item with its bootstrap interval (BCa where
// it exists).
func (b *Benchmark) addMean(name string, values []float64, set Settings) error {
	src, err := b.bootstrapSource(len(values), set)
	if err != nil {
		return err
	}
	boot, err := stats.BootstrapMeans([][]float64{values}, src, set.Resamples)
	if err != nil {
		return err
	}
	v, _ := boot[0].BCa(set.Confidence)
	b.set(name, boot[0].Estimate)
	b.interval(name, v.Lo, v.Hi)
	return nil
}

// addHalved stores the share of right answers with ties counted one half, as chance
// would decide them. The interval is Wilson's, its ends from half the ties rounded away
// from the middle where their number is odd.
func (b *Benchmark) addHalved(name string, right, ties, n int, set Settings) {
	if n == 0 {
		return
	}
	b.set(name, (float64(right)+float64(ties)/2)/float64(n))
	lo, _ := stats.Wilson(right+ties/2, n, set.Confidence)
	_, hi := stats.Wilson(right+(ties+1)/2, n, set.Confidence)
	b.interval(name, lo, hi)
}

// choiceBenchmark runs items and summarises their accuracy.
func choiceBenchmark(ctx context.Context, s Subject, set Settings, items []Item, name, protocol, version string) (*Benchmark, []Record, error) {
	records, err := Choose(ctx, s, set, items, Progress{Benchmark: name, Protocol: protocol})
	if err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	b := newBenchmark(name, protocol, s.Name, version, len(records), set)
	if err := b.addEncoding(s, set); err != nil {
		return nil, nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	b.addAccuracy(records, set)
	return b, records, nil
}

// addEncoding writes down the options that change token ids.
func (b *Benchmark) addEncoding(s Subject, set Settings) error {
	enc, err := NewEncoder(s.Tokenizer, set.BOS)
	if err != nil {
		return err
	}
	b.Provenance["bos"] = enc.BOS()
	b.Provenance["target_delimiter"] = set.TargetDelimiter
	b.Provenance["max_length"] = set.MaxLength
	return nil
}
