package ggml

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// eachKernel runs a test with every set of CPU kernels that this machine has.
func eachKernel(t *testing.T, f func(t *testing.T, kernel string)) {
	t.Cleanup(func() { require.NoError(t, ForceKernel("")) })
	for _, kernel := range []string{"portable", "avx2", "avx512", "avx512bf16"} {
		if err := ForceKernel(kernel); err != nil {
			t.Logf("this machine has no %s", kernel)
			continue
		}
		f(t, kernel)
	}
	require.NoError(t, ForceKernel(""))
}

// decodedLogits decodes sequences together, all but the last of each one's tokens first and then, at once, the last,
// and returns the logits after it.
func decodedLogits(t testing.TB, s *Session, prompts [][]int32) [][]float32 {
	t.Helper()
	out := make([][]float32, len(prompts))
	require.NoError(t, s.do(func() error {
		s.native.Clear()
		var last decodeBatch
		for i, p := range prompts {
			var b decodeBatch
			for k, id := range p[:len(p)-1] {
				b.add(id, int32(k), i)
			}
			if len(b.tokens) > 0 {
				if err := s.native.Decode(b.tokens, b.pos, b.seq, b.after, b.uniform, cgo.Sampling{},
					b.next); err != nil {
					return err
				}
			}
			last.add(p[len(p)-1], int32(len(p)-1), i)
			last.draw(i, 0)
		}
		if err := s.native.Decode(last.tokens, last.pos, last.seq, last.after, last.uniform, cgo.Sampling{},
			last.next); err != nil {
			return err
		}
		for i := range out {
			out[i] = make([]float32, s.m.info.Vocab)
			if err := s.native.Logits(i, out[i]); err != nil {
				return err
			}
		}
		return nil
	}))
	return out
}

// promptsOf are n prompts of 3 to 40 tokens; every other begins as the first does.
func promptsOf(n, vocab int, seed uint64) [][]int32 {
	rng := random(seed)
	prompts := make([][]int32, n)
	for i := range prompts {
		for range 3 + rng.IntN(38) {
			prompts[i] = append(prompts[i], int32(rng.IntN(vocab)))
		}
		if i > 0 && i%2 == 0 {
			prompts[i] = append(slices.Clone(prompts[0][:len(prompts[0])-1]), prompts[i]...)
		}
	}
	return prompts
}

// alone checks that what the first prompts get, tokens and logits to the bit, is the same by themselves as
// beside others (as many as counts say), beside other others, in another order, on one thread and on two, read
// whole or from a beginning that was read before.
func alone(t *testing.T, path string, threads, counts []int, adapters func(*Model) []*Adapter) {
	const watched, maxNew = 3, 6
	var wantLogits [][]float32
	var want []lm.Generation
	for _, n := range threads {
		m := openThreads(t, path, n)
		stack := adapters(m)
		vocab := m.info.Vocab
		prompts := promptsOf(64, vocab, 1)
		others := promptsOf(64, vocab, 2)
		for _, sequences := range counts {
			s := fast(t, m, false, sequences, 128, stack...)
			crowds := [][][]int32{prompts[:sequences]}
			if sequences > watched {
				crowds = append(crowds, slices.Concat(prompts[:watched], others[watched:sequences]))
				backwards := slices.Clone(prompts[:sequences])
				slices.Reverse(backwards)
				crowds = append(crowds, backwards)
			}
			for k, crowd := range crowds {
				place := func(i int) int { // where prompt i is
					if k == 2 {
						return sequences - 1 - i
					}
					return i
				}
				what := fmt.Sprintf("%d threads, %d sequences, crowd %d", n, sequences, k)
				logits := decodedLogits(t, s, crowd)
				var reqs []lm.Request
				for _, p := range crowd {
					reqs = append(reqs, lm.Request{Prompt: p, MaxNew: maxNew})
				}
				gens := generate(t, s, lm.Sampling{}, reqs...)
				if want == nil { // each by itself
					for i := range watched {
						wantLogits = append(wantLogits, decodedLogits(t, s, prompts[i:i+1])[0])
						want = append(want,
							generate(t, s, lm.Sampling{}, lm.Request{Prompt: prompts[i], MaxNew: maxNew})[0])
					}
				}
				for i := range min(watched, sequences) {
					require.True(t, slices.Equal(wantLogits[i], logits[place(i)]), "%s: the logits of prompt %d", what,
						i)
					require.Equal(t, want[i], gens[place(i)], "%s: the answer to prompt %d", what, i)
				}
			}
			require.NoError(t, s.Close())
		}
	}
}

func noAdapters(*Model) []*Adapter { return nil }

// What a sequence gets does not depend, to the bit, on what is decoded beside it: on every set of kernels, for every
// kind of weights, with an adapter.
func TestDecodingIsAlone(t *testing.T) {
	shape := blockShape
	shape.Ctx = 128
	from := tiny(t, shape, gguftest.Options{})
	only := func(typ gguf.Type) func(string) gguf.Type { return func(string) gguf.Type { return typ } }
	for _, c := range []struct {
		name   string
		typeOf func(string) gguf.Type
	}{
		{"F32", only(gguf.TypeF32)}, {"F16", only(gguf.TypeF16)}, {"BF16", only(gguf.TypeBF16)},
		{"Q8_0", only(gguf.TypeQ8_0)},
		{"Q4_0", only(gguf.TypeQ4_0)}, {"Q4_K_M", q4KM},
	} {
		path, _ := requantize(t, from, c.typeOf)
		eachKernel(t, func(t *testing.T, kernel string) {
			t.Run(c.name+"/"+kernel, func(t *testing.T) {
				alone(t, path, []int{1}, []int{1, 4, 8, 32}, func(m *Model) []*Adapter { return randomStack(t, m, 1) })
			})
		})
	}
}

// Rows that are no multiple of a vector, and sums deeper than are taken at a time.
func TestDecodingIsAloneInOddShapes(t *testing.T) {
	odd := tinyShape
	odd.Ctx = 128
	deep := gguftest.Shape{Layers: 1, Embd: 32, FF: 2304, Heads: 2, KVHeads: 1, Vocab: 40, Ctx: 128}
	for name, shape := range map[string]gguftest.Shape{"odd": odd, "deep": deep} {
		path := tiny(t, shape, gguftest.Options{})
		eachKernel(t, func(t *testing.T, kernel string) {
			t.Run(name+"/"+kernel, func(t *testing.T) {
				alone(t, path, []int{1, 2}, []int{1, 4, 33}, func(m *Model) []*Adapter { return randomStack(t, m, 2) })
			})
		})
	}
}

// The real model, whose greedy answers parted where the arithmetic changed with the batch.
func TestDecodingIsAloneRealModel(t *testing.T) {
	path := testfiles.Model(t)
	t.Run("bare", func(t *testing.T) { alone(t, path, []int{1}, []int{1, 4, 8, 32}, noAdapters) })
	t.Run("adapter", func(t *testing.T) {
		alone(t, path, []int{1}, []int{1, 4}, func(m *Model) []*Adapter {
			return []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 2, false), false)}
		})
	})
}
