package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// FisherExact is the two-sided Fisher test of the 2x2 table {{a, b}, {c, d}}: the
// probability, given the margins, of all tables no likelier than the observed one
// (scipy.stats.fisher_exact).
func FisherExact(a, b, c, d int) (float64, error) {
	if a < 0 || b < 0 || c < 0 || d < 0 {
		return math.NaN(), fmt.Errorf("stats: Fisher's test: negative count in (%d, %d, %d, %d)", a, b, c, d)
	}
	row1, row2, col1 := a+b, c+d, a+c
	n := row1 + row2
	logP := func(x int) float64 {
		return logChoose(row1, x) + logChoose(row2, col1-x) - logChoose(n, col1)
	}
	// Equal probabilities differ by rounding; scipy allows the same slack.
	const slack = 1e-7
	limit := logP(a) + slack
	p := 0.0
	for x := max(0, col1-row2); x <= min(row1, col1); x++ {
		if l := logP(x); l <= limit {
			p += math.Exp(l)
		}
	}
	return math.Min(1, p), nil
}

// ChiSquared2x2 is Pearson's test of independence of the 2x2 table {{a, b}, {c, d}},
// with Yates' continuity correction if yates is set (scipy.stats.chi2_contingency).
// A zero margin leaves nothing to test: 0 and p = 1.
func ChiSquared2x2(a, b, c, d int, yates bool) (chi2, p float64) {
	A, B, C, D := float64(a), float64(b), float64(c), float64(d)
	n := A + B + C + D
	den := (A + B) * (C + D) * (A + C) * (B + D)
	if den == 0 {
		return 0, 1
	}
	diff := math.Abs(A*D - B*C)
	if yates {
		diff = math.Max(0, diff-n/2)
	}
	chi2 = n * diff * diff / den
	return chi2, distuv.ChiSquared{K: 1}.Survival(chi2)
}
