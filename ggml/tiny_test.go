package ggml

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// tinyShape is small enough for a double-precision reference, and big enough that
// every part of a layer has more than one of everything.
var tinyShape = gguftest.Shape{Layers: 2, Embd: 36, FF: 53, Heads: 6, KVHeads: 3, Vocab: 71, Ctx: 320}

// tiny writes a random model and returns its path.
func tiny(t testing.TB, s gguftest.Shape, opt gguftest.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, s, 1, opt))
	return path
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// randomAdapter is an adapter whose A and B are both far from zero, so that no
// gradient vanishes: with rank 3, no multiple of any vector width.
func randomAdapter(t testing.TB, m *Model, targets []string, seed uint64, head bool) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(m.Shape(), targets, 3, 4, false, seed)
	require.NoError(t, err)
	rng := random(seed)
	for i := range a.Pairs {
		for j := range a.Pairs[i].B {
			a.Pairs[i].B[j] = float32(0.2 * rng.NormFloat64())
		}
	}
	if head {
		a.Head = adapter.NewValueHead(m.Shape().Embd, seed)
	}
	return a
}

// raggedBatch draws sequences of the given lengths. Every sequence has a dropout
// seed of its own; the first is asked for everything, later ones for ever fewer
// targets and heads, so that holes are among them.
func raggedBatch(seed uint64, vocab int, heads bool, lengths ...int) []lm.Sequence {
	rng := random(seed)
	batch := make([]lm.Sequence, len(lengths))
	for i, n := range lengths {
		q := &batch[i]
		q.DropoutSeed = rng.Uint64()
		for p := range n {
			q.Tokens = append(q.Tokens, int32(rng.IntN(vocab)))
			if p > 0 && rng.IntN(i+1) == 0 {
				q.Targets = append(q.Targets, int32(p))
			}
			if heads && rng.IntN(i+1) == 0 {
				q.Heads = append(q.Heads, int32(p))
			}
		}
	}
	return batch
}

// randomGradient is a loss Σ c·output with random c: its gradient with respect to
// every output is known and no two are alike.
func randomGradient(seed uint64, batch []lm.Sequence, entropy bool) lm.Gradient {
	rng := random(seed)
	g := lm.Gradient{}
	draw := func(n int) []float32 {
		c := make([]float32, n)
		for i := range c {
			c[i] = float32(rng.NormFloat64())
		}
		return c
	}
	for _, q := range batch {
		g.Logprobs = append(g.Logprobs, draw(len(q.Targets)))
		g.Heads = append(g.Heads, draw(len(q.Heads)))
		if entropy {
			g.Entropy = append(g.Entropy, draw(len(q.Targets)))
		}
	}
	return g
}

// gradients runs a batch forth and back and returns the gradients, which it clears.
func gradients(t testing.TB, s *Step, batch []lm.Sequence, g lm.Gradient, opt lm.Options) (*lm.Output, []lm.Tensor) {
	t.Helper()
	opt.Gradient = true
	out := forward(t, s, batch, opt)
	require.NoError(t, s.Backward(g))
	grads, err := s.Gradients()
	require.NoError(t, err)
	require.NoError(t, s.ZeroGrad())
	return out, grads
}

// requireClose requires every tensor of got within tol of want, relative L2.
func requireClose(t testing.TB, want, got []lm.Tensor, tol float64, what string) (worst float64) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		e := relativeError(got[i].Data, want[i].Data)
		require.LessOrEqual(t, e, tol, "%s: gradient of %s", what, want[i].Name)
		worst = max(worst, e)
	}
	return worst
}

// flat lays nested outputs end to end.
func flat(x [][]float32) (out []float32) {
	for _, v := range x {
		out = append(out, v...)
	}
	return out
}

// openTiny loads a model on one thread: a tiny graph is over before two threads have
// waited for each other, above all on a busy machine.
func openTiny(t testing.TB, path string) *Model { return openThreads(t, path, 1) }

// openThreads is open with a number of threads.
func openThreads(t testing.TB, path string, threads int) *Model {
	t.Helper()
	dev, err := OpenDevice(testDevice(t, threads))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close()) })
	m, err := LoadModel(dev, path, ModelOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func layerName(layer int, target string) string {
	return fmt.Sprintf("blk.%d.%s.weight", layer, target)
}
