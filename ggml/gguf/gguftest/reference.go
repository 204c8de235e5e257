package gguftest

import (
	"fmt"
	"math"

	"steer/ggml/gguf"
)

// Delta returns what is to be added to W x for the named weight, [n_out], or nil
// for nothing: the place of a LoRA.
type Delta func(weight string, x []float64) []float64

// Trace is what Reference computed, for each position of the sequence.
type Trace struct {
	Hidden [][]float64 // after the final norm, [n, n_embd]
	Logits [][]float64 // [n, n_vocab]
}

// Logprobs returns log p(tokens[i] | tokens[:i]) for i = 1..n-1, in nats.
func (t *Trace) Logprobs(tokens []int32) []float64 {
	out := make([]float64, 0, len(tokens)-1)
	for i := 1; i < len(tokens); i++ {
		row := t.Logits[i-1]
		top := math.Inf(-1)
		for _, l := range row {
			top = max(top, l)
		}
		var sum float64
		for _, l := range row {
			sum += math.Exp(l - top)
		}
		out = append(out, row[tokens[i]]-top-math.Log(sum))
	}
	return out
}

// Reference runs a Llama on one sequence in double precision, as plainly as it can
// be written: no cache, no blocks, nothing shared with the engine. It is what the
// engine and the converters are tested against, for models of toy size whose
// tensors are F32, F16 or BF16. delta may be nil.
//
// Per layer (Touvron et al. 2023, https://arxiv.org/abs/2302.13971):
//
//	h += Wo · attention(RoPE(Wq n), RoPE(Wk n), Wv n),  n = rmsnorm(h)
//	h += Wd (silu(Wg n) ⊙ Wu n),                        n = rmsnorm(h)
func Reference(f *gguf.File, tokens []int32, delta Delta) (*Trace, error) {
	m, err := loadReference(f, delta)
	if err != nil {
		return nil, err
	}
	h := make([][]float64, len(tokens))
	for t, id := range tokens {
		if id < 0 || int(id) >= m.vocab {
			return nil, fmt.Errorf("gguftest: token %d: want 0 to %d", id, m.vocab-1)
		}
		h[t] = append([]float64(nil), m.w["token_embd.weight"][int(id)*m.embd:(int(id)+1)*m.embd]...)
	}
	for l := range m.layers {
		m.attention(l, h)
		m.feedForward(l, h)
	}
	out := "output.weight"
	if _, ok := m.w[out]; !ok {
		out = "token_embd.weight"
	}
	tr := &Trace{}
	for t := range h {
		n := m.rmsnorm("output_norm.weight", h[t])
		tr.Hidden = append(tr.Hidden, n)
		tr.Logits = append(tr.Logits, m.mul(out, n))
	}
	return tr, nil
}

type reference struct {
	w                                   map[string][]float64
	layers, embd, vocab, heads, kvHeads int
	eps, base                           float64
	delta                               Delta
}

func loadReference(f *gguf.File, delta Delta) (*reference, error) {
	m := &reference{w: map[string][]float64{}, delta: delta}
	for key, into := range map[string]*int{
		"block_count": &m.layers, "embedding_length": &m.embd,
		"attention.head_count": &m.heads, "attention.head_count_kv": &m.kvHeads,
	} {
		v, err := f.Uint32("llama." + key)
		if err != nil {
			return nil, err
		}
		*into = int(v)
	}
	for key, into := range map[string]*float64{"attention.layer_norm_rms_epsilon": &m.eps, "rope.freq_base": &m.base} {
		v, err := f.Float32("llama." + key)
		if err != nil {
			return nil, err
		}
		*into = float64(v)
	}
	for _, t := range f.Tensors() {
		x, err := f.Float32Data(t.Name)
		if err != nil {
			return nil, err
		}
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v)
		}
		m.w[t.Name] = y
	}
	m.vocab = len(m.w["token_embd.weight"]) / m.embd
	return m, nil
}

// mul returns W x (+ delta): row o of W is W[o*n_in : (o+1)*n_in].
func (m *reference) mul(name string, x []float64) []float64 {
	w := m.w[name]
	y := make([]float64, len(w)/len(x))
	for o := range y {
		for i, v := range x {
			y[o] += w[o*len(x)+i] * v
		}
	}
	if m.delta != nil {
		for o, d := range m.delta(name, x) {
			y[o] += d
		}
	}
	return y
}

// rmsnorm returns g ⊙ x / √(mean(x²) + eps).
func (m *reference) rmsnorm(name string, x []float64) []float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	r := 1 / math.Sqrt(sum/float64(len(x))+m.eps)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = m.w[name][i] * v * r
	}
	return y
}

// rope turns each neighbouring pair (2i, 2i+1) of every head at position t by the
// angle t · base^(-2i/d), divided by rope_freqs[i] where the model has them.
func (m *reference) rope(x []float64, t int) {
	d := m.embd / m.heads
	freqs := m.w["rope_freqs.weight"]
	for h := 0; h < len(x); h += d {
		for i := range d / 2 {
			a := float64(t) * math.Pow(m.base, -2*float64(i)/float64(d))
			if freqs != nil {
				a /= freqs[i]
			}
			sin, cos := math.Sincos(a)
			p, q := x[h+2*i], x[h+2*i+1]
			x[h+2*i], x[h+2*i+1] = p*cos-q*sin, p*sin+q*cos
		}
	}
}

func (m *reference) attention(l int, h [][]float64) {
	blk := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", l, s) }
	d := m.embd / m.heads
	group := m.heads / m.kvHeads
	var q, k, v [][]float64
	for t := range h {
		n := m.rmsnorm(blk("attn_norm"), h[t])
		q, k, v = append(q, m.mul(blk("attn_q"), n)), append(k, m.mul(blk("attn_k"), n)),
			append(v, m.mul(blk("attn_v"), n))
		m.rope(q[t], t)
		m.rope(k[t], t)
	}
	for t := range h {
		out := make([]float64, m.embd)
		for head := range m.heads {
			kv := head / group * d
			p := make([]float64, t+1)
			for s := range p {
				for i := range d {
					p[s] += q[t][head*d+i] * k[s][kv+i] / math.Sqrt(float64(d))
				}
			}
			softmax(p)
			for s := range p {
				for i := range d {
					out[head*d+i] += p[s] * v[s][kv+i]
				}
			}
		}
		for i, y := range m.mul(blk("attn_output"), out) {
			h[t][i] += y
		}
	}
}

func (m *reference) feedForward(l int, h [][]float64) {
	blk := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", l, s) }
	for t := range h {
		n := m.rmsnorm(blk("ffn_norm"), h[t])
		g, u := m.mul(blk("ffn_gate"), n), m.mul(blk("ffn_up"), n)
		for i := range g {
			g[i] = g[i] / (1 + math.Exp(-g[i])) * u[i]
		}
		for i, y := range m.mul(blk("ffn_down"), g) {
			h[t][i] += y
		}
	}
}

func softmax(x []float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	var sum float64
	for i, v := range x {
		x[i] = math.Exp(v - top)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
