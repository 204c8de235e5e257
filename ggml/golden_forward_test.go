package ggml

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/adapter/safetensors"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

type goldenForward struct {
	Items []struct {
		Text     string
		IDs      []int32
		Logprobs []float32
		Entropy  []float32
		Head     map[string][]float32
	}
}

// goldenHeads reads the two random heads of golden/forward as adapters without LoRA.
func goldenHeads(t testing.TB, path string) [2]*adapter.Adapter {
	t.Helper()
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	w, err := f.Float32("head.weight")
	require.NoError(t, err)
	b, err := f.Float32("head.bias")
	require.NoError(t, err)
	n := len(w) / 2
	var heads [2]*adapter.Adapter
	for i := range heads {
		heads[i] = &adapter.Adapter{Arch: "llama", Alpha: 1, Head: &adapter.Head{Weight: w[i*n : (i+1)*n], Bias: b[i],
			HasBias: true}}
	}
	return heads
}

// Log-probabilities, entropies and scalar heads against PyTorch in f32
// (golden/forward): at most 1e-3, 1e-4 on average.
func TestGoldenForward(t *testing.T) {
	for _, c := range []struct {
		name, golden, heads string
		model               func(testing.TB) string
	}{
		{"stories260K", "forward/forward_S.json.gz", "forward/head_S.safetensors", gguftest.Stories260K},
		{"SmolLM2-135M", "forward/forward_M.json.gz", "forward/head_M.safetensors", testfiles.Model},
	} {
		t.Run(c.name, func(t *testing.T) {
			var golden goldenForward
			testfiles.ReadGolden(t, c.golden, &golden)
			m := open(t, c.model(t))
			heads := goldenHeads(t, testfiles.Golden(t, c.heads))

			for k, head := range heads {
				s := step(t, m, StepOptions{Adapters: []*Adapter{live(t, m, head, false)}, Precision: F32})
				var lp, wantLP, en, wantEN, hd, wantHD []float32
				// several ragged batches, not one sequence at a time
				for from := 0; from < len(golden.Items); from += 7 {
					items := golden.Items[from:min(from+7, len(golden.Items))]
					var batch []lm.Sequence
					for _, it := range items {
						q := all(it.IDs)
						for i := range it.Head["head0"] {
							q.Heads = append(q.Heads, int32(i))
						}
						if len(q.Targets)+len(q.Heads) > 0 {
							batch = append(batch, q)
							wantLP = append(wantLP, it.Logprobs...)
							wantEN = append(wantEN, it.Entropy[:len(it.IDs)-1]...)
							wantHD = append(wantHD, it.Head[[]string{"head0", "head1"}[k]]...)
						}
					}
					out := forward(t, s, batch, lm.Options{Entropy: true})
					for i := range batch {
						lp = append(lp, out.Logprobs[i]...)
						en = append(en, out.Entropy[i]...)
						hd = append(hd, out.Heads[i]...)
					}
				}
				require.Equal(t, len(wantLP), len(lp))
				for _, cmp := range []struct {
					what      string
					got, want []float32
				}{{"logprob", lp, wantLP}, {"entropy", en, wantEN}, {"head", hd, wantHD}} {
					largest, mean := maxMean(cmp.got, cmp.want)
					t.Logf("%s: %d values, max %.2g, mean %.2g", cmp.what, len(cmp.got), largest, mean)
					require.LessOrEqual(t, largest, 1e-3, cmp.what)
					require.LessOrEqual(t, mean, 1e-4, cmp.what)
				}
			}
		})
	}
}

// The fast path is not held to a number here; its distance from f32 is printed and
// must stay that of bf16 (golden/README: mean .03-.05, single tokens up to .5).
func TestBF16DistanceFromF32(t *testing.T) {
	var golden goldenForward
	testfiles.ReadGolden(t, "forward/forward_M.json.gz", &golden)
	m := open(t, testfiles.Model(t))
	fast := step(t, m, StepOptions{Precision: BF16})
	var batch []lm.Sequence
	var want []float32
	for _, it := range golden.Items[:8] {
		if q := all(it.IDs); len(q.Targets) > 0 {
			batch = append(batch, q)
			want = append(want, it.Logprobs...)
		}
	}
	out := forward(t, fast, batch, lm.Options{})
	var got []float32
	for _, lp := range out.Logprobs {
		got = append(got, lp...)
	}
	largest, mean := maxMean(got, want)
	t.Logf("bf16 (%s kernels) against f32: %d log-probabilities, max %.3f, mean %.4f", m.dev.Kernel(), len(got),
		largest, mean)
	require.LessOrEqual(t, mean, 0.08)
	require.LessOrEqual(t, largest, 1.0)
}
