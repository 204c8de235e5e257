package ggml

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// Greedy answers of the path that users get (testdata/golden/sampling/M_greedy, PyTorch in f32): they part from
// the reference only where its two best tokens are closer than the arithmetic's error, and then go on as the
// test expects, since every decoding of a prompt gives the same bits.
func TestGreedyAnswersByDefault(t *testing.T) {
	var golden struct {
		Items []struct {
			IDs    []int32   `json:"prompt_ids"`
			New    []int32   `json:"new_ids"`
			Margin []float64 `json:"top1_minus_top2"`
		}
	}
	testfiles.ReadJSON(t, testfiles.Golden(t, "sampling/M_greedy.json"), &golden)
	m := open(t, testfiles.Model(t))
	if m.dev.OnGPU() {
		t.Skip("a GPU decodes by ggml's kernels, see TestSamplingGreedyReal")
	}
	// In f32 the cache of half floats is all that differs; in bf16 a factor keeps eight bits.
	rounding := map[string]float64{"portable": 0.01, "avx2": 0.01, "avx512": 0.01, "avx512bf16": 0.1} // nats
	// in bf16, after one token, at a margin of 0.043
	parted := map[int][]int32{1: {
		339, 416, 919, 253, 3175, 282, 45137, 30, 198, 198, 788, 451, 1183, 28, 260, 2914, 314, 5617, 327, 253, 11594,
		338, 2978, 253,
		3175, 282, 45137, 30, 378, 2914, 314, 5617,
	}}
	eachKernel(t, func(t *testing.T, kernel string) {
		t.Run(kernel, func(t *testing.T) {
			for i, it := range golden.Items {
				s := fast(t, m, false, 1, 128)
				g := generate(t, s, lm.Sampling{}, lm.Request{Prompt: it.IDs, MaxNew: len(it.New)})[0]
				same := 0
				for same < len(it.New) && it.New[same] == g.Tokens[same] {
					same++
				}
				if same == len(it.New) {
					t.Logf("prompt %d: all %d tokens", i, same)
					continue
				}
				t.Logf("prompt %d: %d of %d tokens, then a margin of %.3f", i, same, len(it.New), it.Margin[same])
				require.Less(t, it.Margin[same], rounding[kernel], "prompt %d parts from the reference", i)
				require.Equal(t, parted[i], g.Tokens)
			}
		})
	})
	require.NotEmpty(t, golden.Items)
}
