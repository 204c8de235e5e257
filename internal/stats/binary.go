package stats

import (
	"fmt"
	"math"
)

// Binary is the 2x2 confusion matrix of a two-class classifier; class 1 is
// "positive".
type Binary struct {
	TP int `json:"tp"` // gold 1, predicted 1
	TN int `json:"tn"` // gold 0, predicted 0
	FP int `json:"fp"` // gold 0, predicted 1
	FN int `json:"fn"` // gold 1, predicted 0
}

// CountBinary tallies predictions against gold labels, both 0 or 1 and of equal
// length.
func CountBinary(gold, pred []int) (Binary, error) {
	var c Binary
	if len(gold) != len(pred) {
		return c, fmt.Errorf("stats: %d gold labels but %d predictions", len(gold), len(pred))
	}
	for i, g := range gold {
		if g|1 != 1 || pred[i]|1 != 1 {
			return c, fmt.Errorf("stats: item %d: want labels 0 or 1, got gold %d, prediction %d", i, g, pred[i])
		}
		c.add(g, pred[i], 1)
	}
	return c, nil
}

func (c *Binary) add(gold, pred, k int) {
	switch gold<<1 | pred {
	case 0:
		c.TN += k
	case 1:
		c.FP += k
	case 2:
		c.FN += k
	case 3:
		c.TP += k
	}
}

// N is the number of items.
func (c Binary) N() int { return c.TP + c.TN + c.FP + c.FN }

// Accuracy is the share of correct items; NaN without items.
func (c Binary) Accuracy() float64 { return float64(c.TP+c.TN) / float64(c.N()) }

// PredictedPositiveRate is the share of items predicted 1; NaN without items.
func (c Binary) PredictedPositiveRate() float64 { return float64(c.TP+c.FP) / float64(c.N()) }

// MCC is Matthews' correlation coefficient,
//
//	(TP·TN - FP·FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)),
//
// which equals Pearson's correlation of the two 0/1 columns. Where a marginal is
// zero (a constant prediction, or one class only) it is undefined; the value is
// then 0, as in scikit-learn and lm-evaluation-harness, also if prediction and
// truth agree everywhere, and degenerate is true.
func (c Binary) MCC() (m float64, degenerate bool) {
	tp, tn, fp, fn := float64(c.TP), float64(c.TN), float64(c.FP), float64(c.FN)
	// Square roots before the product: four counts of 1e5 overflow no float64,
	// but two products of two keep every digit.
	den := math.Sqrt((tp+fp)*(tn+fn)) * math.Sqrt((tp+fn)*(tn+fp))
	if den == 0 {
		return 0, true
	}
	// the roots of a perfect classifier can round below the numerator
	return math.Max(-1, math.Min(1, (tp*tn-fp*fn)/den)), false
}

// MCCStdErr is the asymptotic standard error of the MCC under multinomial
// sampling of items (delta method for phi). With row proportions r1, r2 = 1-r1,
// column proportions c1, c2, D1 = r1-r2, D2 = c1-c2 and m = MCC:
//
//	n·Var = 1 - m² + (m + m³/2) D1 D2 / sqrt(r1 r2 c1 c2)
//	        - ¾ m² (D1²/(r1 r2) + D2²/(c1 c2))
//
// NaN when the MCC is degenerate.
func (c Binary) MCCStdErr() float64 {
	m, degenerate := c.MCC()
	if degenerate {
		return math.NaN()
	}
	n := float64(c.N())
	r1, c1 := float64(c.TP+c.FN)/n, float64(c.TP+c.FP)/n
	r2, c2 := 1-r1, 1-c1
	d1, d2 := r1-r2, c1-c2
	v := 1 - m*m + (m+m*m*m/2)*d1*d2/math.Sqrt(r1*r2*c1*c2) -
		0.75*m*m*(d1*d1/(r1*r2)+d2*d2/(c1*c2))
	return math.Sqrt(math.Max(0, v) / n)
}

// BalancedAccuracy is the mean recall over the classes that occur in the gold
// labels (scikit-learn's balanced_accuracy_score); NaN without items.
func (c Binary) BalancedAccuracy() float64 {
	sum, classes := 0.0, 0
	if pos := c.TP + c.FN; pos > 0 {
		sum += float64(c.TP) / float64(pos)
		classes++
	}
	if neg := c.TN + c.FP; neg > 0 {
		sum += float64(c.TN) / float64(neg)
		classes++
	}
	return sum / float64(classes)
}

// F1 is the F1 score of class 1, 2TP/(2TP+FP+FN); 0 where the denominator is.
func (c Binary) F1() float64 { return f1(c.TP, c.FP, c.FN) }

func f1(tp, fp, fn int) float64 {
	den := 2*tp + fp + fn
	if den == 0 {
		return 0
	}
	return 2 * float64(tp) / float64(den)
}

// Confusion returns the same counts as a general matrix over the labels that
// occur.
func (c Binary) Confusion() *Confusion {
	out := &Confusion{}
	has0, has1 := c.TN+c.FP+c.FN > 0, c.TP+c.FP+c.FN > 0
	switch {
	case has0 && has1:
		out.Labels = []int{0, 1}
		out.Counts = [][]int{{c.TN, c.FP}, {c.FN, c.TP}}
	case has0:
		out.Labels, out.Counts = []int{0}, [][]int{{c.TN}}
	case has1:
		out.Labels, out.Counts = []int{1}, [][]int{{c.TP}}
	}
	return out
}

// MacroF1 is the mean F1 over the classes that occur in gold or prediction.
func (c Binary) MacroF1() float64 { return c.Confusion().MacroF1() }

// Kappa is Cohen's kappa; see [Confusion.Kappa].
func (c Binary) Kappa() float64 { return c.Confusion().Kappa() }
