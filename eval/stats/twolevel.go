package stats

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
// The interval of such a bootstrap covers the choice of items and of seeds. With three
// runs the second part rests on three numbers: it tends to be too narrow, by up to
// sqrt(2/3) where the seeds dominate. There is no jackknife, hence no BCa.
func TwoLevelBinary(gold []int, preds [][][]int, metric BinaryMetric, src Resamples, draws *RunDraws, count int) ([]Bootstrap, error) {
	if len(preds) == 0 || len(preds[0]) == 0 {
		return nil, fmt.Errorf("stats: two-level bootstrap without runs or classifiers")
	}
	models := len(preds[0])
	flat := make([][]int, 0, len(preds)*models)
	for r, run := range preds {
		if len(run) != models {
			return nil, fmt.Errorf("stats: two-level bootstrap: run %d has %d classifiers, run 0 has %d", r, len(run), models)
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
			return nil, fmt.Errorf("stats: two-level bootstrap: run %d has %d columns, run 0 has %d", r, len(run), width)
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

// P is the two-sided bootstrap p-value of the hypothesis that the statistic is 0: twice
// the smaller share of replicates on one side of it, the observed sample counted once.
// It is the level at which the percentile interval begins to hold 0.
func (a Bootstrap) P() float64 {
	low, high := 1, 1
	for _, v := range a.Replicates {
		if v <= 0 {
			low++
		}
		if v >= 0 {
			high++
		}
	}
	return min(1, 2*float64(min(low, high))/float64(1+len(a.Replicates)))
}

// Range is the smallest and the largest of values; they must not be empty.
func Range(values []float64) (lo, hi float64) { return slices.Min(values), slices.Max(values) }
