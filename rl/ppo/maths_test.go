package ppo

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

func TestRewardsByHand(t *testing.T) {
	r, non := Rewards([]float64{1, -2, 3}, 10, 0.5)
	require.Equal(t, []float64{-0.5, 1, 8.5}, r)
	require.Equal(t, []float64{-0.5, 1, -1.5}, non)
	r, _ = Rewards([]float64{4}, 1, 0.25) // a response of one token carries both
	require.Equal(t, []float64{0}, r)
}

func TestGAEByHand(t *testing.T) {
	// δ = (1+0.5·2-1, 0+0.5·4-2, 2-4) = (1, 0, -2); γλ = 0.25
	adv, ret := GAE([]float64{1, 0, 2}, []float64{1, 2, 4}, 0.5, 0.5)
	require.InDeltaSlice(t, []float64{0.875, -0.5, -2}, adv, 1e-15)
	require.InDeltaSlice(t, []float64{1.875, 1.5, 2}, ret, 1e-15)
	adv, ret = GAE([]float64{3}, []float64{1}, 0.9, 0.9)
	require.Equal(t, []float64{2}, adv)
	require.Equal(t, []float64{3}, ret)
}

func TestGAELimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const n, gamma = 9, 0.97
	r, v := randomRow(rng, n, 1), randomRow(rng, n, 1)
	one, _ := GAE(r, v, gamma, 0) // λ = 0: the one-step error
	many, ret := GAE(r, v, gamma, 1)
	discounted := 0.0 // λ = 1: discounted return minus value
	for i := n - 1; i >= 0; i-- {
		next := 0.0
		if i+1 < n {
			next = v[i+1]
		}
		require.InDelta(t, r[i]+gamma*next-v[i], one[i], 1e-12)
		discounted = r[i] + gamma*discounted
		require.InDelta(t, discounted-v[i], many[i], 1e-12)
		require.InDelta(t, discounted, ret[i], 1e-12)
	}
}

func TestWhiten(t *testing.T) {
	// mean 3, var ((−2)²+0+2²)/2 = 4
	y, err := Whiten([][]float64{{1, 3}, {5}}, false)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{-1, 0}, y[0], 1e-8)
	require.InDeltaSlice(t, []float64{1}, y[1], 1e-8)
	y, err = Whiten([][]float64{{1, 3}, {5}}, true)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{2, 3}, y[0], 1e-8)

	rng := rand.New(rand.NewPCG(5, 6))
	x := [][]float64{randomRow(rng, 7, 3), randomRow(rng, 1, 3), randomRow(rng, 12, 3)}
	y, err = Whiten(x, false)
	require.NoError(t, err)
	mean, variance := Moments(y)
	require.InDelta(t, 0, mean, 1e-12)
	require.InDelta(t, 1, variance, 1e-7)
	y, err = Whiten(x, true)
	require.NoError(t, err)
	kept, variance := Moments(y)
	before, _ := Moments(x)
	require.InDelta(t, before, kept, 1e-12)
	require.InDelta(t, 1, variance, 1e-7)

	y, err = Whiten([][]float64{{2, 2}, {2}}, false) // no spread: zeros, not NaN
	require.NoError(t, err)
	require.Equal(t, [][]float64{{0, 0}, {0}}, y)
	_, err = Whiten([][]float64{{2}}, false)
	require.ErrorIs(t, err, ErrTooFewTokens)
	_, err = Whiten([][]float64{{math.NaN(), 1}}, false)
	require.ErrorContains(t, err, "not finite")
}

func TestWhitenGroupsAreIndependent(t *testing.T) {
	x := [][]float64{{1, 2}, {3}, {100, 300}, {200}}
	got, err := whitenGroups(x, 2, false)
	require.NoError(t, err)
	for at := 0; at < 4; at += 2 {
		want, err := Whiten(x[at:at+2], false)
		require.NoError(t, err)
		require.Equal(t, want, got[at:at+2])
	}
	all, err := whitenGroups(x, 0, false)
	require.NoError(t, err)
	want, err := Whiten(x, false)
	require.NoError(t, err)
	require.Equal(t, want, all)
}

