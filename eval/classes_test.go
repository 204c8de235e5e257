package eval

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// scikit-learn 1.9.1 gives the same: .5222329678670935, .6666666666666666,
// .6555555555555556 and .5.
func TestClasses(t *testing.T) {
	gold, pred := []int{0, 0, 1, 1, 2, 2}, []int{0, 1, 1, 1, 2, 0}
	b := NewSummary("x", ProtocolLogLik, "m", "v", 6, testSettings())
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
	b = NewSummary("x", ProtocolLogLik, "m", "v", 3, testSettings())
	require.NoError(t, b.AddClasses([]int{0, 1, 2}, []int{1, 1, 1}))
	require.Equal(t, []string{"degenerate"}, b.Flags)
	require.Zero(t, b.Metrics["mcc"])
	b = NewSummary("x", ProtocolLogLik, "m", "v", 3, testSettings())
	require.NoError(t, b.AddClasses([]int{1, 1, 1}, []int{1, 0, 2}))
	require.Equal(t, []string{"one_class"}, b.Flags)
}

func TestEntropyByHand(t *testing.T) {
	b := NewSummary("x", ProtocolLogLik, "m", "v", 3, testSettings())
	records := []Record{
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
	require.InDelta(t, 1, math.Exp(logSoftmax([]float64{-900, -901})[0])+math.Exp(logSoftmax([]float64{-900, -901})[1]), 1e-12)
}

func TestScruplesClasses(t *testing.T) {
	rows := anecdotes(60, "f")
	for i := range rows {
		l := &rows[i].LabelScores
		l.Everybody, l.Nobody, l.Info = i%3, (i*i)%4, (i+1)%2
		votes, best := classVotes(rows[i]), 0
		for k, v := range votes {
			if v > votes[best] {
				best = k
			}
		}
		rows[i].Label = scruplesClasses[best]
	}
	items, err := ScruplesClassItems(rows, 2, " ")
	require.NoError(t, err)
	require.Equal(t, scruplesStory(rows[1])+"\n\nQuestion: Who is in the wrong in this story: the AUTHOR, the OTHER people, EVERYBODY, NOBODY, or is there not enough INFO to tell?\nAnswer:", items[1].Choices[0].Context)
	require.Equal(t, " INFO", items[1].Choices[4].Continuation)
	require.Equal(t, 3, items[1].Row)
	b, records, err := ScruplesClasses(context.Background(), subject(&bigram{scale: 4}), testSettings(), rows, 0)
	require.NoError(t, err)
	require.Len(t, records[0].LogProbs, 5)
	for _, name := range []string{"acc", "mcc", "balanced_acc", "macro_f1", "kappa", "majority_acc", "xent", "xent_prior", "ceiling_acc", "ceiling_mcc", "ceiling_macro_f1", "ceiling_xent", "predicted_AUTHOR", "coverage"} {
		require.Contains(t, b.Metrics, name)
	}
	require.Less(t, b.Metrics["ceiling_xent"], b.Metrics["xent"])
	require.Equal(t, ProtocolLogLik5, b.Protocol)
	rows[0].Label = "READER"
	_, _, err = ScruplesClasses(context.Background(), subject(&bigram{}), testSettings(), rows, 0)
	require.ErrorIs(t, err, ErrLabel)

	// The binary form has the cross-entropy too; the reward protocol has no probabilities.
	b, _, err = ScruplesLabels(context.Background(), subject(&bigram{scale: 4}), testSettings(), anecdotes(40, "a"), 0)
	require.NoError(t, err)
	require.Contains(t, b.Metrics, "xent")
	require.Contains(t, b.Intervals, "xent")
	require.Contains(t, b.Metrics, "ceiling_xent")
	require.Contains(t, b.Flags, "without_votes=1")
}
