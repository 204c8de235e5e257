package query

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval/evaltest"
	"steer/ggml/lm"
	"steer/ggml/prefix"
)

// asked is a sequence whose last tokens are targets.
func asked(tokens []int32, targets int) lm.Sequence {
	q := lm.Sequence{Tokens: tokens}
	for t := len(tokens) - targets; t < len(tokens); t++ {
		q.Targets = append(q.Targets, int32(t))
	}
	return q
}

func repeated(id int32, n int) []int32 { return slices.Repeat([]int32{id}, n) }

// The choices of an item are in one batch, where their context counts once.
func TestChoicesShareABatch(t *testing.T) {
	var seqs []lm.Sequence
	var groups []int
	for i := range 6 { // items in an order that is not that of their tokens
		story := append([]int32{int32(5 - i)}, repeated(9, 30)...)
		for c := range 3 {
			seqs = append(seqs, asked(append(slices.Clone(story), int32(20+c), 7), 2))
			groups = append(groups, i)
		}
	}
	for _, batch := range groupedBatches(seqs, func(i int) int { return groups[i] }, 100) {
		require.Len(t, batch, 6, "two stories of 31 tokens and 3 of choices: a third choice of a third one would "+
			"not fit")
		slices.Sort(batch)
		for _, at := range []int{0, 3} {
			require.Equal(t, groups[batch[at]], groups[batch[at+2]])
		}
	}
}

// Items under a common header are neighbours, and the header counts once a batch.
func TestHeadersShareABatch(t *testing.T) {
	var seqs []lm.Sequence
	for i := range 8 {
		header := repeated(int32(i%2), 60)
		seqs = append(seqs, asked(append(header, int32(30+i), 7, 7), 1))
	}
	got := Batches(seqs, 70)
	require.Len(t, got, 2)
	for _, batch := range got {
		for _, i := range batch {
			require.Equal(t, batch[0]%2, i%2)
		}
	}
}

// A group that no batch can hold comes apart; a sequence that none can hold goes alone.
func TestLargeGroupsComeApart(t *testing.T) {
	seqs := []lm.Sequence{asked(repeated(1, 31), 1), asked(repeated(2, 31), 1), asked(repeated(3, 31), 1),
		asked(repeated(4, 301), 1)}
	require.Equal(t, [][]int{{3}, {0, 1}, {2}}, groupedBatches(seqs, func(int) int { return 0 }, 70))
}

// Every sequence is in one batch, no batch exceeds the bound, and the same comes out again.
func TestBatchProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		seqs := make([]lm.Sequence, rng.IntN(30))
		groups := make([]int, len(seqs))
		for i := range seqs {
			ids := []int32{1}
			for range 1 + rng.IntN(20) {
				ids = append(ids, int32(rng.IntN(2)))
			}
			seqs[i], groups[i] = asked(ids, 1), rng.IntN(8)
		}
		limit := 1 + rng.IntN(60)
		of := func(i int) int { return groups[i] }
		got := groupedBatches(seqs, of, limit)
		require.Equal(t, got, groupedBatches(seqs, of, limit))
		var all []int
		before := 1 << 30
		for _, batch := range got {
			var c prefix.Counter
			for _, i := range batch {
				c.Add(prefix.Read(seqs[i]))
			}
			require.True(t, c.Tokens() <= limit || len(batch) == 1)
			require.LessOrEqual(t, c.Tokens(), before)
			before = c.Tokens()
			all = append(all, batch...)
		}
		slices.Sort(all)
		for i := range seqs {
			require.Equal(t, i, all[i])
		}
		require.Len(t, all, len(seqs))
	}
}

// The groups that requests name are those of the batches.
func TestLikelihoodsKeepGroupsTogether(t *testing.T) {
	var reqs []Request
	for i := range 4 {
		for c := range 2 {
			reqs = append(reqs, Request{Context: repeated(int32(1+i%3), 30+i), Continuation: []int32{int32(5 + c)},
				Group: i})
		}
	}
	m := &evaltest.Bigram{Scale: 1}
	_, err := Likelihoods(context.Background(), m, reqs, 100, 33, nil)
	require.NoError(t, err)
	require.Equal(t, []int{33, 32, 31}, m.Batches, "the context of a group's two requests is there once; those of "+
		"the first group begin the last's")
}
