package ggml

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// invariance is a batch with its loss on a model of its own, for statements that two
// ways of computing it agree.
type invariance struct {
	batch []lm.Sequence
	g     lm.Gradient
	opt   lm.Options
}

func newInvariance() invariance {
	batch := raggedBatch(11, tinyShape.Vocab, true, 9, 33, 1, 18, 5, 40, 290)
	batch[2].Heads = []int32{0} // its one token has no target
	return invariance{batch, randomGradient(12, batch, true), lm.Options{Entropy: true, EntropyGradient: true,
		Greedy: true, Temperature: 0.8, Dropout: true}}
}

// learner is a trainable stack of two adapters with dropout. The caller's options
// say how it computes.
func (v invariance) learner(t testing.TB, m *Model, opt StepOptions) *Step {
	opt.Adapters = []*Adapter{
		live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false),
		live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true),
	}
	opt.Train, opt.Dropout = true, 0.1
	return step(t, m, opt)
}

func (v invariance) run(t testing.TB, s *Step) (*lm.Output, []lm.Tensor) {
	return gradients(t, s, v.batch, v.g, v.opt)
}

// eachPrecision runs a test on both arithmetics.
func eachPrecision(t *testing.T, f func(*testing.T, Precision)) {
	for _, p := range []Precision{F32, BF16} {
		t.Run(string(p), func(t *testing.T) { f(t, p) })
	}
}

// Computing a layer again gives the bits it gave the first time, in less memory.
func TestCheckpointingChangesNothing(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	eachPrecision(t, func(t *testing.T, p Precision) {
		v := newInvariance()
		checkpointed := v.learner(t, openTiny(t, path), StepOptions{Precision: p})
		kept := v.learner(t, openTiny(t, path), StepOptions{Precision: p, KeepActivations: true})
		outA, gradA := v.run(t, checkpointed)
		outB, gradB := v.run(t, kept)
		require.Equal(t, outA, outB)
		require.Equal(t, gradA, gradB)
		t.Logf("bit-equal; scratch %d bytes checkpointed, %d kept", checkpointed.ScratchBytes(), kept.ScratchBytes())
		require.Less(t, checkpointed.ScratchBytes(), kept.ScratchBytes())
	})
}

// Fewer adapters take no more memory: a tensor that nothing reads would stay to the end.
func TestFewerAdaptersTakeNoMoreMemory(t *testing.T) {
	path := tiny(t, gguftest.Shape{Layers: 12, Embd: 36, FF: 151, Heads: 6, KVHeads: 3, Vocab: 71, Ctx: 320},
		gguftest.Options{})
	batch := raggedBatch(5, 71, false, 300)
	scratch := func(targets ...string) int64 {
		m := openTiny(t, path)
		s := step(t, m, StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, targets, 1, false), true)},
			Train: true, Precision: BF16})
		forward(t, s, batch, lm.Options{Gradient: true})
		return s.ScratchBytes()
	}
	all := scratch(adapter.Targets()...)
	for _, target := range adapter.Targets() {
		require.LessOrEqual(t, scratch(target), all, target)
	}
}

// A forward pass alone gives the bits of one that keeps what a backward pass needs, with
// a gradient of the entropies or without.
func TestGradientChangesNoOutput(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	eachPrecision(t, func(t *testing.T, p Precision) {
		v := newInvariance()
		s := v.learner(t, openTiny(t, path), StepOptions{Precision: p})
		with, _ := v.run(t, s)
		v.opt.EntropyGradient, v.g.Entropy = false, nil
		without, _ := v.run(t, s)
		require.Equal(t, with, without)
		require.Equal(t, with, forward(t, s, v.batch, v.opt))
	})
}

// The number of threads changes no bit.
func TestThreadsChangeNothing(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	eachPrecision(t, func(t *testing.T, p Precision) {
		v := newInvariance()
		one, gradsOne := v.run(t, v.learner(t, openThreads(t, path, 1), StepOptions{Precision: p}))
		two, gradsTwo := v.run(t, v.learner(t, openThreads(t, path, 2), StepOptions{Precision: p}))
		require.Equal(t, one, two)
		require.Equal(t, gradsOne, gradsTwo)
	})
}

