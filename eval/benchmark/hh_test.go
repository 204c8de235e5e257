package benchmark

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/internal/testfiles"
	"steer/rl/data"
)

func TestHHPairs(t *testing.T) {
	turns := func(answer string) []data.Message {
		return []data.Message{{Role: data.RoleUser, Content: "q"}, {Role: data.RoleAssistant, Content: answer}}
	}
	var rows []data.HH
	for _, a := range [][2]string{{"3", "1"}, {"0", "1"}, {"2", "2"}, {"5", "4"}} {
		rows = append(rows, data.HH{Prompt: "\n\nHuman: q\n\nAssistant:", ChosenAnswer: " " + a[0],
			RejectedAnswer: " " + a[1], ChosenTurns: turns(a[0]), RejectedTurns: turns(a[1])})
	}
	var seen []eval.Exchange
	r := evaltest.Reward("r", func(x eval.Exchange) float32 {
		seen = append(seen, x)
		return float32(x.Turns[1].Content[0] - '0')
	})
	b, records, err := hhPairs(context.Background(), r, evaltest.Settings(), rows, 0)
	require.NoError(t, err)
	require.Equal(t, " 1", seen[1].ResponseText)
	require.InDelta(t, 2.5/4, b.Metrics["acc"], 1e-12) // 2 right, 1 wrong, 1 tie
	require.EqualValues(t, 1, b.Metrics["ties"])
	require.Contains(t, b.Flags, "ties=1")
	require.Equal(t, []float64{3, 1}, records[0].Scores)
	require.True(t, records[2].Tie)
	require.InDelta(t, 0.5, b.Metrics["margin"], 1e-12) // 2, -1, 0, 1
	l := func(x float64) float64 { return math.Log1p(math.Exp(-x)) }
	require.InDelta(t, (l(2)+l(-1)+l(0)+l(1))/4, b.Metrics["loss"], 1e-12)
	// Forecasts .5 (a tie: half came true), .731 (two: one came true) and .881 (one, true).
	s := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	require.InDelta(t, (0+2*(s(1)-0.5)+(1-s(2)))/4, b.Metrics["ece"], 1e-12)
	require.Len(t, b.Calibration, 3)
	lo, hi := b.Intervals["acc"][0], b.Intervals["acc"][1]
	require.Less(t, lo, 0.5)
	require.Greater(t, hi, 0.75)

	b, _, err = hhPairs(context.Background(), byText(func(string) float64 { return 2 }), evaltest.Settings(), rows, 0)
	require.NoError(t, err)
	require.Contains(t, b.Flags, "degenerate")
	require.InDelta(t, 0.5, b.Metrics["acc"], 1e-12)
	_, _, err = hhPairs(context.Background(), r, evaltest.Settings(), nil, 0)
	require.ErrorIs(t, err, eval.ErrNoItems)
}

// The shorter answer as the less harmful one, counted apart from this program.
func TestHHReal(t *testing.T) {
	rows, _, err := data.ReadHH(testfiles.Data(t, "hh-rlhf/harmless-base/test.jsonl"))
	require.NoError(t, err)
	b, _, err := hhPairs(context.Background(), byText(func(s string) float64 { return -float64(len(s)) }),
		evaltest.Settings(), rows, 0)
	require.NoError(t, err)
	require.Equal(t, 2312, b.N)
	require.InDelta(t, (1279+10.0/2)/2312, b.Metrics["acc"], 1e-12)
}
