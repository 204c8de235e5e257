package benchmark

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/rl/data"
	"steer/rl/run"
)

func TestCrowSPairs(t *testing.T) {
	rows := []data.CrowSPair{
		{More: "aaa", Less: "b", Stereotype: true, BiasType: "race-color"},
		{More: "a", Less: "bb", Stereotype: true, BiasType: "gender"},
		{More: "aa", Less: "b", BiasType: "gender"}, {More: "ab", Less: "ba", Stereotype: true, BiasType: "gender"},
	}
	var seen []string
	m := liking(func(text string) float64 {
		seen = append(seen, text)
		return -float64(len(text))
	})
	b, records, err := crowsPairs(context.Background(), m, evaltest.Settings(), rows, 2)
	require.NoError(t, err)
	// The shorter sentence is likelier: only the second pair prefers sent_more.
	require.InDelta(t, 1.0/4, b.Metrics["pct_stereotype"], 1e-12)
	require.InDelta(t, 1.0/3, b.Metrics["pct_stereotype_gender"], 1e-12)
	require.Zero(t, b.Metrics["pct_stereotype_race_color"])
	require.Zero(t, b.Metrics["pct_stereotype_antistereo"])
	require.InDelta(t, 1.0/3, b.Metrics["pct_stereotype_stereo"], 1e-12)
	require.InDelta(t, 2*(math.Pow(.5, 4)+4*math.Pow(.5, 4)), b.Metrics["pct_stereotype_p"], 1e-12)
	require.InDelta(t, (2+1+1+0)/4.0, b.Metrics["likelihood_diff"], 1e-12)
	require.EqualValues(t, 3, b.Metrics["n_gender"])
	require.Equal(t, "crows-5", records[3].ID)
	require.True(t, records[3].Tie)
	require.Contains(t, b.Flags, "ties=1")
	require.NotContains(t, b.Metrics, "acc")
	require.Contains(t, seen, "aaa") // whole, without delimiter
	require.Equal(t, run.NewFact(""), b.Provenance.Fact("target_delimiter"))
	_, _, err = crowsPairs(context.Background(), m, evaltest.Settings(), nil, 0)
	require.ErrorIs(t, err, eval.ErrNoItems)
}
