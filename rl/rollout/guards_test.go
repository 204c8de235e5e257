package rollout

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	c := Guards{
		MaxKL: 50, MinEntropyRatio: 0.1, MaxEntropyRatio: 3, MaxRepetitionRise: 0.3, RepetitionNgram: 4,
		AlarmPatience: 2,
	}
	normal := guardInputs{kl: 1, entropy: 2, repetition: 0.1}
	for _, k := range []struct {
		name string
		bad  guardInputs
		want string
		wait int // iterations until it fires
	}{
		{"kl", guardInputs{kl: 50.5, entropy: 2, repetition: 0.1},
			"the mean KL of a response to the reference is 50.5 " +
				"nats, above max_kl 50", 1},
		{"collapse", guardInputs{kl: 1, entropy: 0.19, repetition: 0.1}, "below min_entropy_ratio 0.1 of the first " +
			"iteration's 2 for 2 iterations", 2},
		{"noise", guardInputs{kl: 1, entropy: 6.1, repetition: 0.1}, "above max_entropy_ratio 3", 2},
		{"loops", guardInputs{kl: 1, entropy: 2, repetition: 0.41}, "0.41 of the 4-grams", 2},
	} {
		h := guardState{}
		require.Empty(t, h.check(&c, normal), k.name)
		if k.wait > 1 { // one bad iteration between good ones is forgiven
			require.Empty(t, h.check(&c, k.bad), k.name)
			require.Empty(t, h.check(&c, normal), k.name)
		}
		for range k.wait - 1 {
			require.Empty(t, h.check(&c, k.bad), k.name)
		}
		k.bad.iteration = 17
		got := h.check(&c, k.bad)
		require.Contains(t, got, k.want, k.name)
		require.Contains(t, got, "stopped after iteration 17: ")

		off := c
		off.MaxKL, off.MinEntropyRatio, off.MaxEntropyRatio, off.MaxRepetitionRise = 0, 0, 0, 0
		h = guardState{}
		h.check(&off, normal)
		for range 5 {
			require.Empty(t, h.check(&off, k.bad), k.name)
		}
	}
}

func TestRepetition(t *testing.T) {
	require.Zero(t, Repetition([]int32{1, 2, 3}, 4))
	require.Zero(t, Repetition([]int32{1, 2, 3, 4}, 2))
	require.InDelta(t, 2.0/4, Repetition([]int32{1, 2, 1, 2, 1}, 2), 1e-15)             // 12 21 12 21
	require.InDelta(t, 3.0/4, Repetition([]int32{7, 7, 7, 7}, 1), 1e-15)                // one distinct of four
	require.Zero(t, Repetition([]int32{1, 256, 65536, 1 << 24}, 1), "ids do not clash") // one byte set in each
}

func TestEqualScores(t *testing.T) {
	require.True(t, equalScores([]float64{2, 2, 2}))
	require.True(t, equalScores([]float64{1e6, 1e6 + 0.5}), "the rounding of a float32")
	require.False(t, equalScores([]float64{0.001, 0.0011}))
	require.False(t, equalScores([]float64{7}), "one score tells nothing")
}

// Scores beyond max_score are counted, and the greatest is named.
func TestCheckScores(t *testing.T) {
	require.NoError(t, checkScores([]float64{1000, -1000, 3}, 1000))
	require.NoError(t, checkScores([]float64{1e29}, 0), "0 looks at no score")
	require.ErrorContains(t, checkScores([]float64{1, -2000, 1500}, 1000), "2 of 3 are beyond max_score 1000, the "+
		"greatest is -2000")
}
