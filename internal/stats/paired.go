package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Paired is McNemar's comparison of two classifiers on the same items.
type Paired struct {
	B      int     `json:"b"`       // first right, second wrong
	C      int     `json:"c"`       // first wrong, second right
	ExactP float64 `json:"exact_p"` // two-sided binomial test of B against C
	MidP   float64 `json:"mid_p"`   // the same, half of the observed point counted
	// Chi2 is (B-C)²/(B+C), Chi2Corrected (|B-C|-1)²/(B+C), each with its p from
	// one degree of freedom; 0 and 1 where B+C = 0.
	Chi2           float64 `json:"chi2"`
	Chi2P          float64 `json:"chi2_p"`
	Chi2Corrected  float64 `json:"chi2_corrected"`
	Chi2CorrectedP float64 `json:"chi2_corrected_p"`
}

// McNemar tests whether two classifiers differ in accuracy from their
// discordant counts (McNemar 1947). With X ~ Bin(b+c, 1/2) and k = min(b, c):
//
//	exact p = min(1, 2 P(X <= k));  mid-p = 2 P(X <= k) - P(X = k)
//
// for b = c, mid-p = 1 - P(X = k); for b + c = 0 both are 1.
func McNemar(b, c int) (Paired, error) {
	if b < 0 || c < 0 {
		return Paired{}, fmt.Errorf("stats: McNemar: negative count (%d, %d)", b, c)
	}
	out := Paired{B: b, C: c, ExactP: 1, MidP: 1, Chi2P: 1, Chi2CorrectedP: 1}
	n := b + c
	if n == 0 {
		return out, nil
	}
	k := min(b, c)
	tail, point := 0.0, 0.0
	for i := 0; i <= k; i++ {
		point = math.Exp(logBinomialHalf(n, i))
		tail += point
	}
	out.ExactP = math.Min(1, 2*tail)
	out.MidP = 2*tail - point
	if b == c {
		out.MidP = 1 - point
	}
	d := math.Abs(float64(b - c))
	one := distuv.ChiSquared{K: 1}
	out.Chi2 = d * d / float64(n)
	out.Chi2P = one.Survival(out.Chi2)
	out.Chi2Corrected = (d - 1) * (d - 1) / float64(n)
	out.Chi2CorrectedP = one.Survival(out.Chi2Corrected)
	return out, nil
}

// McNemarOf counts the discordant items of two correctness columns and calls
// [McNemar].
func McNemarOf(correct1, correct2 []bool) (Paired, error) {
	if len(correct1) != len(correct2) {
		return Paired{}, fmt.Errorf("stats: McNemar: %d items against %d", len(correct1), len(correct2))
	}
	b, c := 0, 0
	for i := range correct1 {
		switch {
		case correct1[i] && !correct2[i]:
			b++
		case !correct1[i] && correct2[i]:
			c++
		}
	}
	return McNemar(b, c)
}

// logBinomialHalf is log P(X = k), X ~ Bin(n, 1/2).
func logBinomialHalf(n, k int) float64 {
	return logChoose(n, k) - float64(n)*math.Ln2
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n) + 1)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(float64(n-k) + 1)
	return a - b - c
}

// CochranQ tests whether k classifiers have the same accuracy on the same items
// (Cochran 1950). x[item][classifier] says whether it was right. With column sums
// C_j and row sums R_i:
//
//	Q = (k-1)(k Σ C_j² - (Σ C_j)²) / (k Σ R_i - Σ R_i²),  df = k-1
//
// Where all rows are constant Q is undefined; the classifiers agree on every item
// and the result is Q = 0, p = 1.
func CochranQ(x [][]bool) (q, p float64, df int, err error) {
	if len(x) == 0 || len(x[0]) < 2 {
		return 0, 1, 0, fmt.Errorf("stats: Cochran's Q needs at least one item and two classifiers")
	}
	k := len(x[0])
	columns := make([]float64, k)
	var total, rowSquares float64
	for i, row := range x {
		if len(row) != k {
			return 0, 1, 0, fmt.Errorf("stats: Cochran's Q: item %d has %d results, item 0 has %d", i, len(row), k)
		}
		r := 0.0
		for j, right := range row {
			if right {
				columns[j]++
				r++
			}
		}
		total += r
		rowSquares += r * r
	}
	columnSquares := 0.0
	for _, c := range columns {
		columnSquares += c * c
	}
	K := float64(k)
	den := K*total - rowSquares
	if den == 0 {
		return 0, 1, k - 1, nil
	}
	q = (K - 1) * (K*columnSquares - total*total) / den
	return q, distuv.ChiSquared{K: K - 1}.Survival(q), k - 1, nil
}
