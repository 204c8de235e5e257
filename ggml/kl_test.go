package ggml

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// The exact KL against the double-precision reference's distributions.
func TestFullKL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, gguftest.Shape{Layers: 2, Embd: 32, FF: 64, Heads: 4, KVHeads: 2,
		Vocab: 97, Ctx: 64}, 5, gguftest.Options{}))
	m := open(t, path)
	a, err := adapter.New(m.Shape(), []string{"attn_q", "ffn_down"}, 4, 8, false, 1)
	require.NoError(t, err)
	for i := range a.Pairs {
		for j := range a.Pairs[i].B {
			a.Pairs[i].B[j] = float32(math.Sin(float64(i*31+j))) * 0.3
		}
	}
	policy := step(t, m, StepOptions{Adapters: []*Adapter{live(t, m, a, false)}, Precision: F32})
	reference := step(t, m, StepOptions{Precision: F32})
	batch := []lm.Sequence{all([]int32{3, 14, 15, 92, 65}), {Tokens: []int32{35, 8, 9}, Targets: []int32{2}}}

	f, err := gguf.Open(path)
	require.NoError(t, err)
	defer f.Close()
	delta := func(weight string, x []float64) []float64 {
		p, ok := a.Pair(weight)
		if !ok {
			return nil
		}
		y := make([]float64, p.NOut)
		for j := range p.Rank {
			h := 0.0
			for i, v := range x {
				h += float64(p.A[j*p.NIn+i]) * v
			}
			for o := range y {
				y[o] += float64(a.Scale(*p)) * float64(p.B[o*p.Rank+j]) * h
			}
		}
		return y
	}
	for _, temperature := range []float32{1, 0.7} {
		got, err := policy.FullKL(context.Background(), reference, batch, lm.Options{Temperature: temperature})
		require.NoError(t, err)
		for i, q := range batch {
			tp, err := gguftest.Reference(f, q.Tokens, delta)
			require.NoError(t, err)
			tq, err := gguftest.Reference(f, q.Tokens, nil)
			require.NoError(t, err)
			for j, target := range q.Targets {
				want := kl(tp.Logits[target-1], tq.Logits[target-1], float64(temperature))
				require.Greater(t, want, 1e-3, "the adapter must make a difference")
				require.InDelta(t, want, got[i][j], 1e-4*math.Max(1, want))
			}
		}
	}
	same, err := reference.FullKL(context.Background(), reference, batch, lm.Options{})
	require.NoError(t, err)
	require.InDelta(t, 0, same[0][0], 1e-6)
}

func kl(p, q []float64, temperature float64) float64 {
	lp, lq := logSoftmax(p, temperature), logSoftmax(q, temperature)
	s := 0.0
	for i := range lp {
		s += math.Exp(lp[i]) * (lp[i] - lq[i])
	}
	return s
}

func logSoftmax(x []float64, temperature float64) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = math.Max(top, v/temperature)
	}
	for _, v := range x {
		sum += math.Exp(v/temperature - top)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v/temperature - top - math.Log(sum)
	}
	return out
}
