package ggml

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// twin is the double-precision twin of a Step: the same stack of adapters on
// gguftest.Reference, which shares no code with the engine.
type twin struct {
	f           *gguf.File
	stack       []twinAdapter // bottom first
	head        *twinAdapter
	temperature float64
	dropout     float64 // of the last adapter
}

// twinAdapter holds an adapter's parameters as adapter.Params lays them out.
type twinAdapter struct {
	host   *adapter.Adapter
	params [][]float64
}

// newTwin opens the model file anew. The head is read from the topmost adapter that has one.
func newTwin(t testing.TB, path string, stack ...*adapter.Adapter) *twin {
	t.Helper()
	f, err := gguf.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	w := &twin{f: f, temperature: 1}
	for _, a := range stack {
		ta := twinAdapter{host: a}
		for _, p := range a.Params() {
			x := make([]float64, len(p.Data))
			for i, v := range p.Data {
				x[i] = float64(v)
			}
			ta.params = append(ta.params, x)
		}
		w.stack = append(w.stack, ta)
	}
	for i := range w.stack {
		if w.stack[i].host.Head != nil {
			w.head = &w.stack[i]
		}
	}
	return w
}

// delta is Σ s B A drop(x) over the stack. Reference visits the positions of a
// sequence in order for every weight, which is how x's position is known.
func (w *twin) delta(q lm.Sequence) gguftest.Delta {
	visits := map[string]int{}
	return func(name string, x []float64) []float64 {
		pos := visits[name]
		visits[name]++
		var out []float64
		for k, ta := range w.stack {
			for site, p := range ta.host.Pairs {
				if p.Name != name {
					continue
				}
				in := x
				if w.dropout > 0 && k == len(w.stack)-1 {
					in = dropped(x, w.dropout, q.DropoutSeed, pos, site)
				}
				if out == nil {
					out = make([]float64, p.NOut)
				}
				a, b, s := ta.params[2*site], ta.params[2*site+1], float64(ta.host.Scale(p))
				for j := range p.Rank {
					var h float64
					for i := range p.NIn {
						h += a[j*p.NIn+i] * in[i]
					}
					for o := range out {
						out[o] += s * b[o*p.Rank+j] * h
					}
				}
			}
		}
		return out
	}
}

// dropped applies LoRA dropout as cgo/native/ops.h defines it: a hash of the
// sequence's seed, the position, the site and the feature.
func dropped(x []float64, p float64, seed uint64, pos, site int) []float64 {
	finalize := func(z uint64) uint64 { // of splitmix64
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		return z ^ z>>31
	}
	z := finalize(finalize(seed+uint64(pos)*0x9E3779B97F4A7C15) + 0x9E3779B97F4A7C15*uint64(site+1))
	a, b := uint32(z), uint32(z>>32)
	y := make([]float64, len(x))
	for k := range x {
		h := uint32(k)*0x9E3779B9 + a
		h ^= h >> 16
		h *= 0x7FEB352D
		h ^= h>>15 ^ b
		h *= 0x846CA68B
		h ^= h >> 16
		if float64(h) >= math.Floor(float64(float32(p))*4294967296) {
			y[k] = x[k] / (1 - float64(float32(p)))
		}
	}
	return y
}

// twinOutput is lm.Output in double precision.
type twinOutput struct{ logprobs, entropy, heads []float64 }

func (w *twin) forward(t testing.TB, q lm.Sequence) (out twinOutput) {
	t.Helper()
	tr, err := gguftest.Reference(w.f, q.Tokens, w.delta(q))
	require.NoError(t, err)
	for _, p := range q.Targets {
		row := tr.Logits[p-1]
		top := math.Inf(-1)
		for _, l := range row {
			top = max(top, l/w.temperature)
		}
		var sum, mean float64 // Σ e^l, Σ l e^l
		for _, l := range row {
			e := math.Exp(l/w.temperature - top)
			sum += e
			mean += e * (l / w.temperature)
		}
		lse := top + math.Log(sum)
		out.logprobs = append(out.logprobs, row[q.Tokens[p]]/w.temperature-lse)
		out.entropy = append(out.entropy, lse-mean/sum)
	}
	for _, p := range q.Heads {
		n := len(w.head.host.Pairs)
		var r float64
		for i, v := range w.head.params[2*n] {
			r += v * tr.Hidden[p][i]
		}
		if w.head.host.Head.HasBias {
			r += w.head.params[2*n+1][0]
		}
		out.heads = append(out.heads, r)
	}
	return out
}

// loss is Σ c·output, the loss whose gradient with respect to the outputs is g.
func (w *twin) loss(t testing.TB, batch []lm.Sequence, g lm.Gradient) (loss float64) {
	t.Helper()
	dot := func(c []float32, x []float64) {
		for i := range c {
			loss += float64(c[i]) * x[i]
		}
	}
	for i, q := range batch {
		if len(q.Targets)+len(q.Heads) == 0 {
			continue
		}
		out := w.forward(t, q)
		dot(g.Logprobs[i], out.logprobs)
		dot(g.Heads[i], out.heads)
		if g.Entropy != nil {
			dot(g.Entropy[i], out.entropy)
		}
	}
	return loss
}

// derivative is the central difference of the loss with respect to parameter
// (tensor, index) of the top adapter. The loss is smooth and computed to 1e-13, so
// that a step of 1e-4 leaves an error of some 1e-8.
func (w *twin) derivative(t testing.TB, batch []lm.Sequence, g lm.Gradient, tensor, index int) float64 {
	t.Helper()
	p := &w.stack[len(w.stack)-1].params[tensor][index]
	const h = 1e-4
	keep := *p
	*p = keep + h
	up := w.loss(t, batch, g)
	*p = keep - h
	down := w.loss(t, batch, g)
	*p = keep
	return (up - down) / (2 * h)
}
