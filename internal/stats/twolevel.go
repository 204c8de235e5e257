package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// RunDraws yields which training runs (seeds) a resample holds. Draw(b) is the same
// for the same b, like [Resamples].
type RunDraws struct {
	runs int
	seed uint64
}

// NewRunDraws draws runs with replacement, from a seed of its own.
func NewRunDraws(runs int, seed uint64) (*RunDraws, error) {
	if runs < 1 {
		return nil, fmt.Errorf("stats: two-level bootstrap of %d runs: at least one is needed", runs)
	}
	return &RunDraws{runs: runs, seed: seed}, nil
}

// Weights fills w [run] with how often resample b holds each run; they sum to the
// number of runs.
func (d *RunDraws) Weights(b int, w []int) {
	clear(w)
	r := rand.New(stream(d.seed^0x72756e73, uint64(b))) // not the stream of the items
	for range d.runs {
		w[r.IntN(d.runs)]++
	}
}

// TwoLevelBinary bootstraps the mean over training runs of a metric of classifiers,
// preds[run][model][item], all on the same gold[item]. Each resample draws runs with
// replacement and, with one index vector for all runs and models, items. A run is drawn
// whole, so the models of one seed stay together and differences are paired by run and
// item.
//
// The interval of such a bootstrap covers the choice of items and of seeds, the second
// too narrowly where runs are few: see [Bootstrap.OfRuns]. There is no jackknife, hence no
// BCa.
func TwoLevelBinary(
	gold []int, preds [][][]int, metric BinaryMetric, src Resamples, draws *RunDraws, count int,
) ([]Bootstrap, error) {
	if len(preds) == 0 || len(preds[0]) == 0 {
		return nil, fmt.Errorf("stats: two-level bootstrap without runs or classifiers")
	}
	models := len(preds[0])
	flat := make([][]int, 0, len(preds)*models)
	for r, run := range preds {
		if len(run) != models {
			return nil, fmt.Errorf("stats: two-level bootstrap: run %d has %d classifiers, run 0 has %d", r, len(run),
				models)
		}
		flat = append(flat, run...)
	}
	each, err := BootstrapBinary(gold, flat, metric, src, count)
	if err != nil {
		return nil, err
	}
	return meanOverRuns(each, len(preds), models, draws)
}

// TwoLevelMeans is [TwoLevelBinary] for means of columns[run][column][item].
func TwoLevelMeans(columns [][][]float64, src Resamples, draws *RunDraws, count int) ([]Bootstrap, error) {
	if len(columns) == 0 || len(columns[0]) == 0 {
		return nil, fmt.Errorf("stats: two-level bootstrap without runs or columns")
	}
	width := len(columns[0])
	flat := make([][]float64, 0, len(columns)*width)
	for r, run := range columns {
		if len(run) != width {
			return nil, fmt.Errorf("stats: two-level bootstrap: run %d has %d columns, run 0 has %d", r, len(run),
				width)
		}
		flat = append(flat, run...)
	}
	each, err := BootstrapMeans(flat, src, count)
	if err != nil {
		return nil, err
	}
	return meanOverRuns(each, len(columns), width, draws)
}

// meanOverRuns averages each[run*width+column] over the runs that each resample draws.
func meanOverRuns(each []Bootstrap, runs, width int, draws *RunDraws) ([]Bootstrap, error) {
	if draws.runs != runs {
		return nil, fmt.Errorf("stats: two-level bootstrap: draws are of %d runs, the sample has %d", draws.runs, runs)
	}
	count := len(each[0].Replicates)
	out := make([]Bootstrap, width)
	for m := range out {
		out[m] = Bootstrap{Replicates: make([]float64, count), Degenerate: make([]bool, count)}
		for r := range runs {
			out[m].Estimate += each[r*width+m].Estimate / float64(runs)
		}
	}
	w := make([]int, runs)
	for b := range count {
		draws.Weights(b, w)
		for m := range out {
			for r, k := range w {
				if k == 0 {
					continue
				}
				one := &each[r*width+m]
				out[m].Replicates[b] += float64(k) * one.Replicates[b] / float64(runs)
				out[m].Degenerate[b] = out[m].Degenerate[b] || one.Degenerate != nil && one.Degenerate[b]
			}
		}
	}
	return out, nil
}

// FewRuns corrects a two-level bootstrap for the small number of runs. Drawing S runs
// with replacement finds (S-1)/S of the variance between them, and quantiles of a normal
// kind where three numbers allow those of Student's t only. With s² the variance of the
// statistic between runs and V that of the replicates,
//
//	V* = V + s²/S²,  df = V*² / ((s²/S)² / (S-1))   (Satterthwaite 1946)
//
// where the variance from items counts as known. Where the runs agree this is the
// bootstrap itself; where all variance lies between them, it is a t-test on S numbers.
type FewRuns struct {
	boot    Bootstrap
	StdErr  float64 // sqrt(V*)
	DF      float64 // +Inf where the runs do not differ
	stretch float64 // sqrt(V*/V)
}

// normalDF: with more degrees of freedom Student's t is the normal distribution to six
// digits.
const normalDF = 1e6

// OfRuns applies the correction; perRun is the statistic in every run.
func (a Bootstrap) OfRuns(perRun []float64) FewRuns {
	v := a.StdErr() * a.StdErr()
	m := MeanOf(perRun)
	s, between := float64(len(perRun)), m.StdErr*m.StdErr // s²/S
	out := FewRuns{boot: a, DF: math.Inf(1), stretch: 1, StdErr: math.Sqrt(v + between/s)}
	if between > 0 {
		total := v + between/s
		out.DF = total * total / (between * between / (s - 1))
		out.stretch = math.Sqrt(total / v)
	}
	if out.DF > normalDF {
		out.DF = math.Inf(1) // runs that differ by rounding only would give numbers without meaning
	}
	return out
}

// quantile is that of Student's t, or of the normal distribution.
func (f FewRuns) quantile(p float64) float64 {
	if math.IsInf(f.DF, 1) {
		return distuv.UnitNormal.Quantile(p)
	}
	return distuv.StudentsT{Sigma: 1, Nu: f.DF}.Quantile(p)
}

// Interval is the percentile interval of the bootstrap, its distances from the estimate
// stretched by the correction.
func (f FewRuns) Interval(confidence float64) Interval {
	v := f.boot.Percentile(confidence)
	if f.StdErr == 0 {
		return v
	}
	p := (1 + confidence) / 2
	by := f.stretch * f.quantile(p) / distuv.UnitNormal.Quantile(p)
	at := f.boot.Estimate
	return Interval{Lo: at + by*(v.Lo-at), Hi: at + by*(v.Hi-at), Confidence: confidence}
}

// P is the two-sided p-value of the hypothesis that the statistic is 0, by the t
// distribution of the correction: unlike a share of replicates it has no smallest value,
// which corrections for many tests would run into.
func (f FewRuns) P() float64 {
	if f.StdErr == 0 {
		if f.boot.Estimate == 0 {
			return 1
		}
		return 0
	}
	z := -math.Abs(f.boot.Estimate) / f.StdErr
	if math.IsInf(f.DF, 1) {
		return 2 * distuv.UnitNormal.CDF(z)
	}
	return 2 * distuv.StudentsT{Sigma: 1, Nu: f.DF}.CDF(z)
}

// Range is the smallest and the largest of values; they must not be empty.
func Range(values []float64) (lo, hi float64) { return slices.Min(values), slices.Max(values) }
