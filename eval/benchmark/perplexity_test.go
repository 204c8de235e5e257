package benchmark

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/query"
	"steer/rl/run"
)

func TestTextWindows(t *testing.T) {
	ids := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8}
	got := textWindows(ids, 4, 2)
	require.Equal(t, []query.Request{
		{Context: ids[0:1], Continuation: ids[1:4]},
		{Context: ids[2:4], Continuation: ids[4:6]},
		{Context: ids[4:6], Continuation: ids[6:8]},
		{Context: ids[5:8], Continuation: ids[8:9]},
	}, got)
	require.Equal(t, []query.Request{{Context: ids[:1], Continuation: ids[1:]}}, textWindows(ids, 9, 3))
	require.Equal(t, []query.Request{{Context: ids[:1], Continuation: ids[1:]}}, textWindows(ids, 50, 3))
	for _, w := range [][2]int{{2, 1}, {5, 4}, {3, 1}, {7, 3}} {
		next := 1
		for _, r := range textWindows(ids, w[0], w[1]) {
			require.Equal(t, next, int(r.Continuation[0])) // every token once, none left out
			require.NotEmpty(t, r.Context)
			require.LessOrEqual(t, len(r.Context)+len(r.Continuation), w[0])
			next += len(r.Continuation)
		}
		require.Equal(t, len(ids), next)
	}
}

// A bigram model sees one token back, so the windows do not matter and the sum can be
// taken token by token.
func TestPerplexity(t *testing.T) {
	m := &evaltest.Bigram{Scale: 3}
	text := "Zwei Wörter und noch acht mehr stehen hier."
	nats := 0.0
	previous := int32(evaltest.BOS)
	for i := range len(text) {
		p, _ := m.Logprob(previous, int32(text[i]), 1)
		nats, previous = nats-p, int32(text[i])
	}
	n := float64(len(text)) // bytes, and tokens of the fake
	for _, w := range []PerplexityConfig{{}, {Context: 8, Stride: 3}, {Context: 2, Stride: 1}} {
		b, records, err := perplexity(context.Background(), evaltest.Subject(m), evaltest.Settings(), w, text)
		require.NoError(t, err)
		require.InDelta(t, nats/n, b.Metrics["nats_per_token"], 1e-5)
		require.InDelta(t, math.Exp(nats/n), b.Metrics["perplexity"], 1e-2)
		require.InDelta(t, nats/n/math.Ln2, b.Metrics["bits_per_byte"], 1e-5)
		require.InEpsilon(t, math.Exp(nats/8), b.Metrics["word_perplexity"], 1e-4)
		require.EqualValues(t, n, b.Metrics["tokens"])
		require.EqualValues(t, 8, b.Metrics["words"])
		require.Equal(t, run.NewFact(evaltest.BOS), b.Provenance.Fact("first_token_from"))
		sum := 0
		for i, r := range records {
			require.Equal(t, sum, r.Row, i)
			sum += r.Tokens
		}
		require.EqualValues(t, n, sum)
		if w.Context > 0 {
			require.Equal(t, run.NewFact(w.Context), b.Provenance.Fact("context"))
			lo, hi := b.Intervals["perplexity"][0], b.Intervals["perplexity"][1]
			require.Less(t, lo, b.Metrics["perplexity"])
			require.Greater(t, hi, b.Metrics["perplexity"])
		} else {
			require.Empty(t, b.Intervals)
		}
	}
	b, _, err := perplexity(context.Background(), evaltest.Subject(m), evaltest.Settings(),
		PerplexityConfig{File: File{Limit: 10}}, text)
	require.NoError(t, err)
	require.EqualValues(t, 10, b.Metrics["tokens"])
	require.EqualValues(t, 10, b.Metrics["bytes"])

	_, _, err = perplexity(context.Background(), evaltest.Subject(m), evaltest.Settings(),
		PerplexityConfig{Context: 5000}, text)
	require.ErrorContains(t, err, "perplexity.context is 5000")
	_, _, err = perplexity(context.Background(), eval.Subject{Name: "x"}, evaltest.Settings(), PerplexityConfig{}, text)
	require.ErrorContains(t, err, "need an evaluator")
	for _, w := range []PerplexityConfig{{Context: 4, Stride: 4}, {Context: 1}, {Stride: -1}, {File: File{First: 1}}} {
		cfg := DefaultConfig()
		cfg.Perplexity = w
		require.ErrorContains(t, cfg.Validate(), "eval: perplexity")
	}
}
