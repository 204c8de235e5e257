package ggml

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/convert"
	"steer/ggml/gguf"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

// Log-probabilities of every checkpoint of golden/convert, converted to f32, against transformers on the
// checkpoint itself: at most 1e-3 a token, 1e-4 on average. Texts become the ids that its own tokenizer gives.
func TestGoldenConvert(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(testfiles.Golden(t, "convert"), "*.tar.gz"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, path := range found {
		name := strings.TrimSuffix(filepath.Base(path), ".tar.gz")
		t.Run(name, func(t *testing.T) {
			var golden struct {
				Sequences []struct {
					IDs      []int32
					Logprobs []float32
				}
				Texts []struct {
					Text string
					IDs  []int32
				}
			}
			testfiles.ReadGolden(t, "convert/"+name+".json.gz", &golden)
			require.NotEmpty(t, golden.Sequences)
			require.NotEmpty(t, golden.Texts)
			m := openTiny(t, converted(t, name))
			for _, x := range golden.Texts {
				got, err := m.Tokenizer().Encode(x.Text, false, false)
				require.NoError(t, err)
				require.Equal(t, x.IDs, got, "%q", x.Text)
			}
			s := step(t, m, StepOptions{Precision: F32})
			var batch []lm.Sequence
			var want []float32
			for _, q := range golden.Sequences {
				batch = append(batch, all(q.IDs))
				want = append(want, q.Logprobs...)
			}
			got := flat(forward(t, s, batch, lm.Options{}).Logprobs)
			require.Len(t, got, len(want))
			largest, mean := maxMean(got, want)
			t.Logf("%d values, max %.2g, mean %.2g", len(got), largest, mean)
			require.LessOrEqual(t, largest, 1e-3)
			require.LessOrEqual(t, mean, 1e-4)
			decodesAsItComputes(t, m, golden.Sequences[0].IDs)
		})
	}
}

// decodesAsItComputes compares libllama's decode with our forward, of models that may have no layer of
// one kind: tiny Gemma 3 has fewer layers than it takes to one without a window.
func decodesAsItComputes(t *testing.T, m *Model, tokens []int32) {
	t.Helper()
	if m.info.CtxTrain < 256 {
		return // libllama's contexts are of 256 tokens or more; longrope has other factors there
	}
	want := forward(t, step(t, m, StepOptions{Precision: F32}), []lm.Sequence{all(tokens)}, lm.Options{})
	got := decodeLogprobs(t, session(t, m, SessionOptions{Sequences: 1, Context: 96}), tokens)
	largest, _ := maxMean(got, want.Logprobs[0])
	require.LessOrEqual(t, largest, decodeTol, "decoding")
}

// converted is the f32 file of a packed checkpoint.
func converted(t *testing.T, name string) string {
	t.Helper()
	dir := testfiles.Repository(t, name)
	c, err := convert.Open(dir, convert.OpenOptions{})
	require.NoError(t, err)
	defer c.Close()
	out := filepath.Join(dir, "f32.gguf")
	require.NoError(t, c.Save(t.Context(), out, convert.Options{Type: gguf.TypeF32}))
	return out
}
