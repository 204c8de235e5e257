package rewards

import (
	"fmt"
	"math"
	"slices"

	"steer/internal/stats"
)

// Accuracy is how often the chosen side of held-out pairs scores higher.
type Accuracy struct {
	Pairs   int `json:"pairs"`
	Correct int `json:"correct"` // chosen strictly higher
	Ties    int `json:"ties"`    // equal scores; counted as wrong
	// Accuracy = Correct/Pairs with its Wilson interval at 95 %.
	Accuracy float64 `json:"accuracy"`
	Lo       float64 `json:"lo"`
	Hi       float64 `json:"hi"`
	// Loss is the mean of -log sigmoid(r_chosen - r_rejected), Margin the mean difference.
	Loss   float64 `json:"loss"`
	Margin float64 `json:"margin"`
}

// String says it in a line.
func (a Accuracy) String() string {
	return fmt.Sprintf("%d of %d pairs right: %.4f (95 %% interval %.4f to %.4f), loss %.4f, margin %.4f", a.Correct, a.Pairs, a.Accuracy, a.Lo, a.Hi, a.Loss, a.Margin)
}

// Confidence of every interval of this package.
const confidence = 0.95

// AccuracyOf compares the raw scores of pairs; pair i is chosen[i] and rejected[i].
func AccuracyOf(chosen, rejected []float32) Accuracy {
	a := Accuracy{Pairs: len(chosen)}
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

// Classification measures a classifier whose score is the log-odds of the chosen class.
type Classification struct {
	Chosen      int     `json:"chosen"` // texts of either class
	Rejected    int     `json:"rejected"`
	BalancedAcc float64 `json:"balanced_acc"`
	MCC         float64 `json:"mcc"` // 0 for a constant classifier
	AUC         float64 `json:"auc"` // 0.5 with one class only
}

// ClassificationOf judges the raw scores of texts of both classes: above 0 is chosen.
func ClassificationOf(chosen, rejected []float32) *Classification {
	c := &Classification{Chosen: len(chosen), Rejected: len(rejected), AUC: 0.5}
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

// Distribution describes a set of raw scores.
type Distribution struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	// Std is the standard deviation with n in the denominator, so that normalising by
	// Mean and Std gives exactly mean 0 and standard deviation 1.
	Std float64 `json:"std"`
	// Quantiles at 0, 0.05, 0.25, 0.5, 0.75, 0.95 and 1.
	Quantiles [7]float64 `json:"quantiles"`
	// Histogram counts the scores in len(Histogram) bins of equal width from
	// HistogramLo to HistogramHi.
	HistogramLo float64 `json:"histogram_lo"`
	HistogramHi float64 `json:"histogram_hi"`
	Histogram   []int   `json:"histogram"`
}

// quantilePoints are the points of Distribution.Quantiles.
var quantilePoints = [7]float64{0, 0.05, 0.25, 0.5, 0.75, 0.95, 1}

const histogramBins = 24

// DistributionOf describes scores; lo and hi are the ends of the histogram (equal: the
// smallest and largest score).
func DistributionOf(scores []float32, lo, hi float64) Distribution {
	d := Distribution{N: len(scores), Histogram: make([]int, histogramBins)}
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
