package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// tieSlack: a permuted statistic this close to the observed one counts as equal.
const tieSlack = 1e-12

// negligible: swap counts less likely than this are left out of an exact sum. All of
// them together weigh less than 1e-14 per thousand items, and they are most of the work.
const negligible = 1e-17

// exactLimit is the number of items up to which all 2^n swaps are enumerated.
const exactLimit = 20

// Permutation is the outcome of a two-sided paired permutation test.
type Permutation struct {
	Observed float64 `json:"observed"`
	P        float64 `json:"p"`
	Exact    bool    `json:"exact"`   // all swaps were counted
	Samples  int     `json:"samples"` // number of random swaps otherwise
}

// PermuteMeans tests whether the mean of paired differences a[i]-b[i] is zero by
// swapping a[i] and b[i] at random, i.e. flipping the sign of each difference.
// With up to 20 items all 2^n patterns are counted, identity included:
//
//	p = #{|T*| >= |T|} / 2^n
//
// otherwise samples random patterns: p = (1 + #{|T*| >= |T|}) / (1 + samples).
func PermuteMeans(a, b []float64, samples int, seed uint64) (Permutation, error) {
	d, err := Differences(a, b)
	if err != nil {
		return Permutation{}, err
	}
	if len(d) == 0 {
		return Permutation{}, fmt.Errorf("stats: permutation test of 0 items")
	}
	observed := MeanOf(d).Mean
	if len(d) <= exactLimit {
		return exactMeans(d, observed), nil
	}
	return sampled(observed, samples, seed, len(d), func() func(swap []uint64) float64 {
		return func(swap []uint64) float64 {
			sum := 0.0
			for i, v := range d {
				// The sign bit of a float is flipped without a branch.
				sign := swap[i>>6] >> (i & 63) << 63
				sum += math.Float64frombits(math.Float64bits(v) ^ sign)
			}
			return sum / float64(len(d))
		}
	})
}

// exactMeans enumerates the sign patterns as sums of two tabulated halves.
func exactMeans(d []float64, observed float64) Permutation {
	half := len(d) / 2
	low, high := signedSums(d[:half]), signedSums(d[half:])
	n := float64(len(d))
	limit := math.Abs(observed) - tieSlack
	hits := 0
	for _, h := range high {
		for _, l := range low {
			if math.Abs((l+h)/n) >= limit {
				hits++
			}
		}
	}
	return Permutation{Observed: observed, P: float64(hits) / float64(len(low)*len(high)), Exact: true}
}

// signedSums returns Σ ±d[i] for all 2^len(d) patterns.
func signedSums(d []float64) []float64 {
	out := []float64{0}
	for _, v := range d {
		next := make([]float64, 0, 2*len(out))
		for _, s := range out {
			next = append(next, s+v, s-v)
		}
		out = next
	}
	return out
}

// PermuteFunc tests any paired statistic by random swaps. newStatistic is called
// once a goroutine; the function it returns computes the statistic (first minus
// second, so that it changes sign when everything is swapped) with the items
// swapped whose bit is set: item i is bit i%64 of swap[i/64].
func PermuteFunc(
	items, samples int, seed uint64, newStatistic func() func(swap []uint64) float64,
) (Permutation, error) {
	if items == 0 {
		return Permutation{}, fmt.Errorf("stats: permutation test of 0 items")
	}
	observed := newStatistic()(make([]uint64, (items+63)/64))
	return sampled(observed, samples, seed, items, newStatistic)
}

func sampled(
	observed float64, samples int, seed uint64, items int, newStatistic func() func(swap []uint64) float64,
) (Permutation, error) {
	if samples < 1 {
		return Permutation{}, fmt.Errorf("stats: permutation test with %d samples: at least one is needed", samples)
	}
	limit := math.Abs(observed) - tieSlack
	hit := make([]bool, samples)
	parallel(samples, func() func(int) {
		stat, swap := newStatistic(), make([]uint64, (items+63)/64)
		return func(b int) {
			r := stream(seed, uint64(b))
			fillBits(r, swap, items)
			hit[b] = math.Abs(stat(swap)) >= limit
		}
	})
	hits := 1
	for _, h := range hit {
		if h {
			hits++
		}
	}
	return Permutation{Observed: observed, P: float64(hits) / float64(1+samples), Samples: samples}, nil
}

// fillBits draws one fair bit an item and clears those beyond the last.
func fillBits(r *rand.PCG, swap []uint64, items int) {
	for k := range swap {
		swap[k] = r.Uint64()
	}
	if rest := items % 64; rest != 0 {
		swap[len(swap)-1] &= 1<<rest - 1
	}
}

// PermuteBinary tests whether two classifiers differ in a metric of their 2x2
// tables (the MCC, say) by swapping their two predictions on random items. It is
// exact for any number of items: items on which both agree do not matter, and of
// the D1 positive and D0 negative ones on which they disagree only the numbers
// X1 ~ Bin(D1, 1/2), X0 ~ Bin(D0, 1/2) that give the first classifier the
// prediction 1 do, so
//
//	p = Σ_{x1,x0} P(x1) P(x0) 1[|T(x1,x0)| >= |T|].
func PermuteBinary(gold, pred1, pred2 []int, metric BinaryMetric) (Permutation, error) {
	first, err := CountBinary(gold, pred1)
	if err != nil {
		return Permutation{}, fmt.Errorf("first classifier: %w", err)
	}
	second, err := CountBinary(gold, pred2)
	if err != nil {
		return Permutation{}, fmt.Errorf("second classifier: %w", err)
	}
	if len(gold) == 0 {
		return Permutation{}, fmt.Errorf("stats: permutation test of 0 items")
	}
	var agree Binary // items on which both predict the same
	var discordant [2]int
	for i, g := range gold {
		if pred1[i] == pred2[i] {
			agree.add(g, pred1[i], 1)
		} else {
			discordant[g]++
		}
	}
	v1, _ := metric(first)
	v2, _ := metric(second)
	out := Permutation{Observed: v1 - v2, Exact: true}
	limit := math.Abs(out.Observed) - tieSlack
	weight1, weight0 := halfBinomial(discordant[1]), halfBinomial(discordant[0])
	for x1, w1 := range weight1 {
		if w1 < negligible {
			continue
		}
		for x0, w0 := range weight0 {
			if w0 < negligible {
				continue
			}
			a, b := agree, agree
			a.TP, a.FN = a.TP+x1, a.FN+discordant[1]-x1
			a.FP, a.TN = a.FP+x0, a.TN+discordant[0]-x0
			b.TP, b.FN = b.TP+discordant[1]-x1, b.FN+x1
			b.FP, b.TN = b.FP+discordant[0]-x0, b.TN+x0
			va, _ := metric(a)
			vb, _ := metric(b)
			if math.Abs(va-vb) >= limit {
				out.P += w1 * w0
			}
		}
	}
	out.P = math.Min(1, out.P)
	return out, nil
}

// halfBinomial is P(X = k), X ~ Bin(n, 1/2), for k = 0..n.
func halfBinomial(n int) []float64 {
	p := make([]float64, n+1)
	for k := range p {
		p[k] = math.Exp(logBinomialHalf(n, k))
	}
	return p
}
