package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
)

func TestInterpolateInTheRootOfTheKL(t *testing.T) {
	points := [][2]float64{{0, 1}, {1, 3}, {4, 4}}
	require.Equal(t, 1.0, interpolate(points, 0))
	require.InDelta(t, 2, interpolate(points, 0.25), 1e-12)
	require.InDelta(t, 3.5, interpolate(points, 2.25), 1e-12)
	require.Equal(t, 1.0, interpolate(points, -0.1), "an estimate below 0 is 0")
	require.True(t, math.IsNaN(interpolate(points, 4.1)))
}

// frontierReport is a matrix of one reward with a policy within reach of best-of-n, and one beyond.
func frontierReport() *Report {
	cell := func(mean float64) Cell {
		lo, hi := mean-0.1, mean+0.1
		return Cell{Cell: run.Cell{Mean: mean, Lo: &lo, Hi: &hi, N: 50}}
	}
	m := &Matrix{Policies: []string{"base", "sft", "bon", "near", "far"}, Rewards: []string{"virtue"}, Reference: "sft",
		Own: []int{-1, -1, 0, 0, 0}, KL: map[string]Interval{}}
	for i, mean := range []float64{-1, 0, 1, 0.75, 2} {
		m.Norm = append(m.Norm, []Cell{cell(mean)})
		if kl := []float64{30, 0, 1, 0.25, 9}[i]; m.Policies[i] != "sft" {
			m.KL[m.Policies[i]] = Interval{Mean: kl}
		}
	}
	return &Report{
		Theories: []string{"virtue"}, Matrix: m,
		Models: []Model{{Name: "base", Role: "base"}, {Name: "sft", Role: "sft"},
			{Name: "bon", Role: "policy", Theory: "virtue", BestOf: 4},
			{Name: "near", Role: "policy", Theory: "virtue"},
			{Name: "far", Role: "policy", Theory: "virtue"}},
		Policies: []run.ExperimentPolicy{
			{Name: "bon", Method: "best_of_n", BestOf: 4, Rewards: []run.RewardUse{{Name: "virtue", Weight: 1}}},
			{Name: "near", Method: "dpo", Theory: "virtue"},
			{Name: "far", Method: "grpo", Preset: "rloo", Combine: "min", Constraints: []string{"virtue at least 0"},
				Rewards: []run.RewardUse{{Name: "virtue", Weight: 1}, {Name: "care", Weight: 0.5}}},
		},
	}
}

func TestFrontier(t *testing.T) {
	r := frontierReport()
	r.fillPolicies()
	r.fillFrontier()
	require.Equal(t, []PolicyRow{
		{"bon", "best of 4", "the reward virtue"}, {"near", "DPO", "pairs of virtue"},
		{"far", "GRPO (rloo)", "min of virtue, 0.5 care; virtue at least 0"},
	}, r.PolicyRows)
	require.Len(t, r.Frontier, 2)
	require.Equal(t, "near", r.Frontier[0].Policy)
	require.InDelta(t, 0.5, *r.Frontier[0].BestOf, 1e-12)
	require.InDelta(t, 0.25, *r.Frontier[0].Gain, 1e-12)
	require.Nil(t, r.Frontier[1].BestOf, "beyond the largest n")
	require.Equal(t, "At the same KL as best-of-n, under the reward of its theory, the mean score is higher for near; "+
		"1 policy goes farther than the largest n. These are means without a test.", r.verdictFrontier())
	require.Len(t, r.Charts, 1)
	var labels []string
	for _, l := range r.Charts[0].Lines {
		labels = append(labels, l.Label)
	}
	require.Equal(t, []string{"1 sft", "2 bon", "3 near", "4 far", "best of n"}, labels, "the base is no policy")
	svg, err := r.Charts[0].svg("x")
	require.NoError(t, err)
	require.Contains(t, string(svg), "3 near at 0.25")
}
