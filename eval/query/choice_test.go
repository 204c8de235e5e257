package query

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/ggml/lm"
)

func items(n int) []Item {
	out := make([]Item, n)
	for i := range out {
		out[i] = NewItem(string(rune('a'+i)), i, "question "+string(rune('a'+i)), " ", i%2, "no", "yes!")
	}
	return out
}

func TestChooseDecides(t *testing.T) {
	m := &evaltest.Bigram{Scale: 2}
	records, err := Choose(context.Background(), evaltest.Subject(m), evaltest.Settings(), items(8), eval.Progress{})
	require.NoError(t, err)
	for _, r := range records {
		best, norm := 0, 0
		if r.LogProbs[1] > r.LogProbs[0] {
			best = 1
		}
		if r.LogProbs[1]/4 > r.LogProbs[0]/2 {
			norm = 1
		}
		require.Equal(t, best, r.Pred)
		require.Equal(t, norm, *r.PredNorm)
	}
	// A tie goes to the first choice.
	r := Decide(items(1)[0], []Likelihood{{LogProb: -1}, {LogProb: -1}})
	require.Zero(t, r.Pred)
}

func TestChooseRefuses(t *testing.T) {
	ctx, set := context.Background(), evaltest.Settings()
	_, err := Choose(ctx, evaltest.Subject(&evaltest.Bigram{}), set, nil, eval.Progress{})
	require.ErrorIs(t, err, eval.ErrNoItems)
	twice := items(2)
	twice[1].ID = twice[0].ID
	_, err = Choose(ctx, evaltest.Subject(&evaltest.Bigram{}), set, twice, eval.Progress{})
	require.ErrorIs(t, err, eval.ErrDuplicateID)
	label := items(2)
	label[1].Gold = 2
	_, err = Choose(ctx, evaltest.Subject(&evaltest.Bigram{}), set, label, eval.Progress{})
	require.ErrorIs(t, err, eval.ErrLabel)
	require.ErrorContains(t, err, `item "b" (row 1): gold 2 of 2 choices`)
	_, err = Choose(ctx, evaltest.Subject(&evaltest.Bigram{Poison: true}), set, items(2), eval.Progress{})
	require.ErrorIs(t, err, eval.ErrNotFinite)
	_, err = Choose(ctx, evaltest.Subject(&evaltest.Bigram{FailWith: lm.ErrContextFull}), set, items(2),
		eval.Progress{})
	require.ErrorIs(t, err, lm.ErrContextFull)
	_, err = Choose(ctx, eval.Subject{Name: "m"}, set, items(2), eval.Progress{})
	require.ErrorContains(t, err, "need an evaluator and a tokenizer")
	set.MaxLength = 0
	_, err = Choose(ctx, evaltest.Subject(&evaltest.Bigram{}), set, items(2), eval.Progress{})
	require.ErrorContains(t, err, "max_length")
	set = evaltest.Settings()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Choose(cancelled, evaltest.Subject(&evaltest.Bigram{}), set, items(2), eval.Progress{})
	require.ErrorIs(t, err, context.Canceled)
}
