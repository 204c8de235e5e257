package stats

import (
	"fmt"
	"math"
	"slices"
)

// Confusion is a confusion matrix over any number of classes.
type Confusion struct {
	Labels []int   `json:"labels"` // ascending; every label in gold or prediction
	Counts [][]int `json:"counts"` // [gold][predicted], indices into Labels
}

// NewConfusion tallies predictions against gold labels of equal length.
func NewConfusion(gold, pred []int) (*Confusion, error) {
	if len(gold) != len(pred) {
		return nil, fmt.Errorf("stats: %d gold labels but %d predictions", len(gold), len(pred))
	}
	labels := slices.Concat(gold, pred)
	slices.Sort(labels)
	labels = slices.Compact(labels)
	index := make(map[int]int, len(labels))
	counts := make([][]int, len(labels))
	for i, l := range labels {
		index[l] = i
		counts[i] = make([]int, len(labels))
	}
	for i := range gold {
		counts[index[gold[i]]][index[pred[i]]]++
	}
	return &Confusion{Labels: labels, Counts: counts}, nil
}

// marginals returns the number of items, of correct ones, and the totals by gold
// class (t) and by predicted class (p).
func (c *Confusion) marginals() (n, correct int, t, p []int) {
	t, p = make([]int, len(c.Labels)), make([]int, len(c.Labels))
	for i, row := range c.Counts {
		for j, k := range row {
			n += k
			t[i] += k
			p[j] += k
		}
		correct += row[i]
	}
	return n, correct, t, p
}

// Accuracy is the share of correct items; NaN without items.
func (c *Confusion) Accuracy() float64 {
	n, correct, _, _ := c.marginals()
	return float64(correct) / float64(n)
}

// MCC is the multiclass coefficient of Gorodkin (2004) in scikit-learn's form,
// with s items, c correct, t_k items of class k and p_k predictions of class k:
//
//	(c·s - Σ p_k t_k) / sqrt((s² - Σ p_k²)(s² - Σ t_k²))
//
// 0 and degenerate where the denominator is 0. For two classes it equals
// [Binary.MCC].
func (c *Confusion) MCC() (m float64, degenerate bool) {
	n, correct, t, p := c.marginals()
	s := float64(n)
	var pt, pp, tt float64
	for k := range t {
		pt += float64(p[k]) * float64(t[k])
		pp += float64(p[k]) * float64(p[k])
		tt += float64(t[k]) * float64(t[k])
	}
	den := math.Sqrt(s*s-pp) * math.Sqrt(s*s-tt)
	if den == 0 {
		return 0, true
	}
	return (float64(correct)*s - pt) / den, false
}

// BalancedAccuracy is the mean recall over the classes that occur in the gold
// labels; NaN without items.
func (c *Confusion) BalancedAccuracy() float64 {
	_, _, t, _ := c.marginals()
	sum, classes := 0.0, 0
	for k, total := range t {
		if total > 0 {
			sum += float64(c.Counts[k][k]) / float64(total)
			classes++
		}
	}
	return sum / float64(classes)
}

// MacroF1 is the unweighted mean of the per-class F1 scores over all Labels, a
// class without true positives counting 0; NaN without items.
func (c *Confusion) MacroF1() float64 {
	_, _, t, p := c.marginals()
	sum := 0.0
	for k := range c.Labels {
		tp := c.Counts[k][k]
		sum += f1(tp, p[k]-tp, t[k]-tp)
	}
	return sum / float64(len(c.Labels))
}

// Kappa is Cohen's kappa, (p_o - p_e)/(1 - p_e) with p_e the agreement expected
// from the marginals; NaN where p_e = 1 (as scikit-learn).
func (c *Confusion) Kappa() float64 {
	n, correct, t, p := c.marginals()
	s := float64(n)
	expected := 0.0
	for k := range t {
		expected += float64(t[k]) * float64(p[k])
	}
	// Scaled by n² so that "p_e = 1" is an exact comparison.
	if expected == s*s {
		return math.NaN()
	}
	return (float64(correct)*s - expected) / (s*s - expected)
}
