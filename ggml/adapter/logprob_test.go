package adapter_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/internal/testfiles"
)

// Log-probabilities PyTorch and PEFT computed with the golden adapters on
// stories260K. The import is right only if they come out of the GGUF model, whose q
// and k rows are in the other order.
func TestImportedAdaptersGiveThePeersLogprobs(t *testing.T) {
	f, err := gguf.Open(gguftest.Stories260K(t))
	require.NoError(t, err)
	defer f.Close()
	shape, err := adapter.ShapeOf(f)
	require.NoError(t, err)
	require.Equal(t, shapeS, shape)

	golden := testfiles.Golden(t, "lora/s_all")
	var g struct {
		Batches [][]struct {
			IDs []int32 `json:"ids"`
		} `json:"batches"`
		Base  [][]float64 `json:"logprobs_base_batch0"`
		Init  [][]float64 `json:"logprobs_init_batch0"`
		Final [][]float64 `json:"logprobs_final_batch0"`
	}
	testfiles.ReadJSON(t, filepath.Join(golden, "batches.json.gz"), &g)
	for which, want := range map[string][][]float64{"": g.Base, "adapter_init": g.Init, "adapter_final": g.Final} {
		var delta gguftest.Delta
		if which != "" {
			a, err := adapter.ImportPEFT(filepath.Join(golden, which), shape)
			require.NoError(t, err)
			delta = deltaOf(a)
		}
		require.NotEmpty(t, want)
		for i, lp := range want {
			ids := g.Batches[0][i].IDs
			tr, err := gguftest.Reference(f, ids, delta)
			require.NoError(t, err)
			require.InDeltaSlice(t, lp, tr.Logprobs(ids), 1e-4, "%q, sequence %d", which, i)
		}
	}
}

// deltaOf is scale · B(Ax) in double precision.
func deltaOf(a *adapter.Adapter) gguftest.Delta {
	return func(name string, x []float64) []float64 {
		p, ok := a.Pair(name)
		if !ok {
			return nil
		}
		out := make([]float64, p.NOut)
		for j := range p.Rank {
			var ax float64
			for i := range p.NIn {
				ax += float64(p.A[j*p.NIn+i]) * x[i]
			}
			for o := range out {
				out[o] += float64(a.Scale(*p)) * float64(p.B[o*p.Rank+j]) * ax
			}
		}
		return out
	}
}