// The micro-batch size does not change the gradient: split as one likes, the parts
// add up. Only the order of f32 additions differs.
func TestMicroBatchesAddUp(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	eachPrecision(t, func(t *testing.T, p Precision) {
		v := newInvariance()
		s := v.learner(t, openTiny(t, path), StepOptions{Precision: p})
		_, whole := v.run(t, s)
		for _, size := range []int{1, 2, 4} {
			for from := 0; from < len(v.batch); from += size {
				to := min(from+size, len(v.batch))
				opt := v.opt
				opt.Gradient = true
				forward(t, s, v.batch[from:to], opt)
				require.NoError(t,
					s.Backward(lm.Gradient{Logprobs: v.g.Logprobs[from:to], Entropy: v.g.Entropy[from:to],
						Heads: v.g.Heads[from:to]}))
			}
			parts, err := s.Gradients()
			require.NoError(t, err)
			require.NoError(t, s.ZeroGrad())
			t.Logf("micro-batches of %d: largest relative error of a tensor %.1g", size,
				requireClose(t, whole, parts, 1e-5, "micro-batches"))
		}
	})
}

// A sequence's answers do not depend, to the bit, on what else is in the batch or on
// where it lies, and the gradient only through the order of additions.
func TestPlaceInTheBatchChangesNothing(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	eachPrecision(t, func(t *testing.T, p Precision) {
		v := newInvariance()
		s := v.learner(t, openTiny(t, path), StepOptions{Precision: p})
		out, grads := v.run(t, s)
		pick := func(order []int) invariance {
			w := invariance{opt: v.opt}
			for _, i := range order {
				w.batch = append(w.batch, v.batch[i])
				w.g.Logprobs = append(w.g.Logprobs, v.g.Logprobs[i])
				w.g.Entropy = append(w.g.Entropy, v.g.Entropy[i])
				w.g.Heads = append(w.g.Heads, v.g.Heads[i])
			}
			return w
		}
		for _, order := range [][]int{{6, 5, 4, 3, 2, 1, 0}, {2, 0, 5, 6, 1, 4, 3}, {3}, {1, 1}, {0, 6}} {
			w := pick(order)
			outW, gradsW := w.run(t, s)
			for k, i := range order {
				require.Equal(t, out.Logprobs[i], outW.Logprobs[k], "sequence %d in order %v", i, order)
				require.Equal(t, out.Entropy[i], outW.Entropy[k])
				require.Equal(t, out.Greedy[i], outW.Greedy[k])
				require.Equal(t, out.Heads[i], outW.Heads[k])
			}
			if len(order) == len(v.batch) {
				t.Logf("order %v: largest relative error of a gradient %.1g", order,
					requireClose(t, grads, gradsW, 1e-5, "order"))
			}
		}
	})
}

// Backward is linear in the gradient it is given, and nil means zero.
func TestBackwardIsLinear(t *testing.T) {
	v := newInvariance()
	s := v.learner(t, openTiny(t, tiny(t, tinyShape, gguftest.Options{})), StepOptions{Precision: F32})
	_, want := v.run(t, s)
	v.opt.Gradient = true
	for _, part := range []lm.Gradient{{Logprobs: v.g.Logprobs}, {Entropy: v.g.Entropy}, {Heads: v.g.Heads}, {}} {
		forward(t, s, v.batch, v.opt)
		require.NoError(t, s.Backward(part))
	}
	got, err := s.Gradients()
	require.NoError(t, err)
	requireClose(t, want, got, 1e-5, "sum of three parts")

	require.NoError(t, s.ZeroGrad())
	forward(t, s, v.batch, v.opt)
	g := lm.Gradient{Logprobs: slices.Clone(v.g.Logprobs)}
	g.Logprobs[1] = nil
	require.NoError(t, s.Backward(g))
	holes, err := s.Gradients()
	require.NoError(t, err)
	g.Logprobs[1] = make([]float32, len(v.g.Logprobs[1]))
	require.NoError(t, s.ZeroGrad())
	forward(t, s, v.batch, v.opt)
	require.NoError(t, s.Backward(g))
	zeros, err := s.Gradients()
	require.NoError(t, err)
	require.Equal(t, zeros, holes)
}
