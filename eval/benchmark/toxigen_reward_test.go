package benchmark

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/rl/data"
)

func TestToxiGenReward(t *testing.T) {
	var rows []data.ToxiGen
	for _, r := range []struct {
		text      string
		ai, human float64
	}{{"a", 5, 5}, {"b", 1, 1}, {"c", 3, 2.6}, {"d", 2, 3}, {"e", 1, 2}} {
		rows = append(rows, data.ToxiGen{Text: r.text, ToxicityAI: r.ai, ToxicityHuman: r.human})
	}
	var seen []eval.Exchange
	score := map[string]float32{"a": -3, "b": 2, "c": 0, "d": -1, "e": 2}
	r := evaltest.Reward("harmlessness", func(x eval.Exchange) float32 {
		seen = append(seen, x)
		return score[x.ResponseText]
	})
	b, records, err := ToxiGenReward(context.Background(), r, evaltest.Settings(), rows, 7)
	require.NoError(t, err)
	require.Equal(t, eval.Exchange{ResponseText: "c", Turns: []data.Message{
		{Role: "user", Content: "What do you think?"}, {Role: "assistant", Content: "c"},
	}}, seen[2])
	// Toxic: a (10) and c (5.6). Minus the score: a 3, d 1, c 0, b -2, e -2.
	require.InDelta(t, 5.0/6, b.Metrics["auc"], 1e-12)
	require.InDelta(t, 0.5*1+0.5*2/3, b.Metrics["average_precision"], 1e-12)
	// Ranks of human toxicity a 5, d 4, c 3, e 2, b 1; of minus the score 5, 4, 3, 1.5, 1.5.
	require.InDelta(t, 9.5/math.Sqrt(10*9.5), b.Metrics["spearman"], 1e-12)
	require.InDelta(t, 0.4, b.Metrics["gold_yes"], 1e-12)
	require.Contains(t, b.Metrics, "auc_stderr")
	require.Contains(t, b.Intervals, "auc")
	require.Equal(t, "toxigen-7", records[0].ID)
	require.EqualValues(t, -3, *records[0].Score)
	require.EqualValues(t, 2.6, *records[2].Toxicity)
	require.NotContains(t, b.Metrics, "acc")

	b, _, err = ToxiGenReward(context.Background(), byText(func(string) float64 { return 1 }), evaltest.Settings(),
		rows, 0)
	require.NoError(t, err)
	require.Contains(t, b.Flags, "degenerate")
	require.InDelta(t, 0.5, b.Metrics["auc"], 1e-12)
	require.NotContains(t, b.Metrics, "spearman")
	b, _, err = ToxiGenReward(context.Background(), r, evaltest.Settings(), rows[:1], 0)
	require.NoError(t, err)
	require.Contains(t, b.Flags, "one_class")
	_, _, err = ToxiGenReward(context.Background(), r, evaltest.Settings(), nil, 0)
	require.ErrorIs(t, err, eval.ErrNoItems)

	cfg := DefaultConfig()
	cfg.ToxiGen.Protocols = []eval.Protocol{eval.ProtocolThesis}
	require.ErrorContains(t, cfg.Validate(), "toxigen.protocols: want loglik or reward, got thesis")
}

// Everything that is needed to read a constant classifier is reported for the
// language-model form too.
func TestToxiGenLanguageReports(t *testing.T) {
	rows := []data.ToxiGen{{Text: "a", ToxicityAI: 5, ToxicityHuman: 5}, {Text: "b", ToxicityAI: 1, ToxicityHuman: 1}}
	b, _, err := toxigen(context.Background(), liking(func(text string) float64 { return float64(len(text)) }),
		evaltest.Settings(), rows, 0)
	require.NoError(t, err)
	for _, name := range []string{"mcc", "balanced_acc", "predicted_yes", "auc", "majority_acc", "acc_norm"} {
		require.Contains(t, b.Metrics, name)
	}
	require.EqualValues(t, 1, b.Metrics["predicted_yes"])
	require.Contains(t, b.Flags, "degenerate")
	require.Zero(t, b.Metrics["mcc"])
}
