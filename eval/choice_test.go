package eval

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

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
	m := &bigram{scale: 2}
	records, err := Choose(context.Background(), subject(m), testSettings(), items(8), Progress{})
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
	r := decide(items(1)[0], []Likelihood{{LogProb: -1}, {LogProb: -1}})
	require.Zero(t, r.Pred)
}

func TestChooseRefuses(t *testing.T) {
	ctx, set := context.Background(), testSettings()
	_, err := Choose(ctx, subject(&bigram{}), set, nil, Progress{})
	require.ErrorIs(t, err, ErrNoItems)
	twice := items(2)
	twice[1].ID = twice[0].ID
	_, err = Choose(ctx, subject(&bigram{}), set, twice, Progress{})
	require.ErrorIs(t, err, ErrDuplicateID)
	label := items(2)
	label[1].Gold = 2
	_, err = Choose(ctx, subject(&bigram{}), set, label, Progress{})
	require.ErrorIs(t, err, ErrLabel)
	require.ErrorContains(t, err, `item "b" (row 1): gold 2 of 2 choices`)
	_, err = Choose(ctx, subject(&bigram{poison: true}), set, items(2), Progress{})
	require.ErrorIs(t, err, ErrNotFinite)
	_, err = Choose(ctx, subject(&bigram{failWith: lm.ErrContextFull}), set, items(2), Progress{})
	require.ErrorIs(t, err, lm.ErrContextFull)
	_, err = Choose(ctx, Subject{Name: "m"}, set, items(2), Progress{})
	require.ErrorContains(t, err, "need an evaluator and a tokenizer")
	set.MaxLength = 0
	_, err = Choose(ctx, subject(&bigram{}), set, items(2), Progress{})
	require.ErrorContains(t, err, "max_length")
	set = testSettings()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Choose(cancelled, subject(&bigram{}), set, items(2), Progress{})
	require.ErrorIs(t, err, context.Canceled)
}
