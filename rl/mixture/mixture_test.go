package mixture

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/train"
)

var nan = math.NaN()

func newMixture(t *testing.T, c Config, weights ...float64) *Mixture {
	t.Helper()
	m, err := New(c, []string{"a", "b", "c"}[:len(weights)], weights)
	require.NoError(t, err)
	return m
}

func combined(t *testing.T, m *Mixture, rewards ...[]float64) []float64 {
	t.Helper()
	st := m.NewState()
	got, err := m.Combine(&st, rewards)
	require.NoError(t, err)
	return got
}

func TestCombineByHand(t *testing.T) {
	a, b := []float64{1, 2, 3, 4}, []float64{4, 0, -1, 8}
	require.Equal(t, []float64{3, 1, 1, 6}, combined(t, newMixture(t, Config{}, 1, 0.5), a, []float64{4, -2, -4, 4}))
	require.Equal(t, []float64{1, 0, -2, 4}, combined(t, newMixture(t, Config{Combine: Min}, 1, 2), a,
		[]float64{4, 0, -1, 8}))
	require.Equal(t, a, combined(t, newMixture(t, Config{Combine: Min}, 1, 0), a, b), "weight 0 has no voice")
	// Ranks of a: 0 1/3 2/3 1, of b: 2/3 1/3 0 1.
	got := combined(t, newMixture(t, Config{Combine: Rank}, 1, 3), a, b)
	require.InDeltaSlice(t, []float64{0.5, 1.0 / 3, 1.0 / 6, 1}, got, 1e-15)
	// First by a in steps of 2 (0 1 1 2), then by b in steps of 2.
	got = combined(t, newMixture(t, Config{Combine: Lexicographic, LexicographicStep: 2}, 1, 1), a, b)
	require.InDeltaSlice(t, []float64{0, 2.0 / 3, 1.0 / 3, 1}, got, 1e-15)
	got = combined(t, newMixture(t, Config{Combine: Lexicographic}, 1, 1), []float64{0.1, 0.2, 0.3}, []float64{5, 9, 0})
	require.InDeltaSlice(t, []float64{0, 0.5, 1}, got, 1e-15, "a step of 0.25 where none is given")
}

func TestMissingRewards(t *testing.T) {
	a, b := []float64{1, nan, nan}, []float64{2, 3, nan}
	require.Equal(t, []float64{3, 3}, combined(t, newMixture(t, Config{}, 1, 1), a, b)[:2])
	require.True(t, math.IsNaN(combined(t, newMixture(t, Config{}, 1, 1), a, b)[2]))
	require.Equal(t, []float64{1, 3}, combined(t, newMixture(t, Config{Combine: Min}, 1, 1), a, b)[:2])
	got := combined(t, newMixture(t, Config{Combine: Rank}, 1, 1), a, b)
	require.Equal(t, []float64{0.25, 1}, got[:2], "one alone stands in the middle")
	require.True(t, math.IsNaN(got[2]))
	m := newMixture(t, Config{Combine: Lexicographic}, 1, 1)
	st := m.NewState()
	_, err := m.Combine(&st, [][]float64{a, b})
	require.ErrorContains(t, err, "reward a does not judge answer 1")
}

func TestNormalizeRewards(t *testing.T) {
	m := newMixture(t, Config{NormalizeRewards: NormalizeBatch}, 1, 1)
	got := combined(t, m, []float64{0, 1000}, []float64{5, 5})
	require.InDeltaSlice(t, []float64{-math.Sqrt(0.5), math.Sqrt(0.5)}, got, 1e-6, "equal rewards say nothing")
	require.Equal(t, []float64{5, 1005}, m.Utility([][]float64{{0, 1000}, {5, 5}}), "worth by itself is not normalised")
}

func TestOneRewardIsTakenAsItIs(t *testing.T) {
	m := newMixture(t, Config{}, 1)
	require.True(t, m.Single())
	x := []float64{3, -1}
	got := combined(t, m, x)
	require.Equal(t, x, got)
	got[0] = 9
	require.Equal(t, 3.0, x[0], "and copied")
	require.False(t, newMixture(t, Config{}, 2).Single())
}

