package metrics

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/rl/run"
)

func TestEntropyByHand(t *testing.T) {
	b := New("x", eval.ProtocolLogLik, "m", "v", 3, evaltest.Settings())
	records := []run.Item{
		{LogProbs: []float64{math.Log(.2), math.Log(.6)}}, // .25, .75 among themselves
		{LogProbs: []float64{-1, -1}},
		{LogProbs: []float64{-1, -2}},
	}
	require.NoError(t, b.AddCrossEntropy(records, [][]int{{1, 3}, {2, 0}, {0, 0}}))
	first := -.25*math.Log(.25) - .75*math.Log(.75)
	require.InDelta(t, (first-math.Log(.5))/2, b.Metrics["xent"], 1e-12)
	// The mean distribution is (.625, .375).
	require.InDelta(t, -(.625*math.Log(.625) + .375*math.Log(.375)), b.Metrics["xent_prior"], 1e-12)
	require.Equal(t, []string{"without_votes=1"}, b.Flags)
	// Longer label texts make no difference to the sum of the probabilities.
	require.InDelta(t, 1, math.Exp(logSoftmax([]float64{-900, -901})[0])+math.Exp(logSoftmax([]float64{-900, -901})[1]),
		1e-12)
}
