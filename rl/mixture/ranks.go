package mixture

import (
	"cmp"
	"math"
	"slices"

	"steer/internal/stats"
)

// compare orders numbers.
func compare(a, b float64) int { return cmp.Compare(a, b) }

// ranks places n answers between 0 (the worst) and 1 (the best); equal ones share the mean of their places. Answers
// that are not judged get NaN; one alone, or all equal, gets ½.
func ranks(n int, judged func(i int) bool, order func(a, b int) int) []float64 {
	out := make([]float64, n)
	var who []int
	for i := range out {
		if out[i] = math.NaN(); judged(i) {
			who = append(who, i)
		}
	}
	slices.SortStableFunc(who, order)
	for at := 0; at < len(who); {
		end := at + 1
		for end < len(who) && order(who[at], who[end]) == 0 {
			end++
		}
		place := 0.5
		if len(who) > 1 {
			place = float64(at+end-1) / 2 / float64(len(who)-1)
		}
		for _, i := range who[at:end] {
			out[i] = place
		}
		at = end
	}
	return out
}

// standardEps keeps the division of [standardize] finite, as trl's advantages do.
const standardEps = 1e-4

// standardize gives numbers mean 0 and standard deviation 1 (n-1 in the denominator); NaN stays, and numbers that
// are all equal become 0.
func standardize(x []float64) []float64 {
	m := stats.MeanOf(slices.DeleteFunc(slices.Clone(x), math.IsNaN))
	spread := m.StdDev
	if math.IsNaN(spread) {
		spread = 0
	}
	out := make([]float64, len(x))
	for i := range x {
		out[i] = (x[i] - m.Mean) / (spread + standardEps)
	}
	return out
}
