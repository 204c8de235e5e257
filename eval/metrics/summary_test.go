package metrics

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/rl/run"
)

func TestOneClassAndDegenerateFlags(t *testing.T) {
	set := evaltest.Settings()
	b := New("x", eval.ProtocolLogLik, "m", "v", 3, set)
	require.NoError(t, b.AddBinary(Predictions{Gold: []int{1, 1, 1}, Pred: []int{1, 0, 1}, Score: []float64{1, 2, 3}}))
	require.Equal(t, []string{"one_class"}, b.Flags)
	require.Zero(t, b.Metrics["mcc"])
	require.NotContains(t, b.Metrics, "auc")
	require.NotContains(t, b.Intervals, "mcc")
	b = New("x", eval.ProtocolLogLik, "m", "v", 3, set)
	require.NoError(t, b.AddBinary(Predictions{Gold: []int{1, 0, 1}, Pred: []int{1, 1, 1}}))
	require.Equal(t, []string{"degenerate"}, b.Flags)
	for name, v := range b.Metrics {
		require.False(t, math.IsNaN(v), name)
	}
}

func TestRefusalsCountAsWrong(t *testing.T) {
	x := PredictionsOf([]run.Item{{Gold: 1, Pred: run.NoPrediction, Refused: true},
		{Gold: 0, Pred: run.NoPrediction, Refused: true}, {Gold: 1, Pred: 1}})
	require.Equal(t, []int{0, 1, 1}, x.Pred)
}

func TestModelsShareResamples(t *testing.T) {
	set := evaltest.Settings()
	a := New("scruples", eval.ProtocolLogLik, "m1", "v", 9, set)
	b := New("scruples", eval.ProtocolReward, "m2", "w", 9, set)
	x, err := a.Resamples(9)
	require.NoError(t, err)
	y, _ := b.Resamples(9)
	require.Equal(t, x, y)
}

// scikit-learn 1.9.1 gives the same: .5222329678670935, .6666666666666666,
// .6555555555555556 and .5.
func TestClasses(t *testing.T) {
	gold, pred := []int{0, 0, 1, 1, 2, 2}, []int{0, 1, 1, 1, 2, 0}
	b := New("x", eval.ProtocolLogLik, "m", "v", 6, evaltest.Settings())
	require.NoError(t, b.AddClasses(gold, pred))
	// c=4, s=6, p=(2,3,1), t=(2,2,2): (24-12)/sqrt((36-14)(36-12))
	require.InDelta(t, 12/math.Sqrt(22*24), b.Metrics["mcc"], 1e-12)
	require.InDelta(t, (.5+1+.5)/3, b.Metrics["balanced_acc"], 1e-12)
	require.InDelta(t, (.5+.8+2.0/3)/3, b.Metrics["macro_f1"], 1e-12)
	require.InDelta(t, .5, b.Metrics["kappa"], 1e-12)
	require.InDelta(t, 1.0/3, b.Metrics["majority_acc"], 1e-12)
	for _, name := range []string{"mcc", "macro_f1", "balanced_acc"} {
		v := b.Intervals[name]
		require.Less(t, v[0], b.Metrics[name], name)
		require.GreaterOrEqual(t, v[1], b.Metrics[name], name)
	}
	require.NotEqual(t, b.Intervals["mcc"], b.Intervals["macro_f1"])
	require.NotEqual(t, b.Intervals["balanced_acc"], b.Intervals["macro_f1"])
	b = New("x", eval.ProtocolLogLik, "m", "v", 3, evaltest.Settings())
	require.NoError(t, b.AddClasses([]int{0, 1, 2}, []int{1, 1, 1}))
	require.Equal(t, []string{"degenerate"}, b.Flags)
	require.Zero(t, b.Metrics["mcc"])
	b = New("x", eval.ProtocolLogLik, "m", "v", 3, evaltest.Settings())
	require.NoError(t, b.AddClasses([]int{1, 1, 1}, []int{1, 0, 2}))
	require.Equal(t, []string{"one_class"}, b.Flags)
}
