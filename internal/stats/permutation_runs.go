package stats

import (
	"fmt"
	"math/bits"
)

// PermuteBinaryRuns tests whether two classifiers differ in the mean over several
// training runs of a metric of their 2x2 tables: first and second are [run][item] on the
// same gold [item]. An item is swapped in all runs at once, so that what it has in common
// between runs does not count as several pieces of evidence. Runs are held fixed: the
// test says nothing about other seeds.
func PermuteBinaryRuns(
	gold []int, first, second [][]int, metric BinaryMetric, samples int, seed uint64,
) (Permutation, error) {
	if len(first) == 0 || len(first) != len(second) {
		return Permutation{}, fmt.Errorf("stats: permutation test of %d runs against %d", len(first), len(second))
	}
	runs := make([]swapped, len(first))
	for r := range first {
		var err error
		if runs[r], err = newSwapped(gold, first[r], second[r]); err != nil {
			return Permutation{}, fmt.Errorf("run %d: %w", r, err)
		}
	}
	return PermuteFunc(len(gold), samples, seed, func() func([]uint64) float64 {
		return func(swap []uint64) float64 {
			sum := 0.0
			for i := range runs {
				a, b := runs[i].tables(swap)
				va, _ := metric(a)
				vb, _ := metric(b)
				sum += va - vb
			}
			return sum / float64(len(runs))
		}
	})
}

// swapped makes the two tables of a run after a swap from counts of bits.
type swapped struct {
	a, b Binary
	// Sets of items, one bit each: gold label 1 or 0, and first or second predicts 1 where
	// the other does not.
	pos10, pos01, neg10, neg01 []uint64
}

func newSwapped(gold, first, second []int) (swapped, error) {
	a, err := CountBinary(gold, first)
	if err != nil {
		return swapped{}, fmt.Errorf("first classifier: %w", err)
	}
	b, err := CountBinary(gold, second)
	if err != nil {
		return swapped{}, fmt.Errorf("second classifier: %w", err)
	}
	words := (len(gold) + 63) / 64
	set := make([]uint64, 4*words)
	s := swapped{a: a, b: b, pos10: set[:words], pos01: set[words : 2*words], neg10: set[2*words : 3*words],
		neg01: set[3*words:]}
	for i, g := range gold {
		if first[i] == second[i] {
			continue
		}
		into := [2][2][]uint64{{s.neg01, s.neg10}, {s.pos01, s.pos10}}[g][first[i]]
		into[i/64] |= 1 << (i % 64)
	}
	return s, nil
}

// tables are those of both classifiers with the marked items swapped.
func (s *swapped) tables(swap []uint64) (a, b Binary) {
	tp, fp := 0, 0 // what the first classifier gains and the second loses
	for k, w := range swap {
		tp += bits.OnesCount64(w&s.pos01[k]) - bits.OnesCount64(w&s.pos10[k])
		fp += bits.OnesCount64(w&s.neg01[k]) - bits.OnesCount64(w&s.neg10[k])
	}
	a, b = s.a, s.b
	a.TP, a.FN, a.FP, a.TN = a.TP+tp, a.FN-tp, a.FP+fp, a.TN-fp
	b.TP, b.FN, b.FP, b.TN = b.TP-tp, b.FN+tp, b.FP-fp, b.TN+fp
	return a, b
}
