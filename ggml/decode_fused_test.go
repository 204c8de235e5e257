package ggml

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// fast opens a decoding context of the default kind, with our kernels or libllama's.
func fast(t testing.TB, m *Model, plain bool, sequences, ctx int, adapters ...*Adapter) *Session {
	t.Helper()
	s, err := m.NewSession(SessionOptions{Sequences: sequences, Context: ctx, Adapters: adapters, plain: plain})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func logits(t testing.TB, s *Session, tokens []int32) []float32 {
	t.Helper()
	rows, err := s.Logits(tokens)
	require.NoError(t, err)
	return flat(rows)
}

// batchSizes lie on both sides of every threshold of the decoding kernels.
var batchSizes = []int{1, 2, 4, 5, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 100}

func randomStack(t testing.TB, m *Model, n int) []*Adapter {
	var stack []*Adapter
	for i := range n { // ranks 3, 3: odd, so that pairs of bf16 are filled up
		stack = append(stack, live(t, m, randomAdapter(t, m, adapter.Targets(), uint64(2+i), false), false))
	}
	return stack
}

// In f32 our kernels compute what libllama's do, for every size of batch, with none, one
// and two adapters, with rows that are no multiple of any vector and rows that are.
func TestFusedDecodeEqualsPlain(t *testing.T) {
	const tol = 2e-5 // of the largest logit
	even := blockShape
	even.Ctx = 128
	deep := gguftest.Shape{Layers: 1, Embd: 32, FF: 2304, Heads: 2, KVHeads: 1, Vocab: 40, Ctx: 128} // more than DEPTH
	for name, shape := range map[string]gguftest.Shape{"odd": tinyShape, "even": even, "deep": deep} {
		m := openTiny(t, tiny(t, shape, gguftest.Options{}))
		for adapters := range 3 {
			stack := randomStack(t, m, adapters)
			ours := session(t, m, SessionOptions{Sequences: 1, Context: 128, Adapters: stack})
			theirs := session(t, m, SessionOptions{Sequences: 1, Context: 128, Adapters: stack, plain: true})
			var worst float64
			for _, n := range batchSizes {
				tokens := raggedBatch(uint64(n), shape.Vocab, false, n)[0].Tokens
				want := logits(t, theirs, tokens)
				largest, _ := maxMean(logits(t, ours, tokens), want)
				scale, _ := maxMean(want, make([]float32, len(want)))
				require.LessOrEqual(t, largest, tol*scale, "%s, %d adapters, %d tokens", name, adapters, n)
				worst = max(worst, largest/scale)
			}
			t.Logf("%s, %d adapters: within %.1g of the largest logit", name, adapters, worst)
		}
	}
}

// The default path, by weight type and kernels: its distance from the exact forward pass
// of the trainer is printed beside that of libllama's own kernels, and bounded.
func TestFusedDecodeWeightTypes(t *testing.T) {
	const tolMean, tolMax = 0.05, 0.5 // nats, as for training in bf16
	shape := blockShape
	shape.Ctx = 128
	from := tiny(t, shape, gguftest.Options{})
	only := func(typ gguf.Type) func(string) gguf.Type { return func(string) gguf.Type { return typ } }
	t.Cleanup(func() { require.NoError(t, ForceKernel("")) })
	for _, c := range []struct {
		name   string
		typeOf func(string) gguf.Type
	}{
		{"F32", only(gguf.TypeF32)}, {"F16", only(gguf.TypeF16)}, {"BF16", only(gguf.TypeBF16)},
		{"Q8_0", only(gguf.TypeQ8_0)},
		{"Q4_0", only(gguf.TypeQ4_0)}, {"Q4_1", only(gguf.TypeQ4_1)}, {"Q4_K", only(gguf.TypeQ4K)},
		{"Q6_K", only(gguf.TypeQ6K)}, {"Q4_K_M", q4KM},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, _ := requantize(t, from, c.typeOf)
			m := openTiny(t, path)
			stack := randomStack(t, m, 1)
			exact := step(t, m, StepOptions{Adapters: stack, Precision: F32})
			plain := fast(t, m, true, 1, 128, stack...)
			for _, kernel := range []string{"portable", "avx2", "avx512", "avx512bf16"} {
				if ForceKernel(kernel) != nil {
					t.Logf("this machine has no %s", kernel)
					continue
				}
				ours := fast(t, m, false, 1, 128, stack...)
				var largest, mean, theirs float64
				for _, n := range []int{2, 5, 17, 40} {
					q := all(raggedBatch(uint64(n), shape.Vocab, false, n)[0].Tokens)
					want := forward(t, exact, []lm.Sequence{q}, lm.Options{}).Logprobs[0]
					l, a := maxMean(decodeLogprobs(t, ours, q.Tokens), want)
					p, _ := maxMean(decodeLogprobs(t, plain, q.Tokens), want)
					largest, mean, theirs = max(largest, l), max(mean, a), max(theirs, p)
				}
				t.Logf("%s: within %.2g of the exact path (mean %.2g); libllama's kernels within %.2g", kernel, largest,
					mean, theirs)
				require.LessOrEqual(t, mean, tolMean)
				require.LessOrEqual(t, largest, tolMax)
			}
			require.NoError(t, ForceKernel(""))
		})
	}
}

