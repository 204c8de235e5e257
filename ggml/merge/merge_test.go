package merge_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/merge"
)

// Every adapted matrix is W + scale · B A, everything else is as it was.
func TestModelAddsTheProduct(t *testing.T) {
	base := gguftest.Stories260K(t)
	f, err := gguf.Open(base)
	require.NoError(t, err)
	defer f.Close()
	shape, err := adapter.ShapeOf(f)
	require.NoError(t, err)
	a, err := adapter.New(shape, []string{"attn_k", "ffn_down"}, 3, 6, false, 1)
	require.NoError(t, err)
	for _, p := range a.Pairs {
		for i := range p.B {
			p.B[i] = float32(i%11-5) / 16
		}
	}
	w, r, err := merge.Model(f, a, merge.Same, map[string]string{"steer.merged.x": "y"}, "general.name")
	require.NoError(t, err)
	require.Equal(t, len(a.Pairs), r.Merged)
	require.Zero(t, r.Converted)
	out := filepath.Join(t.TempDir(), "merged.gguf")
	require.NoError(t, w.Save(out))
	m, err := gguf.Open(out)
	require.NoError(t, err)
	defer m.Close()
	require.False(t, m.Has("general.name"))
	require.Equal(t, "y", m.Value("steer.merged.x"))
	require.Equal(t, f.Value("tokenizer.ggml.tokens"), m.Value("tokenizer.ggml.tokens"))
	require.Len(t, m.Tensors(), len(f.Tensors()))
	for _, info := range f.Tensors() {
		want, err := f.Float32Data(info.Name)
		require.NoError(t, err)
		got, err := m.Float32Data(info.Name)
		require.NoError(t, err)
		if p, adapted := a.Pair(info.Name); adapted {
			for o := range p.NOut {
				for i := range p.NIn {
					sum := float64(want[o*p.NIn+i])
					for j := range p.Rank {
						sum += 2 * float64(p.B[o*p.Rank+j]) * float64(p.A[j*p.NIn+i])
					}
					require.InDelta(t, sum, got[o*p.NIn+i], 1e-6, info.Name)
				}
			}
			continue
		}
		require.Equal(t, want, got, info.Name)
	}

	w, r, err = merge.Model(f, a, merge.F16, nil)
	require.NoError(t, err)
	require.Positive(t, r.Converted)
	require.NoError(t, w.Save(out))
	half, err := gguf.Open(out)
	require.NoError(t, err)
	defer half.Close()
	info, _ := half.Tensor("blk.0.attn_q.weight")
	require.Equal(t, gguf.TypeF16, info.Type)
	info, _ = half.Tensor("blk.0.attn_norm.weight")
	require.Equal(t, gguf.TypeF32, info.Type)
	require.Equal(t, uint32(1), half.Value("general.file_type"))

	_, _, err = merge.Model(f, a, "q4", nil)
	require.ErrorContains(t, err, "want one of same")
	a.Pairs[0].Name = "blk.99.attn_k.weight"
	_, _, err = merge.Model(f, a, merge.Same, nil)
	require.ErrorIs(t, err, adapter.ErrMismatch)
}
