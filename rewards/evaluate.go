package rewards

import (
	"math"
	"slices"

	"steer/internal/stats"
	"steer/rl/run"
)

// Confidence of every interval of this package.
const confidence = 0.95

// AccuracyOf compares the raw scores of pairs; pair i is chosen[i] and rejected[i].
func AccuracyOf(chosen, rejected []float32) run.PairAccuracy {
	a := run.PairAccuracy{Pairs: len(chosen)}
	for i := range chosen {
		c, r := float64(chosen[i]), float64(rejected[i])
		loss, _, _ := PairLoss(c, r, 0, 0)
		a.Loss += loss
		a.Margin += c - r
		switch {
		case c > r:
			a.Correct++
		case c == r:
			a.Ties++
		}
	}
	if a.Pairs > 0 {
		n := float64(a.Pairs)
		a.Accuracy, a.Loss, a.Margin = float64(a.Correct)/n, a.Loss/n, a.Margin/n
	}
	a.Lo, a.Hi = stats.Wilson(a.Correct, a.Pairs, confidence)
	return a
}

// ClassificationOf judges the raw scores of texts of both classes: above 0 is chosen.
func ClassificationOf(chosen, rejected []float32) *run.Classification {
	c := &run.Classification{Chosen: len(chosen), Rejected: len(rejected), AUC: 0.5}
	var gold, pred []int
	var score []float64
	for label, scores := range [][]float32{rejected, chosen} {
		for _, s := range scores {
			said := 0
			if s > 0 {
				said = 1
			}
			gold, pred, score = append(gold, label), append(pred, said), append(score, float64(s))
		}
	}
	// Labels and predictions are 0 or 1 by construction, so that only one class is an error.
	if table, err := stats.CountBinary(gold, pred); err == nil {
		c.MCC, _ = table.MCC()
		c.BalancedAcc = table.BalancedAccuracy()
	}
	if auc, err := stats.AUC(gold, score); err == nil {
		c.AUC = auc
	}
	return c
}

// quantilePoints are the points of run.Distribution.Quantiles.
var quantilePoints = [7]float64{0, 0.05, 0.25, 0.5, 0.75, 0.95, 1}

const histogramBins = 24

// DistributionOf describes scores; lo and hi are the ends of the histogram (equal: the
// smallest and largest score).
func DistributionOf(scores []float32, lo, hi float64) run.Distribution {
	d := run.Distribution{N: len(scores), Histogram: make([]int, histogramBins)}
	if d.N == 0 {
		return d
	}
	sorted := make([]float64, d.N)
	for i, s := range scores {
		sorted[i] = float64(s)
	}
	slices.Sort(sorted)
	for _, x := range sorted {
		d.Mean += x
	}
	d.Mean /= float64(d.N)
	for _, x := range sorted {
		d.Std += (x - d.Mean) * (x - d.Mean)
	}
	d.Std = math.Sqrt(d.Std / float64(d.N))
	for i, p := range quantilePoints {
		d.Quantiles[i] = stats.Quantile(sorted, p)
	}
	if lo == hi {
		lo, hi = sorted[0], sorted[d.N-1]
	}
	d.HistogramLo, d.HistogramHi = lo, hi
	for _, x := range sorted {
		bin := 0
		if hi > lo {
			bin = min(max(int(float64(histogramBins)*(x-lo)/(hi-lo)), 0), histogramBins-1)
		}
		d.Histogram[bin]++
	}
	return d
}
