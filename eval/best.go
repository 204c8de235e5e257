package eval

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"

	"steer/eval/stats"
)

// Ceiling is the Bayesian Estimated Score Terminus of Lourie, Le Bras, Choi
// (Scruples, AAAI 2021): the score of an oracle that predicts the majority of the
// true label distributions, judged by the observed, noisy majority.
type Ceiling struct {
	Alpha    [2]float64 // Dirichlet prior fitted to the votes
	Accuracy float64
	MCC      float64
}

// BestCeiling fits a Dirichlet-multinomial to the votes[item] = (class 0, class 1)
// by maximum likelihood, draws each item's distribution from its posterior
// Dirichlet(alpha + votes) samples times, and averages the scores of their majority
// classes against gold.
func BestCeiling(votes [][2]int, gold []int, samples int, seed uint64) (Ceiling, error) {
	if len(votes) == 0 || len(votes) != len(gold) {
		return Ceiling{}, fmt.Errorf("best ceiling: %d vote counts for %d labels", len(votes), len(gold))
	}
	alpha, err := fitBetaBinomial(votes)
	if err != nil {
		return Ceiling{}, err
	}
	c := Ceiling{Alpha: alpha}
	src := rand.NewPCG(seed, 0)
	pred := make([]int, len(gold))
	for range samples {
		for i, v := range votes {
			p1 := distuv.Beta{Alpha: alpha[1] + float64(v[1]), Beta: alpha[0] + float64(v[0]), Src: src}.Rand()
			// Ties go to class 1, as in the data set's own binarisation.
			pred[i] = 0
			if p1 >= 0.5 {
				pred[i] = 1
			}
		}
		table, err := stats.CountBinary(gold, pred)
		if err != nil {
			return Ceiling{}, err
		}
		m, _ := table.MCC()
		c.Accuracy += table.Accuracy() / float64(samples)
		c.MCC += m / float64(samples)
	}
	return c, nil
}

// fitBetaBinomial maximises the likelihood of two-class counts under a
// Dirichlet-multinomial by Minka's fixed point (2000), which never leaves the
// positive numbers and climbs at every step:
//
//	a_k <- a_k Σ_i [ψ(n_ik + a_k) - ψ(a_k)] / Σ_i [ψ(n_i + A) - ψ(A)],  A = Σ a_k
//
// It has no maximum where all votes agree within every item or fall on one class.
func fitBetaBinomial(votes [][2]int) ([2]float64, error) {
	const (
		rounds    = 20000
		tolerance = 1e-9
		largest   = 1e4 // beyond this the counts show no variation between items
	)
	// Items with equal counts contribute equal terms.
	var class [2]map[int]int
	total := map[int]int{}
	for k := range class {
		class[k] = map[int]int{}
	}
	for _, v := range votes {
		for k := range class {
			if v[k] > 0 {
				class[k][v[k]]++
			}
		}
		if n := v[0] + v[1]; n > 0 {
			total[n]++
		}
	}
	if len(class[0]) == 0 || len(class[1]) == 0 {
		return [2]float64{}, fmt.Errorf("best ceiling: all votes fall on one class")
	}
	flat := [3][][2]float64{sorted(class[0]), sorted(class[1]), sorted(total)}
	sum := func(terms [][2]float64, a float64) float64 {
		base, s := mathext.Digamma(a), 0.0
		for _, t := range terms {
			s += t[1] * (mathext.Digamma(t[0]+a) - base)
		}
		return s
	}
	a := [2]float64{1, 1}
	for range rounds {
		den := sum(flat[2], a[0]+a[1])
		next := [2]float64{a[0] * sum(flat[0], a[0]) / den, a[1] * sum(flat[1], a[1]) / den}
		moved := math.Max(math.Abs(next[0]/a[0]-1), math.Abs(next[1]/a[1]-1))
		a = next
		if !(a[0] > 1e-6 && a[1] > 1e-6 && a[0] < largest && a[1] < largest) {
			break
		}
		if moved < tolerance {
			return a, nil
		}
	}
	return a, fmt.Errorf("best ceiling: no Dirichlet prior fits the votes (alpha runs to %.3g, %.3g)", a[0], a[1])
}

// sorted lists (value, number of items) ascending, so that sums do not depend on
// the order of a map.
func sorted(counts map[int]int) [][2]float64 {
	keys := slices.Sorted(maps.Keys(counts))
	out := make([][2]float64, len(keys))
	for i, k := range keys {
		out[i] = [2]float64{float64(k), float64(counts[k])}
	}
	return out
}
