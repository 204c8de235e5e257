package grpo

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomRow(rng *rand.Rand, n int, sd float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64() * sd
	}
	return x
}

// Every loss at every level against central differences. What has no gradient by definition, the weights of cispo and
// vespo, stays as it is.
func TestGradientByFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, loss := range (LossType("")).Values() {
		for _, level := range (Level("")).Values() {
			for range 20 {
				l := Default().Loss
				l.LossType, l.Level = LossType(loss), Level(level)
				l.KLImportance = rng.IntN(2) == 0
				if rng.IntN(2) == 0 && l.LossType.clips() && l.LossType != GMPO {
					l.Delta = 1.4
				}
				n := 1 + rng.IntN(5)
				a := Answer{New: randomRow(rng, n, 1), Ref: randomRow(rng, n, 1)}
				a.Advantages = make([]float64, n)
				adv := rng.NormFloat64()
				for i := range n {
					a.Old = append(a.Old, a.New[i]-0.25*rng.NormFloat64())
					a.Advantages[i] = adv
				}
				terms := l.Terms(a, 0.3)
				frozen := weightsOf(&l, a)
				for i := range n {
					want := slope(&a.New[i], func() float64 { return valueOf(&l, a, frozen, 0.3) })
					require.InDelta(t, want, terms.Grad[i], 1e-5, "%s %s", loss, level)
				}
			}
		}
	}
}

// weightsOf are the weights of log-probabilities that have no gradient, nil where there are none.
func weightsOf(l *Loss, a Answer) []float64 {
	if l.LossType != CISPO && l.LossType != VESPO {
		return nil
	}
	return l.Terms(a, 0).Grad // -weight each
}

// valueOf is the loss with those weights held.
func valueOf(l *Loss, a Answer, frozen []float64, beta float64) float64 {
	if frozen == nil {
		return l.Terms(a, beta).Loss
	}
	sum := l.Terms(a, beta).Loss - l.Terms(a, 0).Loss // the KL
	for i, w := range frozen {
		sum += w * a.New[i]
	}
	return sum
}

func slope(x *float64, f func() float64) float64 {
	const h = 1e-6
	at := *x
	*x = at + h
	up := f()
	*x = at - h
	down := f()
	*x = at
	return (up - down) / (2 * h)
}

func TestReturns(t *testing.T) {
	// beta 0.5: the last token costs 1, the one before 1 + 2.
	got := Returns([]float64{10, 0}, [][]float64{{4, 2}, {0}}, 0.5, false)
	require.Equal(t, [][]float64{{7, 9}, {0}}, got)
	got = Returns([]float64{10, 0}, [][]float64{{4, 2}, {0}}, 0.5, true)
	all := append(append([]float64{}, got[0]...), got[1]...)
	require.InDelta(t, 0, mean(all), 1e-12)
	require.InDelta(t, 1, standardDeviation(all), 1e-4)
}

// A group whose answers are all worth the same teaches nothing, and is counted.
func TestEqualRewards(t *testing.T) {
	for _, p := range (Preset("")).Values() {
		c, err := New(Preset(p))
		require.NoError(t, err)
		if c.Baseline == NoBaseline {
			continue
		}
		adv, flat := c.Advantages([]float64{3, 3, 3, 1, 2, 6}, nil, nil, 3)
		if !c.NormalizeAdvantages {
			require.Equal(t, []float64{0, 0, 0}, adv[:3], p)
		}
		require.Equal(t, []bool{true, true, true, false, false, false}, flat, p)
	}
	a := Advantage{Baseline: LeaveOneOut, ScaleRewards: ScaleNone}
	adv, _ := a.Advantages([]float64{1, math.NaN(), 4}, nil, nil, 3)
	require.Equal(t, []float64{-3, 0, 3}, adv, "an answer that is not judged is no baseline either")
}

func TestMaskedAnswersDoNotCount(t *testing.T) {
	l := Default().Loss
	terms := l.Terms(Answer{New: []float64{1, 2}, Old: []float64{0, 0}, Ref: []float64{0, 0},
		Advantages: []float64{1, 1}, Masked: true}, 1)
	require.Zero(t, terms.Loss)
	require.Equal(t, []float64{0, 0}, terms.Grad)
}

func TestQuantile(t *testing.T) {
	x := []float64{4, 1, 3, 2}
	require.Equal(t, 1.0, Quantile(x, 0))
	require.Equal(t, 4.0, Quantile(x, 1))
	require.InDelta(t, 2.5, Quantile(x, 0.5), 1e-15)
	require.InDelta(t, 1.6, Quantile(x, 0.2), 1e-12)
}
