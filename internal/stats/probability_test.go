package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProbabilityScores(t *testing.T) {
	require.InDelta(t, 0.5, Sigmoid(0), 1e-15)
	require.InDelta(t, 0.8, Sigmoid(math.Log(4)), 1e-15)
	require.InDelta(t, 0.2, Sigmoid(-math.Log(4)), 1e-15)
	require.Zero(t, Sigmoid(-1e9))
	require.InDelta(t, -1e9, LogSigmoid(-1e9), 1e-3)
	require.InDelta(t, math.Log(0.8), LogSigmoid(math.Log(4)), 1e-15)

	// p = .8 of an observed .6, p = .5 of an observed 0.
	logit, q := []float64{math.Log(4), 0}, []float64{0.6, 0}
	ce, err := BinaryCrossEntropy(logit, q)
	require.NoError(t, err)
	require.InDelta(t, (-(0.6*math.Log(0.8)+0.4*math.Log(0.2))+math.Ln2)/2, ce, 1e-14)
	brier, err := Brier(logit, q)
	require.NoError(t, err)
	require.InDelta(t, (0.04+0.25)/2, brier, 1e-14)
	require.InDelta(t, -(0.6*math.Log(0.6)+0.4*math.Log(0.4))/2, BinaryEntropy(q), 1e-14)

	// The mistake of a forecast that is certain stays a number, and its success costs nothing.
	ce, err = BinaryCrossEntropy([]float64{800, 800}, []float64{0, 1})
	require.NoError(t, err)
	require.InDelta(t, 400, ce, 1e-9)

	for _, bad := range [][2][]float64{{{1}, {1, 0}}, {{}, {}}, {{math.NaN()}, {1}}, {{math.Inf(1)}, {1}},
		{{0}, {1.5}}} {
		_, err = BinaryCrossEntropy(bad[0], bad[1])
		require.Error(t, err)
		_, err = Brier(bad[0], bad[1])
		require.Error(t, err)
	}
}

func TestReliability(t *testing.T) {
	bins, ece, err := Reliability([]float64{0.5, 0.55, 0.9, 1}, []float64{0, 1, 1, 1}, 0.5, 1, 5)
	require.NoError(t, err)
	require.Len(t, bins, 2) // the empty ones between are left out
	require.Equal(t, 2, bins[0].N)
	require.InDelta(t, 0.525, bins[0].Forecast, 1e-15)
	require.InDelta(t, 0.5, bins[0].Observed, 1e-15)
	require.InDelta(t, 0.9, bins[1].Lo, 1e-15)
	require.InDelta(t, 1, bins[1].Hi, 1e-15)
	require.InDelta(t, 0.95, bins[1].Forecast, 1e-15)
	require.InDelta(t, (0.025*2+0.05*2)/4, ece, 1e-15)
	_, _, err = Reliability([]float64{0.4}, []float64{1}, 0.5, 1, 5)
	require.ErrorContains(t, err, "forecast 0 is 0.4")
	_, _, err = Reliability(nil, nil, 0, 1, 5)
	require.Error(t, err)
}

func TestSpearman(t *testing.T) {
	require.Equal(t, []float64{4, 1.5, 3, 1.5}, Midranks([]float64{9, 2, 5, 2}))
	// Without ties 1 - 6 Σd²/(n(n²-1)): ranks 1 2 3 4 5 against 2 1 4 3 5 give Σd² = 4.
	rho, err := Spearman([]float64{1, 2, 3, 4, 5}, []float64{20, 10, 40, 30, 50})
	require.NoError(t, err)
	require.InDelta(t, 1-6*4.0/120, rho, 1e-14)
	// With ties: ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: cov 4.5, variances 4.5 and 5.
	rho, err = Spearman([]float64{1, 2, 2, 3}, []float64{1, 2, 3, 4})
	require.NoError(t, err)
	require.InDelta(t, 4.5/math.Sqrt(4.5*5), rho, 1e-14)
	rho, err = Spearman([]float64{1, 1}, []float64{1, 2})
	require.NoError(t, err)
	require.True(t, math.IsNaN(rho))
	_, err = Spearman([]float64{1}, []float64{1})
	require.Error(t, err)
}

// Positives 3 and 1, negatives 2, 0 and 1: V10 = 1 and 1/2 (one below, one tied of
// three), V01 = 1/2, 1 and 3/4.
func TestAUCStdErr(t *testing.T) {
	gold, score := []int{1, 0, 1, 0, 0}, []float64{3, 2, 1, 0, 1}
	auc, err := AUC(gold, score)
	require.NoError(t, err)
	require.InDelta(t, 0.75, auc, 1e-15)
	se, err := AUCStdErr(gold, score)
	require.NoError(t, err)
	require.InDelta(t, math.Sqrt(0.125/2+0.0625/3), se, 1e-14)
	se, err = AUCStdErr([]int{1, 0, 0}, []float64{1, 2, 3})
	require.NoError(t, err)
	require.True(t, math.IsNaN(se))
	_, err = AUCStdErr([]int{1, 1}, []float64{1, 2})
	require.ErrorIs(t, err, ErrOneClass)
}
