package ggml

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// blockShape has only rows of 256 and 512 elements, whole blocks of every type.
var blockShape = gguftest.Shape{Layers: 2, Embd: 256, FF: 512, Heads: 4, KVHeads: 2, Vocab: 300, Ctx: 64}

// requantize rewrites an F32 model twice: with its matrices in the types that typeOf
// names, and with the same rounded values in F32.
func requantize(t testing.TB, from string, typeOf func(name string) gguf.Type) (quantized, rounded string) {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	q, r := gguf.NewWriter(), gguf.NewWriter()
	for _, key := range f.Keys() {
		q.SetValue(key, f.Value(key))
		r.SetValue(key, f.Value(key))
	}
	for _, info := range f.Tensors() {
		data, err := f.Float32Data(info.Name)
		require.NoError(t, err)
		if len(info.Dims) < 2 {
			q.AddF32(info.Name, info.Dims, data)
			r.AddF32(info.Name, info.Dims, data)
			continue
		}
		typ := typeOf(info.Name)
		raw, err := cgo.Quantize(uint32(typ), data, int(info.Dims[0]))
		require.NoError(t, err)
		q.AddRaw(info.Name, typ, info.Dims, raw)
		back, err := cgo.Dequantize(uint32(typ), raw, int(info.Dims[1]), int(info.Dims[0]))
		require.NoError(t, err)
		r.AddF32(info.Name, info.Dims, back)
	}
	dir := t.TempDir()
	quantized, rounded = filepath.Join(dir, "quantized.gguf"), filepath.Join(dir, "rounded.gguf")
	require.NoError(t, q.Save(quantized))
	require.NoError(t, r.Save(rounded))
	return quantized, rounded
}

// q4KM mixes types as llama.cpp's Q4_K_M does: the output matrix and half of the
// value and down projections in Q6_K, the rest in Q4_K.
func q4KM(name string) gguf.Type {
	switch {
	case name == "token_embd.weight", name == "output.weight":
		return gguf.TypeQ6K
	case strings.HasPrefix(name, "blk.0.") && (strings.Contains(name, "attn_v") || strings.Contains(name, "ffn_down")):
		return gguf.TypeQ6K
	}
	return gguf.TypeQ4K
}

// A model in any type computes what the same rounded weights in F32 do: nothing of
// the weights is lost in the f32 path, forward or backward. The fast path's distance
// is printed.
func TestWeightTypes(t *testing.T) {
	const (
		tol     = 1e-4 // nats; and relative L2 of a tensor's gradient
		tolFast = 0.05 // bf16 keeps 8 bits of a factor
	)
	from := tiny(t, blockShape, gguftest.Options{})
	only := func(typ gguf.Type) func(string) gguf.Type { return func(string) gguf.Type { return typ } }
	batch := raggedBatch(3, blockShape.Vocab, true, 20, 33, 7)
	g := randomGradient(4, batch, true)
	for _, c := range []struct {
		name   string
		typeOf func(string) gguf.Type
	}{
		{"F32", only(gguf.TypeF32)}, {"F16", only(gguf.TypeF16)}, {"BF16", only(gguf.TypeBF16)},
		{"Q8_0", only(gguf.TypeQ8_0)},
		{"Q4_0", only(gguf.TypeQ4_0)}, {"Q4_1", only(gguf.TypeQ4_1)}, {"Q5_0", only(gguf.TypeQ5_0)},
		{"Q5_1", only(gguf.TypeQ5_1)},
		{"Q2_K", only(gguf.TypeQ2K)}, {"Q3_K", only(gguf.TypeQ3K)}, {"Q4_K", only(gguf.TypeQ4K)},
		{"Q5_K", only(gguf.TypeQ5K)},
		{"Q6_K", only(gguf.TypeQ6K)}, {"Q4_K_M", q4KM},
		// without a kernel of ours, read by ggml's to_float
		{"IQ4_NL", only(gguf.TypeIQ4NL)}, {"IQ4_XS", only(gguf.TypeIQ4XS)}, {"IQ3_S", only(gguf.TypeIQ3S)},
		{"IQ2_S", only(gguf.TypeIQ2S)},
		{"TQ1_0", only(gguf.TypeTQ1_0)}, {"TQ2_0", only(gguf.TypeTQ2_0)}, {"MXFP4", only(gguf.TypeMXFP4)},
	} {
		t.Run(c.name, func(t *testing.T) {
			quantized, rounded := requantize(t, from, c.typeOf)
			run := func(path string, p Precision) (*lm.Output, []lm.Tensor) {
				m := openTiny(t, path)
				l := live(t, m, randomAdapter(t, m, adapter.Targets(), 5, true), true)
				s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true, Precision: p})
				return gradients(t, s, batch, g, lm.Options{Entropy: true, EntropyGradient: true})
			}
			wantOut, wantGrad := run(rounded, F32)
			out, grad := run(quantized, F32)
			fastOut, fastGrad := run(quantized, BF16)

			largest, _ := maxMean(flat(out.Logprobs), flat(wantOut.Logprobs))
			require.LessOrEqual(t, largest, tol)
			heads, _ := maxMean(flat(out.Heads), flat(wantOut.Heads))
			require.LessOrEqual(t, heads, tol)
			worst := requireClose(t, wantGrad, grad, tol, c.name)

			fast, mean := maxMean(flat(fastOut.Logprobs), flat(wantOut.Logprobs))
			fastWorst := requireClose(t, wantGrad, fastGrad, tolFast, c.name+" in bf16")
			t.Logf("f32: log-probabilities within %.1g, gradients within %.1g; bf16 (%s): %.2g (mean "+
				"%.2g), gradients %.2g",
				largest, worst, cgoKernel(t), fast, mean, fastWorst)
			require.LessOrEqual(t, mean, 0.05)
			require.LessOrEqual(t, fast, 0.5)
		})
	}
}

// cgoKernel names the kernels in use.
func cgoKernel(t testing.TB) string {
	d, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer d.Close()
	return d.Kernel()
}