func TestPolicyLossByHand(t *testing.T) {
	ln := math.Log
	// ratios 1.5, 0.5, 1.1, 1.5; clip 0.2
	newLP := []float64{ln(1.5), ln(0.5), ln(1.1), ln(1.5)}
	old := make([]float64, 4)
	p := PolicyLoss(newLP, old, []float64{1, -1, 2, -1}, 0.2)
	// -1.2 (clipped), 0.8 (clipped), -2.2, 1.5 (the pessimistic branch keeps its gradient)
	require.InDelta(t, -1.2+0.8-2.2+1.5, p.Loss, 1e-12)
	require.Equal(t, 2.0, p.Clipped)
	require.InDeltaSlice(t, []float64{0, 0, -2.2, 1.5}, p.Grad, 1e-12)
	require.InDelta(t, 1.5, p.MaxRatio, 1e-12)
	require.InDelta(t, 4.6, p.Ratio, 1e-12)
	require.InDelta(t, -(ln(1.5) + ln(0.5) + ln(1.1) + ln(1.5)), p.PolicyKL, 1e-12)
}

func TestValueLossByHand(t *testing.T) {
	// v, old, R; clip 0.5: moved towards R past the clip (frozen), away from it (not), inside
	p := ValueLoss([]float64{2, 2, 0.2}, []float64{0, 0, 0}, []float64{3, -1, 1}, 0.5)
	require.InDelta(t, 0.5*(2.5*2.5+3*3+0.8*0.8), p.Loss, 1e-12)
	require.Equal(t, 1.0, p.Clipped)
	require.InDeltaSlice(t, []float64{0, 3, -0.8}, p.Grad, 1e-12)
	require.InDelta(t, 1+9+0.64, p.Error, 1e-12)
}

// The gradient of the whole mini-batch loss against central differences, for both
// means, with responses of one token and with clipping at work.
func TestLossGradientByFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	lengths := []int{5, 1, 3, 2}
	var newLP, old, adv, v, vOld, ret [][]float64
	for _, n := range lengths {
		old = append(old, randomRow(rng, n, 1))
		newLP = append(newLP, addRow(old[len(old)-1], randomRow(rng, n, 0.4)))
		adv = append(adv, randomRow(rng, n, 1))
		vOld = append(vOld, randomRow(rng, n, 1))
		v = append(v, addRow(vOld[len(vOld)-1], randomRow(rng, n, 0.4)))
		ret = append(ret, randomRow(rng, n, 1))
	}
	for _, mean := range []LossMean{MeanToken, MeanSequence, MeanGroup} {
		lc := LossConfig{Mean: mean, Group: 2, ValueCoef: 0.3}
		terms := func() []Terms {
			batch := make([]Terms, len(lengths))
			for s := range batch {
				batch[s] = Terms{
					Policy: PolicyLoss(newLP[s], old[s], adv[s], 0.2), Value: ValueLoss(v[s], vOld[s], ret[s], 0.2),
					Advantages: adv[s], Returns: ret[s], OldValues: vOld[s],
				}
			}
			return batch
		}
		loss := func() float64 {
			groups := lc.Combine(terms())
			sum := 0.0
			for _, g := range groups {
				sum += g.Stats["loss/total"] / float64(len(groups))
			}
			return sum
		}
		weights := mean.Weights(lengths, 2)
		for s, term := range terms() {
			gotLP, gotV := term.Gradient(weights[s], lc.ValueCoef, false)
			for i := range lengths[s] {
				require.InDelta(t, slope(&newLP[s][i], loss), float64(gotLP[i]), 1e-6, "%s logprob %d %d", mean, s, i)
				require.InDelta(t, slope(&v[s][i], loss), float64(gotV[i]), 1e-6, "%s value %d %d", mean, s, i)
			}
			zeroLP, zeroV := term.Gradient(weights[s], lc.ValueCoef, true)
			for i := range zeroLP {
				require.Zero(t, zeroLP[i])
				require.Zero(t, zeroV[i])
			}
		}
	}
}

