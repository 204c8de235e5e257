package ggml

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// differenceCase is one model, stack and loss whose gradients are compared with
// finite differences in double precision.
type differenceCase struct {
	name        string
	shape       func(*gguftest.Shape)
	opt         gguftest.Options
	stack       func(testing.TB, *Model) []*adapter.Adapter // nil: all seven targets and a head
	entropy     bool
	temperature float32
	dropout     float32
	keep        bool // activations
}

var differenceCases = []differenceCase{
	{name: "plain"},
	{name: "entropy", entropy: true},
	{name: "temperature 0.6", temperature: 0.6},
	{name: "temperature 1.7 with entropy", temperature: 1.7, entropy: true},
	{name: "as many kv heads as heads", shape: func(s *gguftest.Shape) { s.KVHeads = 6 }},
	{name: "three heads for a kv head", shape: func(s *gguftest.Shape) { s.KVHeads = 2 }},
	{name: "one kv head", shape: func(s *gguftest.Shape) { s.KVHeads = 1 }},
	{name: "wide heads", shape: func(s *gguftest.Shape) { s.Heads, s.KVHeads = 2, 1 }},
	{name: "untied", opt: gguftest.Options{Untied: true}},
	{name: "rope frequency factors", opt: gguftest.Options{RopeFreqs: true}},
	{name: "F16 weights", opt: gguftest.Options{F16: true}},
	{name: "activations kept", keep: true},
	{name: "dropout", dropout: 0.3, entropy: true},
	{name: "two adapters", stack: func(t testing.TB, m *Model) []*adapter.Adapter {
		return []*adapter.Adapter{randomAdapter(t, m, adapter.Targets(), 5, false),
			randomAdapter(t, m, adapter.Targets(), 6, true)}
	}},
	{name: "two adapters, the head in the frozen one, dropout", dropout: 0.2,
		stack: func(t testing.TB, m *Model) []*adapter.Adapter {
			return []*adapter.Adapter{randomAdapter(t, m, adapter.Targets(), 5, true),
				randomAdapter(t, m, []string{"attn_v", "ffn_down"}, 6, false)}
		}},
	{name: "upper layer only", stack: func(t testing.TB, m *Model) []*adapter.Adapter {
		a := randomAdapter(t, m, []string{"attn_k", "attn_output", "ffn_up"}, 5, true)
		pairs := a.Pairs
		a.Pairs = nil
		for _, p := range pairs {
			if layer, _, _ := splitName(p.Name); layer == 1 {
				a.Pairs = append(a.Pairs, p)
			}
		}
		return []*adapter.Adapter{a}
	}},
	{name: "head only", stack: func(t testing.TB, m *Model) []*adapter.Adapter {
		a := randomAdapter(t, m, adapter.Targets(), 5, true)
		a.Pairs = nil
		return []*adapter.Adapter{a}
	}},
	{name: "head without bias", stack: func(t testing.TB, m *Model) []*adapter.Adapter {
		a := randomAdapter(t, m, []string{"attn_q"}, 5, true)
		a.Head.HasBias, a.Head.Bias = false, 0
		return []*adapter.Adapter{a}
	}},
}

// Gradients of every trained tensor against central differences of a
// double-precision forward pass that shares nothing with the engine, and the
// forward pass itself with it.
func TestFiniteDifferences(t *testing.T) {
	for _, c := range differenceCases {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

// The same on every set of kernels this CPU can run.
func TestFiniteDifferencesOnEveryKernel(t *testing.T) {
	t.Cleanup(func() { require.NoError(t, ForceKernel("")) })
	for _, kernel := range []string{"portable", "avx2", "avx512", "avx512bf16"} {
		t.Run(kernel, func(t *testing.T) {
			if err := ForceKernel(kernel); err != nil {
				t.Skipf("this CPU cannot run these kernels: %v", err)
			}
			differenceCase{entropy: true, temperature: 1.3}.run(t)
		})
	}
}

func (c differenceCase) run(t *testing.T) {
	shape := tinyShape
	if c.shape != nil {
		c.shape(&shape)
	}
	path := tiny(t, shape, c.opt)
	m := openTiny(t, path)
	stack := []*adapter.Adapter{nil}
	if c.stack != nil {
		stack = c.stack(t, m)
	} else {
		stack[0] = randomAdapter(t, m, adapter.Targets(), 5, true)
	}
	var adapters []*Adapter
	for i, a := range stack {
		adapters = append(adapters, live(t, m, a, i == len(stack)-1))
	}
	s := step(t, m, StepOptions{Adapters: adapters, Train: true, Precision: F32, Dropout: c.dropout,
		KeepActivations: c.keep})
	w := newTwin(t, path, stack...)
	w.dropout = float64(c.dropout)
	if c.temperature != 0 {
		w.temperature = float64(c.temperature)
	}

	batch := raggedBatch(3, shape.Vocab, true, 9, 1, 7, 2, 6)
	batch[3].Targets, batch[3].Heads = nil, nil // a sequence nobody asks anything of
	g := randomGradient(4, batch, c.entropy)
	out, grads := gradients(t, s, batch, g, lm.Options{Entropy: c.entropy, EntropyGradient: c.entropy,
		Temperature: c.temperature, Dropout: c.dropout > 0})

	largest := 0.0
	differ := func(got []float32, want []float64) {
		require.Len(t, got, len(want))
		for i := range got {
			largest = max(largest, math.Abs(float64(got[i])-want[i]))
		}
	}
	for i, q := range batch {
		want := w.forward(t, q)
		differ(out.Logprobs[i], want.logprobs)
		differ(out.Heads[i], want.heads)
		if c.entropy {
			differ(out.Entropy[i], want.entropy)
		}
	}
	require.LessOrEqual(t, largest, 2e-5, "forward pass")

	// per tensor: the error of a few entries against the size of the whole gradient
	rng := random(9)
	worst, entries := 0.0, 0
	for k, tensor := range grads {
		size := norm(tensor.Data) / math.Sqrt(float64(len(tensor.Data)))
		require.NotZero(t, size, tensor.Name)
		var diff float64
		n := min(2, len(tensor.Data))
		for _, i := range rng.Perm(len(tensor.Data))[:n] {
			d := float64(tensor.Data[i]) - w.derivative(t, batch, g, k, i)
			diff += d * d / float64(n)
		}
		entries += n
		e := math.Sqrt(diff) / size
		require.LessOrEqual(t, e, 1e-4, tensor.Name)
		worst = max(worst, e)
	}
	t.Logf("forward: largest difference %.1g; %d gradient entries of %d tensors: largest error of a tensor "+
		"%.1g of its rms", largest, entries, len(grads), worst)
}
