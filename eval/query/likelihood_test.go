package query

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
)

func TestLikelihoodByHand(t *testing.T) {
	m := &evaltest.Bigram{Scale: 3}
	got, err := Likelihoods(context.Background(), m, []Request{{Context: []int32{5, 6}, Continuation: []int32{7, 8}}},
		100, 100, nil)
	require.NoError(t, err)
	a, _ := m.Logprob(6, 7, 1)
	b, _ := m.Logprob(7, 8, 1)
	require.InDelta(t, a+b, got[0].LogProb, 1e-5)
	require.False(t, got[0].Greedy)
	require.Zero(t, got[0].Cut)

	best := int32(0)
	for v := range int32(evaltest.Vocab) {
		if _, g := m.Logprob(6, v, 1); g {
			best = v
		}
	}
	got, err = Likelihoods(context.Background(), m, []Request{{Context: []int32{6}, Continuation: []int32{best}}},
		100, 100, nil)
	require.NoError(t, err)
	require.True(t, got[0].Greedy)
}

// What a batch holds must not change an answer, and no batch may exceed its bound.
func TestLikelihoodBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var reqs []Request
	for range 60 {
		ids := make([]int32, 3+r.IntN(30))
		for i := range ids {
			ids[i] = int32(r.IntN(evaltest.Vocab))
		}
		k := max(1+r.IntN(len(ids)-1), len(ids)-20)
		reqs = append(reqs, Request{Context: ids[:k], Continuation: ids[k:]})
	}
	one, many := &evaltest.Bigram{Scale: 1}, &evaltest.Bigram{Scale: 1}
	a, err := Likelihoods(context.Background(), one, reqs, 20, 1, nil)
	require.NoError(t, err)
	require.Len(t, one.Batches, len(reqs))
	done := 0
	var tokens int64
	b, err := Likelihoods(context.Background(), many, reqs, 20, 100, func(n int, k int64) { done, tokens = n, k })
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, len(reqs), done)
	for i, n := range many.Batches {
		require.LessOrEqual(t, n, 100)
		require.True(t, i == 0 || n <= many.Batches[i-1], "the largest first")
	}
	require.EqualValues(t, many.Tokens, tokens)
	require.LessOrEqual(t, many.Longest, 21)
}

func TestTruncationKeepsContinuation(t *testing.T) {
	// Ten context tokens, three of continuation, max_length 6: the model is given
	// the last six of the first twelve, so four context tokens stay.
	ids := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22}
	s, cut, err := sequence(Request{Context: ids[:10], Continuation: ids[10:]}, 6)
	require.NoError(t, err)
	require.Equal(t, ids[6:], s.Tokens)
	require.Equal(t, []int32{4, 5, 6}, s.Targets)
	require.Equal(t, 6, cut)
	_, _, err = sequence(Request{Context: ids[:1], Continuation: ids[1:]}, 11)
	require.ErrorIs(t, err, eval.ErrTooLong)
	s, cut, err = sequence(Request{Context: ids[:1], Continuation: ids[1:]}, 12)
	require.NoError(t, err)
	require.Zero(t, cut)
	require.Len(t, s.Tokens, 13)
}