func addRow(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
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

func TestWeightsSumToOne(t *testing.T) {
	lengths := []int{5, 1, 3}
	for _, mean := range []LossMean{MeanToken, MeanSequence} {
		sum := 0.0
		for s, w := range mean.Weights(lengths, 2) {
			sum += w * float64(lengths[s])
		}
		require.InDelta(t, 1, sum, 1e-15)
	}
	require.InDeltaSlice(t, []float64{1.0 / 9, 1.0 / 9, 1.0 / 9}, MeanToken.Weights(lengths, 1), 1e-15)
	require.InDeltaSlice(t, []float64{1.0 / 15, 1.0 / 3, 1.0 / 9}, MeanSequence.Weights(lengths, 1), 1e-15)

	// Groups of two: (5 + 1) tokens and (3 + 2), each half of the mean.
	lengths = append(lengths, 2)
	require.InDeltaSlice(t, []float64{1.0 / 12, 1.0 / 12, 1.0 / 10, 1.0 / 10}, MeanGroup.Weights(lengths, 2), 1e-15)
	require.Equal(t, MeanSequence.Weights(lengths, 1), MeanGroup.Weights(lengths, 1))
	require.Equal(t, MeanToken.Weights(lengths, 1), MeanGroup.Weights(lengths, 4))
}

// A group is left out by its own mean ratio, not by that of a response or of all.
func TestGroupsAreSkippedByTheirMeanRatio(t *testing.T) {
	one := func(ratio float64, n int) Terms {
		return Terms{Policy: PolicyTerms{Ratio: ratio * float64(n), Loss: 1}, Advantages: make([]float64, n),
			Returns: make([]float64, n), OldValues: make([]float64, n)}
	}
	batch := []Terms{one(20, 1), one(1, 9), one(20, 9), one(1, 1)} // means 2.9 and 18.1
	groups := LossConfig{Mean: MeanGroup, Group: 2, RatioThreshold: 10}.Combine(batch)
	require.Len(t, groups, 2)
	require.False(t, groups[0].Skip)
	require.True(t, groups[1].Skip)
	require.InDelta(t, 0.2, groups[0].Stats["loss/policy"], 1e-15, "two responses, ten tokens")
	require.Zero(t, groups[1].Stats["loss/policy"])
}

func TestScoreScalingEdges(t *testing.T) {
	m := NewRunningMoments()
	c := ScoreScaling{Scale: true, Norm: true}
	require.Equal(t, []float64{0}, c.Apply(&m, []float64{3}), "one score has no spread: nothing is divided")
	require.Equal(t, []float64{0, 0}, c.Apply(&m, []float64{3, 3}))
	require.Equal(t, 3.0, m.Count)
	require.Equal(t, []float64{-2, 2, 1}, ScoreScaling{Clip: 2}.Apply(&m, []float64{-5, 5, 1}))
	require.Equal(t, 3.0, m.Count, "without scaling no moments are kept")
}

func TestKLController(t *testing.T) {
	require.Equal(t, 0.2, NextKLCoef(0.2, 6, 6, 10000, 16))
	require.InDelta(t, 0.2*(1+0.2*16/10000), NextKLCoef(0.2, 1000, 6, 10000, 16), 1e-15, "clipped above")
	require.InDelta(t, 0.2*(1-0.2*16/10000), NextKLCoef(0.2, -1000, 6, 10000, 16), 1e-15, "clipped below")
	require.False(t, EpochKLExceeded(0.15, 0.1))
	require.True(t, EpochKLExceeded(0.1501, 0.1))
}
