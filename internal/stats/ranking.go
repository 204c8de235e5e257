package stats

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrOneClass says that a measure needs both classes among the gold labels and
// found one only (or no item at all).
var ErrOneClass = errors.New("gold labels hold one class only")

// ranked holds (score, gold) pairs in ascending order of score.
type ranked struct {
	score []float64
	gold  []int
	pos   int
}

func rank(gold []int, score []float64) (*ranked, error) {
	if len(gold) != len(score) {
		return nil, fmt.Errorf("stats: %d gold labels but %d scores", len(gold), len(score))
	}
	order := make([]int, len(gold))
	r := &ranked{score: make([]float64, len(gold)), gold: make([]int, len(gold))}
	for i, g := range gold {
		if g|1 != 1 {
			return nil, fmt.Errorf("stats: item %d: want gold label 0 or 1, got %d", i, g)
		}
		if math.IsNaN(score[i]) {
			return nil, fmt.Errorf("stats: item %d: score is NaN", i)
		}
		order[i] = i
		r.pos += g
	}
	if r.pos == 0 || r.pos == len(gold) {
		return nil, fmt.Errorf("stats: %d items, %d of them positive: %w", len(gold), r.pos, ErrOneClass)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	for k, i := range order {
		r.score[k], r.gold[k] = score[i], gold[i]
	}
	return r, nil
}

// AUC is the area under the ROC curve, i.e. the probability that a random
// positive scores above a random negative, ties counting one half
// (Mann-Whitney). One class only: [ErrOneClass].
func AUC(gold []int, score []float64) (float64, error) {
	r, err := rank(gold, score)
	if err != nil {
		return math.NaN(), err
	}
	// Twice the number of (positive, negative) pairs in the right order; an
	// integer, hence exact.
	wins, below := 0, 0
	for i := 0; i < len(r.score); {
		pos, neg := 0, 0
		j := i
		for ; j < len(r.score) && r.score[j] == r.score[i]; j++ {
			pos += r.gold[j]
			neg += 1 - r.gold[j]
		}
		wins += pos * (2*below + neg)
		below += neg
		i = j
	}
	return float64(wins) / (2 * float64(r.pos) * float64(len(r.gold)-r.pos)), nil
}

// AveragePrecision is Σ (R_n - R_{n-1}) P_n over the distinct thresholds in
// descending order (scikit-learn's average_precision_score, no interpolation).
func AveragePrecision(gold []int, score []float64) (float64, error) {
	r, err := rank(gold, score)
	if err != nil {
		return math.NaN(), err
	}
	ap, tp, seen := 0.0, 0, 0
	for i := len(r.score) - 1; i >= 0; {
		pos := 0
		s := r.score[i]
		for ; i >= 0 && r.score[i] == s; i-- {
			pos += r.gold[i]
			seen++
		}
		tp += pos
		ap += float64(pos) / float64(r.pos) * float64(tp) / float64(seen)
	}
	return ap, nil
}

// Threshold is a decision rule "predict 1 if score >= Tau" and what it reached on
// the rows it was chosen on.
type Threshold struct {
	Tau float64 `json:"tau"`
	MCC float64 `json:"mcc"` // on the rows it was chosen on
	N   int     `json:"n"`   // number of those rows
}

// BestThreshold chooses the tau that maximises the MCC of "predict 1 if score >=
// tau". Candidates are the midpoints between neighbouring distinct scores; the
// lowest tau wins ties. It must be chosen on other rows than it is used on. The
// sign is not free: a higher score means class 1, also where the reverse would do
// better. With one distinct score there is no candidate, which is an error.
func BestThreshold(gold []int, score []float64) (Threshold, error) {
	// Two MCCs closer than this are the same number computed from other counts.
	const tie = 1e-12
	r, err := rank(gold, score)
	if err != nil {
		return Threshold{}, err
	}
	best := Threshold{MCC: math.Inf(-1), N: len(gold)}
	c := Binary{TP: r.pos, FP: len(gold) - r.pos} // everything predicted 1
	for i := 0; i+1 < len(r.score); i++ {
		if r.gold[i] == 1 {
			c.TP--
			c.FN++
		} else {
			c.FP--
			c.TN++
		}
		if r.score[i] == r.score[i+1] {
			continue
		}
		if m, _ := c.MCC(); m > best.MCC+tie {
			best.MCC, best.Tau = m, midpoint(r.score[i], r.score[i+1])
		}
	}
	if math.IsInf(best.MCC, -1) {
		return Threshold{}, fmt.Errorf("stats: no threshold: all %d scores equal %g", len(score), r.score[0])
	}
	return best, nil
}

// midpoint of a < b such that a < mid <= b holds in floating point too.
func midpoint(a, b float64) float64 {
	mid := (a + b) / 2
	if mid <= a {
		return b
	}
	return mid
}