// What is computed does not depend on who computes it.
func TestFusedDecodeThreads(t *testing.T) {
	path, _ := requantize(t, tiny(t, blockShape, gguftest.Options{}), q4KM)
	for _, n := range []int{1, 3, 16, 33, 60} {
		tokens := raggedBatch(uint64(n), blockShape.Vocab, false, n)[0].Tokens
		var first []float32
		for threads := 1; threads <= 3; threads++ {
			m := openThreads(t, path, threads)
			got := logits(t, fast(t, m, false, 1, 64, randomStack(t, m, 2)...), tokens)
			if first == nil {
				first = got
			}
			require.Equal(t, first, got, "%d tokens, %d threads", n, threads)
		}
	}
}

// Every node that our kernels are meant for gets them: what is left to ggml is the
// look-up of the embedding, the writing of the cache, and the rows of the last layer that
// are wanted. An update of libllama that changes its graph shows here.
func TestFusedDecodeLeavesNothing(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	for adapters := range 3 {
		s := fast(t, m, false, 4, 64, randomStack(t, m, adapters)...)
		generate(t, s, lm.Sampling{}, lm.Request{Prompt: []int32{1, 2, 3}, MaxNew: 3},
			lm.Request{Prompt: []int32{4}, MaxNew: 3})
		var rest string
		require.NoError(t, s.do(func() error { rest = s.native.Rest(); return nil }))
		require.Equal(t, fmt.Sprintf("ADD 1, GET_ROWS 3, SET_ROWS %d", 2*tinyShape.Layers), rest, "%d adapters",
			adapters)
	}
}

// The fast path reads the very tensors that the optimizer writes.
func TestFusedDecodeSeesUpdates(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	trained := live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true)
	learner := step(t, m, StepOptions{Adapters: []*Adapter{trained}, Train: true, Precision: F32})
	s := fast(t, m, false, 1, 64, trained)
	q := all(raggedBatch(3, tinyShape.Vocab, false, 30)[0].Tokens)
	last := decodeLogprobs(t, s, q.Tokens)
	for range 3 {
		meanNLL(t, learner, []lm.Sequence{q}, len(q.Targets), lm.Options{}, true)
		_, err := learner.Update(lm.Update{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1})
		require.NoError(t, err)
		now := decodeLogprobs(t, s, q.Tokens)
		moved, _ := maxMean(now, last)
		require.Greater(t, moved, 0.01)
		want := forward(t, learner, []lm.Sequence{q}, lm.Options{}).Logprobs[0]
		away, _ := maxMean(now, want)
		require.LessOrEqual(t, away, 0.2, "bf16 keeps 8 bits of a factor")
		last = now
	}
}

// Beginnings that prompts have in common are read once, from slots that are busy,
// waiting, or done, and nothing changes by that but the number of tokens read.
func TestGenerateReadsBeginningsOnce(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	stack := randomStack(t, m, 1)
	tokens := raggedBatch(5, tinyShape.Vocab, false, 300)[0].Tokens
	header := tokens[:40]
	prompt := func(own ...int32) []int32 { return append(append([]int32{}, header...), own...) }
	var reqs []lm.Request
	for i := range 12 { // four prompts, three answers each
		own := tokens[100+20*(i/3) : 100+20*(i/3)+10+i/3]
		reqs = append(reqs, lm.Request{Prompt: prompt(own...), MaxNew: 4 + i%5, Seed: uint64(i)})
	}
	reqs = append(reqs, lm.Request{Prompt: tokens[200:230], MaxNew: 9}, lm.Request{Prompt: header, MaxNew: 5},
		lm.Request{Prompt: header[:5], MaxNew: 5})
	sp := lm.Sampling{Temperature: 1}
	for _, slots := range []int{1, 2, 5, len(reqs)} {
		s := session(t, m, SessionOptions{Sequences: slots, Context: 128, Adapters: stack})
		r := s.rollout(reqs)
		got, err := r.run(context.Background(), sp)
		require.NoError(t, err)
		for i := range reqs {
			require.Equal(t, generate(t, s, sp, reqs[i])[0], got[i], "%d slots, request %d", slots, i)
		}
		t.Logf("%d slots: %d prompt tokens read", slots, r.read)
		switch slots {
		case len(reqs): // header, 10+11+12+13 of their own, the last token of each copy, the others
			require.LessOrEqual(t, r.read, 40+10+11+12+13+8+30+1+5)
		default:
			require.Less(t, r.read, 300)
		}
	}
}

// On a GPU prompts that are read together are made equally long. That leaves no trace: what
// is sampled is what every request alone gets.
func TestGenerateAlignsPrompts(t *testing.T) {
	shape := tinyShape
	shape.Ctx = 1024
	m := openTiny(t, tiny(t, shape, gguftest.Options{}))
	stack := randomStack(t, m, 1)
	tokens := raggedBatch(5, tinyShape.Vocab, false, 1200)[0].Tokens
	var reqs []lm.Request
	for i, n := range []int{7, 31, 1, 8, 90, 30, 2, 600, 33, 64} { // 600: more than one batch
		reqs = append(reqs, lm.Request{Prompt: tokens[10*i : 10*i+n], MaxNew: 4 + i%5, Seed: uint64(i)})
	}
	// begins as another
	reqs = append(reqs, lm.Request{Prompt: tokens[40:135], MaxNew: 5}, lm.Request{Prompt: tokens[:3], MaxNew: 0})
	sp := lm.Sampling{Temperature: 1}
	for _, slots := range []int{1, 3, len(reqs)} {
		s := session(t, m, SessionOptions{Sequences: slots, Context: 640, Adapters: stack})
		r := s.rollout(reqs)
		r.aligned = true
		got, err := r.run(context.Background(), sp)
		require.NoError(t, err)
		for i := range reqs {
			require.Equal(t, generate(t, s, sp, reqs[i])[0], got[i], "%d slots, request %d", slots, i)
		}
	}
}
