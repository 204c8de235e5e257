package stats

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Of one run it is the exact test, but for sampling; of the same run several times it is
// the same test, not a stronger one.
func TestPermuteRunsOfOneRun(t *testing.T) {
	gold, preds := randomLabels(150, 2, .62)
	exact, err := PermuteBinary(gold, preds[0], preds[1], MetricMCC)
	require.NoError(t, err)
	one, err := PermuteBinaryRuns(gold, preds[:1], preds[1:], MetricMCC, 40000, 3)
	require.NoError(t, err)
	require.InDelta(t, exact.Observed, one.Observed, 1e-12)
	require.InDelta(t, exact.P, one.P, .01)
	thrice, err := PermuteBinaryRuns(gold, [][]int{preds[0], preds[0], preds[0]}, [][]int{preds[1], preds[1], preds[1]},
		MetricMCC, 40000, 3)
	require.NoError(t, err)
	require.InDelta(t, one.P, thrice.P, 1e-4)
}

// Tables from bit counts are the tables of swapped predictions.
func TestPermuteRunsSwapsItems(t *testing.T) {
	gold, preds := randomLabels(131, 2, .6)
	s, err := newSwapped(gold, preds[0], preds[1])
	require.NoError(t, err)
	swap := make([]uint64, 3)
	for b := range 20 {
		fillBits(stream(1, uint64(b)), swap, 131)
		x, y := append([]int{}, preds[0]...), append([]int{}, preds[1]...)
		for i := range x {
			if swap[i/64]>>(i%64)&1 == 1 {
				x[i], y[i] = y[i], x[i]
			}
		}
		wantA, _ := CountBinary(gold, x)
		wantB, _ := CountBinary(gold, y)
		a, c := s.tables(swap)
		require.Equal(t, []Binary{wantA, wantB}, []Binary{a, c})
	}
}

func TestPermuteRunsRefuses(t *testing.T) {
	gold, preds := randomLabels(10, 2, .6)
	_, err := PermuteBinaryRuns(gold, nil, nil, MetricMCC, 10, 1)
	require.ErrorContains(t, err, "0 runs against 0")
	_, err = PermuteBinaryRuns(gold, preds[:1], preds, MetricMCC, 10, 1)
	require.ErrorContains(t, err, "1 runs against 2")
	_, err = PermuteBinaryRuns(gold, preds[:1], [][]int{preds[1][:5]}, MetricMCC, 10, 1)
	require.ErrorContains(t, err, "run 0: second classifier")
}

func BenchmarkPermuteRuns(b *testing.B) {
	gold, preds := randomLabels(2500, 6, .6)
	for b.Loop() {
		if _, err := PermuteBinaryRuns(gold, preds[:3], preds[3:], MetricMCC, 10000, 1); err != nil {
			b.Fatal(err)
		}
	}
}
