package ggml

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// asking wants everything of some positions of each sequence.
func asking(rng *rand.Rand, sequences ...[]int32) []lm.Sequence {
	batch := make([]lm.Sequence, len(sequences))
	for i, tokens := range sequences {
		q := &batch[i]
		q.Tokens = tokens
		for p := range tokens {
			if p > 0 && (rng.IntN(3) > 0 || p == len(tokens)-1) {
				q.Targets = append(q.Targets, int32(p))
			}
			if rng.IntN(4) == 0 || len(tokens) == 1 {
				q.Heads = append(q.Heads, int32(p))
			}
		}
	}
	return batch
}

func run(from, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32((from + i*i) % tinyShape.Vocab)
	}
	return out
}

func join(parts ...[]int32) (out []int32) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// families are batches whose sequences share in every way there is.
func families() map[string][][]int32 {
	question, header := run(3, 97), run(11, 150)
	return map[string][][]int32{
		"answers of one token": {join(question, run(1, 1)), join(question, run(2, 1))},
		"answers of several tokens": {join(question, run(1, 3)), join(question, run(2, 40)),
			join(question, run(5, 7))},
		"questions under one header": {join(header, run(1, 30), run(7, 2)), join(header, run(1, 30), run(8, 1)),
			join(header, run(2, 33)), run(4, 20)},
		"one begins the other": {question, question[:40], question[:41], question[:1]},
		"all alike":            {question, question, question},
		"nothing in common":    {run(1, 30), run(2, 5), run(3, 1)},
		"beyond a block of keys": {join(header, run(1, 150), run(3, 3)), join(header, run(1, 150), run(4, 5)),
			join(header, run(6, 9))},
	}
}

func sharingStacks(t *testing.T, m *Model, p Precision) map[string]*Step {
	one := live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false)
	two := live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true)
	return map[string]*Step{
		"a stack": step(t, m, StepOptions{Adapters: []*Adapter{one, two}, Precision: p, Train: true}),
		"a head":  step(t, m, StepOptions{Head: two, Precision: p}),
	}
}

// Sequences that share a beginning get, to the bit, the answers that each gets by itself,
// and those of a forward pass for a gradient, which lays every sequence out whole.
func TestSharingChangesNothing(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	opt := lm.Options{Entropy: true, Greedy: true, Temperature: 0.8}
	eachPrecision(t, func(t *testing.T, p Precision) {
		for name, s := range sharingStacks(t, openTiny(t, path), p) {
			for family, sequences := range families() {
				batch := asking(random(7), sequences...)
				out := forward(t, s, batch, opt)
				for i := range batch {
					requireSame(t, forward(t, s, batch[i:i+1], opt), 0, out, i, name, family)
				}
				if s.trained == nil {
					continue
				}
				whole := opt
				whole.Gradient = true
				require.Equal(t, forward(t, s, batch, whole), out, "%s, %s", name, family)
			}
		}
	})
}

func requireSame(t *testing.T, want *lm.Output, i int, got *lm.Output, k int, what ...any) {
	t.Helper()
	require.Equal(t, want.Logprobs[i], got.Logprobs[k], what...)
	require.Equal(t, want.Entropy[i], got.Entropy[k], what...)
	require.Equal(t, want.Greedy[i], got.Greedy[k], what...)
	require.Equal(t, want.Heads[i], got.Heads[k], what...)
}

// Random batches of few words: the same, whatever is shared with whom and on how many threads.
func TestSharingChangesNothingAtRandom(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	rng := random(5)
	one, two := openThreads(t, path, 1), openThreads(t, path, 2)
	for _, p := range []Precision{F32, BF16} {
		s, other := sharingStacks(t, one, p)["a stack"], sharingStacks(t, two, p)["a stack"]
		for round := range 25 {
			sequences := make([][]int32, 2+rng.IntN(9))
			for i := range sequences {
				if i > 0 && rng.IntN(3) > 0 {
					from := sequences[rng.IntN(i)]
					sequences[i] = append(sequences[i], from[:rng.IntN(len(from)+1)]...)
				}
				for n := 1 + rng.IntN(60); n > 0; n-- {
					sequences[i] = append(sequences[i], int32(rng.IntN(2)))
				}
			}
			batch := asking(rng, sequences...)
			opt := lm.Options{Entropy: true, Greedy: true}
			out := forward(t, s, batch, opt)
			if round < 4 { // two threads wait long for each other on a busy machine
				require.Equal(t, out, forward(t, other, batch, opt), "on two threads")
			}
			for i := range batch {
				requireSame(t, forward(t, s, batch[i:i+1], opt), 0, out, i, sequences)
			}
		}
	}
}

// Choices cost their question once, and the last token of each nothing: it is a target only.
func TestSharedBatchesAreSmall(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	s := step(t, m, StepOptions{})
	question := run(3, 97)
	var batch []lm.Sequence
	for i := range 4 {
		batch = append(batch, lm.Sequence{Tokens: join(question, []int32{int32(i)}), Targets: []int32{97}})
	}
	flat, err := s.flatten(batch, lm.Options{Greedy: true})
	require.NoError(t, err)
	require.Equal(t, question, flat.Tokens)
	require.Equal(t, []int32{96, 96, 96, 96}, flat.Rows)
	require.Nil(t, flat.Parents)
	require.Equal(t, len(flat.Tokens), LaidOut(batch, lm.Options{}))
	require.Equal(t, 4*98, LaidOut(batch, lm.Options{Gradient: true}))

	tree := []lm.Sequence{all(join(question, run(1, 9))), all(join(question, run(2, 9)))}
	for _, b := range [][]lm.Sequence{batch, tree} {
		fresh := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
		s := step(t, fresh, StepOptions{})
		planned, err := fresh.Plan(Pass{Step: s, Batch: b, Options: lm.Options{Greedy: true}})
		require.NoError(t, err)
		forward(t, s, b, lm.Options{Greedy: true})
		require.Equal(t, s.ScratchBytes(), planned.Activations, "the plan knows what is shared")
	}
}

// Where each sequence has dropout of its own, or a gradient is wanted, nothing is shared.
func TestNothingIsSharedInTraining(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	l := live(t, m, randomAdapter(t, m, []string{"attn_q"}, 1, false), true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true, Dropout: 0.5})
	batch := []lm.Sequence{all(run(1, 20)), all(run(1, 20))}
	batch[1].DropoutSeed = 1
	for _, opt := range []lm.Options{{Gradient: true}, {Dropout: true}} {
		flat, err := s.flatten(batch, opt)
		require.NoError(t, err)
		require.Len(t, flat.Tokens, 40)
		require.Nil(t, flat.Parents)
	}
	out := forward(t, s, batch, lm.Options{Dropout: true})
	require.NotEqual(t, out.Logprobs[0], out.Logprobs[1])
}

func TestSharedFullKL(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	policy := step(t, m,
		StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), false)}})
	reference := step(t, m, StepOptions{})
	for family, sequences := range families() {
		batch := asking(random(7), sequences...)
		for i := range batch {
			if batch[i].Heads = nil; len(batch[i].Tokens) == 1 {
				batch[i] = all(run(2, 3))
			}
		}
		kl, err := policy.FullKL(context.Background(), reference, batch, lm.Options{Temperature: 1.2})
		require.NoError(t, err)
		for i := range batch {
			alone, err := policy.FullKL(context.Background(), reference, batch[i:i+1], lm.Options{Temperature: 1.2})
			require.NoError(t, err)
			require.Equal(t, alone[0], kl[i], "%s, sequence %d", family, i)
		}
	}
}