// A constraint that is not met gets weight until it is; one that is met loses it.
func TestMultipliers(t *testing.T) {
	bound := 1.0
	m := newMixture(t, Config{Constraints: map[string]Constraint{
		"b": {AtLeast: &bound, Rate: 0.5, Max: 2}, "a": {AtMost: &bound, Start: 0.25},
	}}, 1, 0)
	st := m.NewState()
	require.Equal(t, []float64{0.25, 0}, st.Multipliers, "in the order of the names")
	steps := m.Learn(&st, [][]float64{{0, 1}, {-1, 1}}) // a: 0.5 at most 1; b: 0 at least 1
	require.InDeltaSlice(t, []float64{0.25 - 0.1*0.5, 0.5}, st.Multipliers, 1e-15)
	require.Equal(t, "b", steps[1].Name)
	require.Equal(t, "at least 1", steps[1].Bound)
	require.Equal(t, []int{0, 1}, st.Missed)
	// score = (a - 0.2 a + 0.5 b) / 1.7
	got, err := m.Combine(&st, [][]float64{{1, 2}, {3, -4}})
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{(0.8 + 1.5) / 1.7, (1.6 - 2) / 1.7}, got, 1e-15)
	require.InDeltaSlice(t, []float64{0.8 / 1.7, 0.5 / 1.7}, m.Weights(&st), 1e-15)
	for range 20 {
		m.Learn(&st, [][]float64{{0}, {-9}})
	}
	require.Equal(t, []float64{0, 2}, st.Multipliers, "between 0 and max")
	m.Learn(&st, [][]float64{{0}, {2}})
	require.Equal(t, 1.5, st.Multipliers[1])
	require.Zero(t, st.Missed[1])
}

func TestHopelessConstraintIsSaid(t *testing.T) {
	m := newMixture(t, Config{
		ConstraintPatience: 3, Constraints: map[string]Constraint{"a": {AtLeast: new(float64)}},
	}, 1)
	st := m.NewState()
	var said []string
	for range 7 {
		said = append(said, m.Learn(&st, [][]float64{{-1}})[0].Says)
	}
	require.Equal(t, []bool{false, false, true, false, false, true, false}, []bool{said[0] != "", said[1] != "",
		said[2] != "", said[3] != "", said[4] != "", said[5] != "", said[6] != ""})
	require.Contains(t, said[2], "constraint a: at least 0 has not been met for 3 iterations in a row: the mean is -1")
}

func TestBadMixtures(t *testing.T) {
	for want, make := range map[string]func() error{
		"the weights of a, b sum to zero": func() error {
			_, err := New(Config{}, []string{"a", "b"}, []float64{1, -1})
			return err
		},
		`constraints: "x" is no reward of this policy: want one of a, b`: func() error {
			_, err := New(Config{Constraints: map[string]Constraint{"x": {AtLeast: new(float64)}}},
				[]string{"a", "b"}, nil)
			return err
		},
		"combine lexicographic with a weight below zero": func() error {
			_, err := New(Config{Combine: Lexicographic}, []string{"a", "b"}, []float64{2, -1})
			return err
		},
		"want at least one": func() error { _, err := New(Config{}, nil, nil); return err },
		"constraints.a: want one of at_least and at_most": func() error {
			check := train.NewChecks("ppo")
			(&Config{Constraints: map[string]Constraint{"a": {}}}).Check(check)
			return check.Err()
		},
		"combine: want one of [sum min rank lexicographic]": func() error {
			check := train.NewChecks("ppo")
			(&Config{Combine: "vote"}).Check(check)
			return check.Err()
		},
	} {
		require.ErrorContains(t, make(), want)
	}
}

func TestRanks(t *testing.T) {
	all := func(int) bool { return true }
	x := []float64{3, 1, 3, 2}
	got := ranks(4, all, func(a, b int) int { return compare(x[a], x[b]) })
	require.InDeltaSlice(t, []float64{5.0 / 6, 0, 5.0 / 6, 1.0 / 3}, got, 1e-15)
	require.Equal(t, []float64{0.5, 0.5}, ranks(2, all, func(int, int) int { return 0 }))
}
