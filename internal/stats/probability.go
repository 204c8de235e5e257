package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Sigmoid is 1/(1 + e^-x) without overflow.
func Sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// LogSigmoid is log(1/(1 + e^-x)) without overflow; nats.
func LogSigmoid(x float64) float64 { return math.Min(x, 0) - math.Log1p(math.Exp(-math.Abs(x))) }

// BinaryCrossEntropy is the mean over items of -(q log p + (1-q) log(1-p)) in nats,
// where p = sigmoid(logit) is the forecast and q in [0, 1] the observed share (0 or 1
// for a single outcome). Taking logits keeps a confident mistake finite.
func BinaryCrossEntropy(logit, q []float64) (float64, error) {
	if err := checkShares(logit, q); err != nil {
		return math.NaN(), err
	}
	sum := 0.0
	for i, x := range logit {
		sum -= q[i]*LogSigmoid(x) + (1-q[i])*LogSigmoid(-x)
	}
	return sum / float64(len(logit)), nil
}

// BinaryEntropy is the mean of -(q log q + (1-q) log(1-q)) in nats: the cross-entropy of
// a forecast that knows the shares, hence the least there is.
func BinaryEntropy(q []float64) float64 {
	sum := 0.0
	for _, v := range q {
		for _, w := range []float64{v, 1 - v} {
			if w > 0 {
				sum -= w * math.Log(w)
			}
		}
	}
	return sum / float64(len(q))
}

// Brier is the mean of (p - q)^2 (Brier 1950, for two classes one term an item, as
// scikit-learn's brier_score_loss), p = sigmoid(logit).
func Brier(logit, q []float64) (float64, error) {
	if err := checkShares(logit, q); err != nil {
		return math.NaN(), err
	}
	sum := 0.0
	for i, x := range logit {
		d := Sigmoid(x) - q[i]
		sum += d * d
	}
	return sum / float64(len(logit)), nil
}

func checkShares(logit, q []float64) error {
	if len(logit) != len(q) || len(q) == 0 {
		return fmt.Errorf("stats: want as many forecasts as observations and at least one, got %d and %d", len(logit),
			len(q))
	}
	for i := range q {
		if math.IsNaN(logit[i]) || math.IsInf(logit[i], 0) || !(q[i] >= 0 && q[i] <= 1) {
			return fmt.Errorf("stats: item %d: want a finite forecast and a share in [0, 1], got %g and %g",
				i, logit[i], q[i])
		}
	}
	return nil
}

// Bin is one bin of a reliability diagram: N forecasts in [Lo, Hi) (the last bin
// closed), their mean and the share of them that came true.
type Bin struct {
	Lo       float64 `json:"lo"`
	Hi       float64 `json:"hi"`
	N        int     `json:"n"`
	Forecast float64 `json:"forecast"`
	Observed float64 `json:"observed"`
}

// Reliability sorts forecasts p, all of them in [lo, hi], into bins of equal width and
// compares each bin's mean forecast with the share that came true; outcomes are 0, 1 or
// a share between. ece is the expected calibration error (Guo et al. 2017): the mean of
// |forecast - observed| over bins, weighted by their items. Empty bins are left out.
func Reliability(p, outcome []float64, lo, hi float64, bins int) (out []Bin, ece float64, err error) {
	if len(p) != len(outcome) || len(p) == 0 || bins < 1 || !(lo < hi) {
		return nil, math.NaN(), fmt.Errorf("stats: reliability: want as many forecasts as outcomes, at least one bin "+
			"and lo < hi, got %d, %d, %d and [%g, %g]", len(p), len(outcome), bins, lo, hi)
	}
	all := make([]Bin, bins)
	for i, v := range p {
		if !(v >= lo && v <= hi) {
			return nil, math.NaN(), fmt.Errorf("stats: reliability: forecast %d is %g, want one in [%g, %g]", i, v, lo,
				hi)
		}
		b := &all[min(int(float64(bins)*(v-lo)/(hi-lo)), bins-1)]
		b.N++
		b.Forecast += v
		b.Observed += outcome[i]
	}
	width := (hi - lo) / float64(bins)
	for k, b := range all {
		if b.N == 0 {
			continue
		}
		b.Lo, b.Hi = lo+float64(k)*width, lo+float64(k+1)*width
		b.Forecast /= float64(b.N)
		b.Observed /= float64(b.N)
		ece += math.Abs(b.Forecast-b.Observed) * float64(b.N) / float64(len(p))
		out = append(out, b)
	}
	return out, ece, nil
}

// Midranks gives the rank of every value, from 1, equal values sharing the mean of
// theirs.
func Midranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	ranks := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			ranks[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return ranks
}

// Spearman is the rank correlation: Pearson's of the midranks (scipy.stats.spearmanr).
// NaN where one side is constant.
func Spearman(x, y []float64) (float64, error) {
	if len(x) != len(y) || len(x) < 2 {
		return math.NaN(), fmt.Errorf("stats: spearman: want two lists of the same length of at least 2, got %d and %d",
			len(x), len(y))
	}
	a, b := Midranks(x), Midranks(y)
	mean := float64(len(x)+1) / 2
	ab, aa, bb := 0.0, 0.0, 0.0
	for i := range a {
		ab += (a[i] - mean) * (b[i] - mean)
		aa += (a[i] - mean) * (a[i] - mean)
		bb += (b[i] - mean) * (b[i] - mean)
	}
	if aa == 0 || bb == 0 {
		return math.NaN(), nil
	}
	return ab / math.Sqrt(aa*bb), nil
}

// AUCStdErr is the standard error of [AUC] by DeLong, DeLong and Clarke-Pearson (1988):
// with V10 of a positive the share of negatives below it and V01 of a negative the share
// of positives above it (ties one half), var = s10²/positives + s01²/negatives. NaN with
// fewer than two items of a class.
func AUCStdErr(gold []int, score []float64) (float64, error) {
	r, err := rank(gold, score)
	if err != nil {
		return math.NaN(), err
	}
	var classes [2][]float64
	for i, g := range r.gold {
		classes[g] = append(classes[g], r.score[i])
	}
	n, m := len(classes[0]), len(classes[1])
	if n < 2 || m < 2 {
		return math.NaN(), nil
	}
	whole := Midranks(r.score)
	var within [2][]float64
	for c := range classes {
		within[c] = Midranks(classes[c])
	}
	var seen [2]int
	var v [2][]float64
	for i, g := range r.gold {
		other := float64(len(r.gold) - len(classes[g]))
		// Of a negative this is 1 - V01, whose deviation is the same.
		v[g] = append(v[g], (whole[i]-within[g][seen[g]])/other)
		seen[g]++
	}
	s10, s01 := MeanOf(v[1]).StdErr, MeanOf(v[0]).StdErr
	return math.Sqrt(s10*s10 + s01*s01), nil
}
