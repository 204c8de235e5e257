package metrics

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"

	"steer/internal/stats"
)

// Ceiling is the Bayesian Estimated Score Terminus of Lourie, Le Bras, Choi
// (Scruples, AAAI 2021): the score of an oracle that predicts the majority of the
// true label distributions, judged by the observed, noisy majority.
type Ceiling struct {
	Alpha    []float64 // [classes], Dirichlet prior fitted to the votes
	Accuracy float64
	MCC      float64
	MacroF1  float64
	// CrossEntropy is that of the true distributions to the observed votes, nats an item
	// with votes.
	CrossEntropy float64
}

// bestCeiling fits a Dirichlet-multinomial to the votes[item][class] by maximum
// likelihood, draws each item's distribution from its posterior Dirichlet(alpha + votes)
// samples times, and averages the scores of their majority classes against gold.
func bestCeiling(votes [][]int, gold []int, samples int, seed uint64) (Ceiling, error) {
	if len(votes) == 0 || len(votes) != len(gold) {
		return Ceiling{}, fmt.Errorf("best ceiling: %d vote counts for %d labels", len(votes), len(gold))
	}
	alpha, err := fitDirichlet(votes)
	if err != nil {
		return Ceiling{}, err
	}
	c := Ceiling{Alpha: alpha}
	src := rand.NewPCG(seed, 0)
	pred, p := make([]int, len(gold)), make([]float64, len(alpha))
	for range samples {
		var xent entropy
		for i, v := range votes {
			sum := 0.0
			for k := range p {
				p[k] = distuv.Gamma{Alpha: alpha[k] + float64(v[k]), Beta: 1, Src: src}.Rand()
				sum += p[k]
			}
			for k := range p {
				p[k] = math.Log(p[k] / sum)
			}
			pred[i] = argmax(p)
			xent.add(v, p)
		}
		table, err := stats.NewConfusion(gold, pred)
		if err != nil {
			return Ceiling{}, err
		}
		m, _ := table.MCC()
		c.Accuracy += table.Accuracy() / float64(samples)
		c.MCC += m / float64(samples)
		c.MacroF1 += table.MacroF1() / float64(samples)
		c.CrossEntropy += xent.mean() / float64(samples)
	}
	return c, nil
}

func argmax(x []float64) int {
	best := 0
	for k, v := range x {
		if v > x[best] {
			best = k
		}
	}
	return best
}

// fitDirichlet maximises the likelihood of class counts under a Dirichlet-multinomial by
// Minka's fixed point (2000), which never leaves the positive numbers and climbs at
// every step:
//
//	a_k <- a_k Σ_i [ψ(n_ik + a_k) - ψ(a_k)] / Σ_i [ψ(n_i + A) - ψ(A)],  A = Σ a_k
//
// It has no maximum where all votes agree within every item or fall on one class.
func fitDirichlet(votes [][]int) ([]float64, error) {
	const (
		rounds    = 20000
		tolerance = 1e-9
		largest   = 1e4 // beyond this the counts show no variation between items
	)
	flat, err := voteTerms(votes)
	if err != nil {
		return nil, err
	}
	classes := len(votes[0])
	sum := func(terms [][2]float64, a float64) float64 {
		base, s := mathext.Digamma(a), 0.0
		for _, t := range terms {
			s += t[1] * (mathext.Digamma(t[0]+a) - base)
		}
		return s
	}
	a := slices.Repeat([]float64{1}, classes)
	for range rounds {
		total := 0.0
		for _, x := range a {
			total += x
		}
		den, moved, outside := sum(flat[classes], total), 0.0, false
		for k := range a {
			next := a[k] * sum(flat[k], a[k]) / den
			moved = math.Max(moved, math.Abs(next/a[k]-1))
			a[k] = next
			outside = outside || !(next > 1e-6 && next < largest)
		}
		if outside {
			break
		}
		if moved < tolerance {
			return a, nil
		}
	}
	return a, fmt.Errorf("best ceiling: no Dirichlet prior fits the votes (alpha runs to %.3g)", a)
}

// voteTerms gives, for each class and last for the totals, the distinct positive counts
// with the number of items that have them: items with equal counts contribute equal
// terms.
func voteTerms(votes [][]int) ([][][2]float64, error) {
	classes := len(votes[0])
	counts := make([]map[int]int, classes+1)
	for k := range counts {
		counts[k] = map[int]int{}
	}
	for _, v := range votes {
		total := 0
		for k, n := range v {
			total += n
			if n > 0 {
				counts[k][n]++
			}
		}
		if total > 0 {
			counts[classes][total]++
		}
	}
	seen := 0
	terms := make([][][2]float64, classes+1)
	for k, c := range counts {
		terms[k] = sorted(c)
		if k < classes && len(c) > 0 {
			seen++
		}
	}
	switch {
	case seen < 2:
		return nil, fmt.Errorf("best ceiling: all votes fall on one class")
	case seen < classes:
		return nil, fmt.Errorf("best ceiling: a class has no vote")
	}
	return terms, nil
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
