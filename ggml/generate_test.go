package ggml

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// withVocab copies a model without vocabulary and gives it one: <unk>, <s>, </s>, and
// pieces of which no two are alike ("▁a0", "b1", ...; every third starts a word).
func withVocab(t testing.TB, from string) string {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	w := gguf.NewWriter()
	for _, key := range f.Keys() {
		if key != "tokenizer.ggml.model" {
			w.SetValue(key, f.Value(key))
		}
	}
	n, err := f.Uint32("llama.vocab_size")
	require.NoError(t, err)
	tokens, types, scores := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}, []float32{0, 0, 0}
	for i := len(tokens); i < int(n); i++ {
		piece := fmt.Sprintf("%c%d", 'a'+i%26, i)
		if i%3 == 0 {
			piece = "▁" + piece
		}
		tokens, types, scores = append(tokens, piece), append(types, 1), append(scores, -float32(i))
	}
	w.SetString("tokenizer.ggml.model", "llama")
	w.SetString("tokenizer.ggml.pre", "default")
	w.SetStrings("tokenizer.ggml.tokens", tokens)
	w.SetFloat32s("tokenizer.ggml.scores", scores)
	w.SetInt32s("tokenizer.ggml.token_type", types)
	w.SetUint32("tokenizer.ggml.bos_token_id", 1)
	w.SetUint32("tokenizer.ggml.eos_token_id", 2)
	for _, info := range f.Tensors() {
		data, err := f.Float32Data(info.Name)
		require.NoError(t, err)
		w.AddF32(info.Name, info.Dims, data)
	}
	path := filepath.Join(t.TempDir(), "vocab.gguf")
	require.NoError(t, w.Save(path))
	return path
}

func generate(t testing.TB, s *Session, sp lm.Sampling, reqs ...lm.Request) []lm.Generation {
	t.Helper()
	gens, err := s.Generate(context.Background(), reqs, sp)
	require.NoError(t, err)
	require.Len(t, gens, len(reqs))
	return gens
}

// An answer depends on its request alone: not on what is decoded beside it, on the
// number of slots, on the order, or on whether a slot was used before.
func TestGenerateDependsOnTheRequestAlone(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	stack := []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 2, false), false)}
	sp := lm.Sampling{Temperature: 1.5, TopK: 50}
	var reqs []lm.Request
	// more than one prefill batch
	for i, q := range raggedBatch(4, tinyShape.Vocab, false, 7, 1, 120, 3, 250, 5, 1, 200, 90, 2, 60) {
		reqs = append(reqs, lm.Request{Prompt: q.Tokens, MaxNew: []int{20, 0, 1, 33}[i%4], Seed: uint64(i / 2)})
	}
	wide := generate(t, session(t, m, SessionOptions{Sequences: len(reqs), Context: 300, Adapters: stack}), sp, reqs...)
	narrow := session(t, m, SessionOptions{Sequences: 3, Context: 300, Adapters: stack})
	require.Equal(t, wide, generate(t, narrow, sp, reqs...), "3 slots, refilled")
	require.Equal(t, wide, generate(t, narrow, sp, reqs...), "the same session again")
	for i := range reqs {
		require.Len(t, wide[i].Tokens, reqs[i].MaxNew)
		require.Equal(t, lm.FinishLength, wide[i].Finish)
		require.Equal(t, wide[i], generate(t, narrow, sp, reqs[i])[0], "request %d alone", i)
	}
}

func TestGenerateFollowsItsSeed(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 4, Context: 64})
	req := lm.Request{Prompt: []int32{5, 6}, MaxNew: 30, Seed: 1}
	other := req
	other.Seed = 2
	sp := lm.Sampling{Temperature: 1}
	gens := generate(t, s, sp, req, other, req)
	require.Equal(t, gens[0], gens[2])
	require.NotEqual(t, gens[0], gens[1])
	greedy := generate(t, s, lm.Sampling{}, req, other)
	require.Equal(t, greedy[0], greedy[1], "greedy decoding draws nothing")
}

