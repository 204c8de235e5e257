package ggml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// archs are the models of golden/arch: one of every family, and of what families have more than one of.
var archs = []string{
	"qwen2", "qwen2_tied", "qwen2_k", "qwen3", "qwen3_k", "llama3rope", "mistral", "gemma", "gemma2", "gemma3",
	"gemma3_lin",
	"gemma3_k", "phi3", "phi3_partial", "phi3_longrope", "granite", "olmo2", "olmo3", "smollm3",
}

// archFile is the quantized file of a model of golden/arch.
func archFile(t testing.TB, name string) string {
	t.Helper()
	dir := testfiles.Golden(t, "arch/"+name)
	for _, file := range []string{"q8_0.gguf", "q4_k_m.gguf"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return filepath.Join(dir, file)
		}
	}
	require.FailNow(t, "no quantized file in "+dir)
	return ""
}

type goldenArch struct {
	IDs     [][]int32
	Results map[string][]struct {
		Logprobs, Entropy []float32
	}
}

// Log-probabilities and entropies of every family against transformers in f32 on the same
// dequantized weights (golden/arch): at most 1e-3 a token, 1e-4 on average.
func TestGoldenArchForward(t *testing.T) {
	for _, name := range archs {
		t.Run(name, func(t *testing.T) { archForward(t, name, archFile(t, name)) })
	}
	t.Run("mistral with a window", func(t *testing.T) {
		archForward(t, "mistral", testfiles.Golden(t, "arch/mistral/f32_swa.gguf"))
	})
}

func archForward(t *testing.T, name, path string) {
	var golden goldenArch
	testfiles.ReadGolden(t, "arch/"+name+"/forward.json.gz", &golden)
	results := golden.Results[strings.TrimSuffix(filepath.Base(path), ".gguf")]
	require.NotEmpty(t, results)
	m := openTiny(t, path)
	s := step(t, m, StepOptions{Precision: F32})
	var batch []lm.Sequence
	var wantLP, wantEN []float32
	for i, ids := range golden.IDs {
		if len(ids) > 1 {
			batch = append(batch, all(ids))
			wantLP = append(wantLP, results[i].Logprobs...)
			wantEN = append(wantEN, results[i].Entropy[:len(ids)-1]...)
		}
	}
	out := forward(t, s, batch, lm.Options{Entropy: true})
	for _, cmp := range []struct {
		what      string
		got, want []float32
	}{{"logprob", flat(out.Logprobs), wantLP}, {"entropy", flat(out.Entropy), wantEN}} {
		require.Len(t, cmp.got, len(cmp.want))
		largest, mean := maxMean(cmp.got, cmp.want)
		t.Logf("%s: %d values, max %.2g, mean %.2g", cmp.what, len(cmp.got), largest, mean)
		require.LessOrEqual(t, largest, 1e-3, cmp.what)
		require.LessOrEqual(t, mean, 1e-4, cmp.what)
	}
}

// LoRA gradients on the family's own linears, and ten AdamW steps, against PEFT in f32 (golden/arch).
func TestGoldenArchLoRA(t *testing.T) {
	for _, name := range archs {
		t.Run(name, func(t *testing.T) {
			m := openTiny(t, archFile(t, name))
			dir := testfiles.Golden(t, "arch/"+name+"/lora")
			init, err := adapter.ImportPEFT(dir+"/adapter_init", m.Shape())
			require.NoError(t, err)
			require.Empty(t, init.Notices)
			require.Equal(t, m.Shape().Targets(), init.Targets())
			goldenTraining(t, m, dir, init)
		})
	}
}

// A real model, Gemma 3 270M in Q4_K_M, against transformers in f32: 11 texts, one of them longer than
// the window, and the gradients of LoRA on q and v.
func TestGoldenGemma(t *testing.T) {
	m := open(t, testfiles.Gemma(t))
	t.Run("forward", func(t *testing.T) {
		var golden goldenForward
		testfiles.ReadGolden(t, "arch/gemma3-270m/forward.json.gz", &golden)
		s := step(t, m, StepOptions{Precision: F32})
		var batch []lm.Sequence
		var wantLP, wantEN []float32
		for _, it := range golden.Items {
			batch = append(batch, all(it.IDs))
			wantLP = append(wantLP, it.Logprobs...)
			wantEN = append(wantEN, it.Entropy[:len(it.IDs)-1]...)
			if it.Text != "" {
				got, err := m.Tokenizer().Encode(it.Text, true, true)
				require.NoError(t, err)
				require.Equal(t, it.IDs, got)
			}
		}
		out := forward(t, s, batch, lm.Options{Entropy: true})
		for _, cmp := range []struct {
			what      string
			got, want []float32
		}{{"logprob", flat(out.Logprobs), wantLP}, {"entropy", flat(out.Entropy), wantEN}} {
			require.Len(t, cmp.got, len(cmp.want))
			largest, mean := maxMean(cmp.got, cmp.want)
			t.Logf("%s: %d values, max %.2g, mean %.2g", cmp.what, len(cmp.got), largest, mean)
			require.LessOrEqual(t, largest, 1e-3, cmp.what)
			require.LessOrEqual(t, mean, 1e-4, cmp.what)
		}
	})
	t.Run("lora", func(t *testing.T) {
		dir := testfiles.Golden(t, "arch/gemma3-270m/lora")
		var c struct {
			Loss     float64
			GradNorm float64 `json:"total_grad_norm"`
		}
		testfiles.ReadJSON(t, dir+"/case.json", &c)
		var golden struct {
			Batch    goldenBatch
			GradNorm map[string]float64 `json:"grad_norm"`
		}
		testfiles.ReadJSON(t, dir+"/batches.json.gz", &golden)
		init, err := adapter.ImportPEFT(dir+"/adapter_init", m.Shape())
		require.NoError(t, err)
		s := step(t, m, StepOptions{Adapters: []*Adapter{live(t, m, init, true)}, Train: true, Precision: F32})
		batch, n := golden.Batch.sequences()
		require.InDelta(t, c.Loss, meanNLL(t, s, batch, n, lm.Options{}, true), 1e-4)
		grads := peftGradients(t, s, m.Shape())
		compareGradients(t, grads, goldenGradients(t, dir, "grads.safetensors", m.Shape()), 1e-3)
		for name, w := range golden.GradNorm {
			require.InEpsilon(t, w, norm(grads[name]), 1e-3, name)
		}
	})
}
