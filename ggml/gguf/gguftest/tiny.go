package gguftest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"steer/ggml/gguf"
)

// Shape is the size of a tiny Llama.
type Shape struct {
	Layers  int
	Embd    int // a multiple of Heads; Embd/Heads must be even (RoPE turns pairs)
	FF      int
	Heads   int
	KVHeads int // divides Heads
	Vocab   int
	Ctx     int // training context, tokens
}

// Options are the variations of WriteTinyLlama; the zero value is a plain model
// with tied embeddings.
type Options struct {
	Untied    bool // an output.weight of its own
	RopeFreqs bool // rope_freqs.weight, as Llama 3.1 has
	NaN       bool // one NaN, in blk.0.ffn_up.weight
	F16       bool // matrices in F16 instead of F32
	BPE       bool // a byte-level BPE vocabulary instead of none
	// Experts makes the model a mixture of so many experts, two of which a token goes through.
	Experts int
	// Arch overrides general.architecture and the prefix of its keys ("llama").
	Arch string
	// Scale multiplies the standard deviation of every matrix (1/sqrt(n_in)); 0 means 1.
	Scale float64
}

// WriteTinyLlama writes a random model of the llama architecture, without
// vocabulary (tokenizer "no_vocab") unless the options ask for one, to path. The same arguments write the same
// bytes. Matrices are normal with standard deviation 1/sqrt(n_in), norm weights
// normal around 1 with standard deviation 0.1, so that no gradient vanishes.
func WriteTinyLlama(path string, s Shape, seed uint64, opt Options) error {
	if err := s.check(); err != nil {
		return err
	}
	w := gguf.NewWriter()
	arch := opt.Arch
	if arch == "" {
		arch = "llama"
	}
	setModel(w, arch, "tiny-random-"+arch, s, 1e-5)
	if opt.Experts > 0 {
		w.SetUint32(arch+".expert_count", uint32(opt.Experts))
		w.SetUint32(arch+".expert_used_count", 2)
	}
	if opt.BPE {
		if err := setBPE(w, s.Vocab); err != nil {
			return err
		}
	} else {
		w.SetString("tokenizer.ggml.model", "no_vocab")
	}
	g := &generator{w: w, rng: rand.New(rand.NewPCG(seed, 0x7469_6e79)), opt: opt}
	g.model(s)
	return w.Save(path)
}

func (s Shape) check() error {
	if s.Layers < 1 || s.Embd < 1 || s.FF < 1 || s.Heads < 1 || s.KVHeads < 1 || s.Vocab < 1 || s.Ctx < 1 {
		return fmt.Errorf("gguftest: %+v: want every size at least 1", s)
	}
	if s.Embd%s.Heads != 0 || s.Embd/s.Heads%2 != 0 || s.Heads%s.KVHeads != 0 {
		return fmt.Errorf("gguftest: %+v: want Embd/Heads whole and even, Heads/KVHeads whole", s)
	}
	return nil
}

// setModel sets the keys libllama needs to load a llama model.
func setModel(w *gguf.Writer, arch, name string, s Shape, eps float32) {
	w.SetString("general.architecture", arch)
	w.SetString("general.name", name)
	u := func(key string, v int) { w.SetUint32(arch+"."+key, uint32(v)) }
	u("context_length", s.Ctx)
	u("embedding_length", s.Embd)
	u("block_count", s.Layers)
	u("feed_forward_length", s.FF)
	u("attention.head_count", s.Heads)
	u("attention.head_count_kv", s.KVHeads)
	w.SetFloat32(arch+".attention.layer_norm_rms_epsilon", eps)
	w.SetFloat32(arch+".rope.freq_base", 10000)
	u("rope.dimension_count", s.Embd/s.Heads)
	u("vocab_size", s.Vocab)
}

type generator struct {
	w   *gguf.Writer
	rng *rand.Rand
	opt Options
}

func (g *generator) model(s Shape) {
	kv := s.Embd / s.Heads * s.KVHeads
	g.matrix("token_embd.weight", s.Embd, s.Vocab)
	for i := range s.Layers {
		blk := func(name string) string { return fmt.Sprintf("blk.%d.%s.weight", i, name) }
		g.norm(blk("attn_norm"), s.Embd)
		g.matrix(blk("attn_q"), s.Embd, s.Embd)
		g.matrix(blk("attn_k"), s.Embd, kv)
		g.matrix(blk("attn_v"), s.Embd, kv)
		g.matrix(blk("attn_output"), s.Embd, s.Embd)
		g.norm(blk("ffn_norm"), s.Embd)
		if n := g.opt.Experts; n > 0 {
			g.matrix(blk("ffn_gate_inp"), s.Embd, n)
			g.matrices(blk("ffn_gate_exps"), s.Embd, s.FF, n)
			g.matrices(blk("ffn_up_exps"), s.Embd, s.FF, n)
			g.matrices(blk("ffn_down_exps"), s.FF, s.Embd, n)
			continue
		}
		g.matrix(blk("ffn_gate"), s.Embd, s.FF)
		g.matrix(blk("ffn_up"), s.Embd, s.FF)
		g.matrix(blk("ffn_down"), s.FF, s.Embd)
	}
	g.norm("output_norm.weight", s.Embd)
	if g.opt.Untied {
		g.matrix("output.weight", s.Embd, s.Vocab)
	}
	if g.opt.RopeFreqs {
		// Divisors of the RoPE frequencies, between 1 and 8 as in Llama 3.1.
		n := s.Embd / s.Heads / 2
		f := make([]float32, n)
		for i := range f {
			f[i] = 1 + 7*float32(i)/float32(n)
		}
		g.w.AddF32("rope_freqs.weight", []int64{int64(n)}, f)
	}
}

func (g *generator) matrix(name string, nIn, nOut int) { g.random(name, nIn, int64(nIn), int64(nOut)) }

// matrices are those of n experts, one behind the other.
func (g *generator) matrices(name string, nIn, nOut, n int) {
	g.random(name, nIn, int64(nIn), int64(nOut), int64(n))
}

func (g *generator) random(name string, nIn int, dims ...int64) {
	std := 1 / math.Sqrt(float64(nIn))
	if g.opt.Scale != 0 {
		std *= g.opt.Scale
	}
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(g.rng.NormFloat64() * std)
	}
	if g.opt.NaN && name == "blk.0.ffn_up.weight" {
		x[len(x)/2] = float32(math.NaN())
	}
	if g.opt.F16 {
		g.w.AddF16(name, dims, x)
		return
	}
	g.w.AddF32(name, dims, x)
}

func (g *generator) norm(name string, n int) {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(1 + 0.1*g.rng.NormFloat64())
	}
	g.w.AddF32(name, []int64{int64(n)}, x)
}