func TestGenerateStops(t *testing.T) {
	m := openTiny(t, withVocab(t, tiny(t, tinyShape, gguftest.Options{})))
	tok := m.Tokenizer()
	s := session(t, m, SessionOptions{Sequences: 4, Context: 128})
	sp := lm.Sampling{Temperature: 2}
	req := lm.Request{Prompt: []int32{1, 5}, MaxNew: 60, Seed: 3}
	free := generate(t, s, sp, req)[0]
	require.Len(t, free.Tokens, 60)
	text := tok.Decode(free.Tokens, true)

	cutAt := func(stop string) int { // tokens until stop is complete
		for n := range free.Tokens {
			if strings.Contains(tok.Decode(free.Tokens[:n+1], true), stop) {
				return n + 1
			}
		}
		t.Fatalf("%q is not in %q", stop, text)
		return 0
	}
	expect := func(what string, r lm.Request, n int, reason lm.FinishReason) {
		t.Helper()
		// beside others, whose streams must not care
		gens := generate(t, s, sp, req, r, req)
		require.Equal(t, free, gens[0])
		require.Equal(t, free, gens[2])
		require.Equal(t, lm.Generation{Tokens: free.Tokens[:n], Finish: reason}, gens[1], what)
	}

	r := req
	r.StopTokens = []int32{9999, free.Tokens[12]}
	first := slices.Index(free.Tokens, free.Tokens[12]) + 1
	expect("stop token", r, first, lm.FinishStopToken)
	r.MaxNew = first
	expect("stop token in the last place", r, first, lm.FinishStopToken)
	r.MaxNew = first - 1
	expect("no room for the stop token", r, first-1, lm.FinishLength)

	// the end of one token and the beginning of the next
	a, b := tok.Decode(free.Tokens[20:21], true), tok.Decode(free.Tokens[21:22], true)
	stop := a[len(a)-1:] + b[:2]
	r = req
	r.StopStrings = []string{"never", stop}
	expect("stop string over two tokens", r, cutAt(stop), lm.FinishStopString)

	r.StopStrings = []string{"never"}
	expect("a stop string that does not occur", r, 60, lm.FinishLength)
	r.MaxNew = 7
	expect("length", r, 7, lm.FinishLength)

	// what the prompt holds stops nothing
	r = lm.Request{Prompt: append([]int32{1, 5}, free.Tokens[:22]...), MaxNew: 3, Seed: 3, StopStrings: []string{stop}}
	require.Len(t, generate(t, s, lm.Sampling{}, r)[0].Tokens, 3)
}

func TestGenerateNothing(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 2, Context: 64})
	require.Empty(t, generate(t, s, lm.Sampling{}))
	gens := generate(t, s, lm.Sampling{}, lm.Request{Prompt: []int32{1}}, lm.Request{Prompt: []int32{1}})
	for _, g := range gens {
		require.Empty(t, g.Tokens)
		require.Equal(t, lm.FinishLength, g.Finish)
	}
}

// A prompt and its answer may fill the context to the last token, and not more.
func TestGenerateFillsTheContext(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 2, Context: 300})
	long := raggedBatch(4, tinyShape.Vocab, false, 290)[0].Tokens
	gens := generate(t, s, lm.Sampling{}, lm.Request{Prompt: long, MaxNew: 10},
		lm.Request{Prompt: long[:1], MaxNew: 299})
	require.Len(t, gens[0].Tokens, 10)
	require.Len(t, gens[1].Tokens, 299)
	for _, r := range []lm.Request{{Prompt: long, MaxNew: 11}, {Prompt: append(long, long...)}} {
		_, err := s.Generate(context.Background(), []lm.Request{{Prompt: long, MaxNew: 1}, r}, lm.Sampling{})
		require.ErrorIs(t, err, lm.ErrContextFull)
		require.ErrorContains(t, err, "request 1")
		require.ErrorContains(t, err, "room for 300")
	}
}

// A cancelled call ends between two tokens; the session goes on.
func TestGenerateCancelled(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := session(t, m, SessionOptions{Sequences: 2, Context: 300})
	reqs := []lm.Request{{Prompt: []int32{4}, MaxNew: 20, Seed: 1}}
	want := generate(t, s, lm.Sampling{Temperature: 1}, reqs...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Generate(ctx, reqs, lm.Sampling{Temperature: 1})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, want, generate(t, s, lm.Sampling{Temperature: 1}, reqs...))
}
