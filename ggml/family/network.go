package family

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"steer/ggml/gguf"
)

// Network is one model's network: sizes, constants, and what differs from layer to layer.
//
// With h the residual stream of a token and f a block's attention or feed-forward network, where
// the family has the norms:
//
//	h = EmbdScale · embedding        h += ResidualScale · norm'(f(norm(h)))
//	logits = LogitScale · LogitCap tanh(W norm(h) / LogitCap)
type Network struct {
	Family *Family

	Layers, Embd, FF, Heads, KVHeads, HeadDim int
	// Context is the longest sequence, in tokens, that can be computed.
	Context int

	RMSEps                               float32
	EmbdScale, ResidualScale, LogitScale float32 // 1: nothing to multiply
	AttnScale                            float32 // factor on q·k
	AttnCap, LogitCap                    float32 // s becomes cap tanh(s/cap); 0: not capped
	Rope, WindowRope                     Rope    // of layers without and with a window
	QueryGrowth                          float32 // q times 1 + growth log(1 + floor(pos/floor)); 0: not
	QueryFloor                           int
	Layer                                []Layer
	// Warnings are what a user of the model has to know, a sentence each.
	Warnings []string
}

// Layer is what layers differ in.
type Layer struct {
	Window int  // a token sees itself and the Window-1 before it; 0: all before it
	Rope   bool // turned by position
}

// Rope says how positions turn into rotations: pair i of a head's first Dims features by
//
//	pos · Base^(-2i/Dims) · (Scale (1-m) + m) / factor,  cosine and sine times Magnitude
//
// where m is 0, or with YaRN falls from 1 to 0 between pairs Low and High (Peng et al. 2023).
type Rope struct {
	Dims      int
	Halves    bool // pairs are i and i + Dims/2, else 2i and 2i+1
	Base      float32
	Scale     float32
	Magnitude float32
	Yarn      bool
	Low, High int
	// Factors is the tensor of frequency factors, "" for none.
	Factors string
}

// Turns are the rotations of a layer's queries and keys.
func (n *Network) Turns(layer int) (r Rope, ok bool) {
	l := n.Layer[layer]
	if l.Window > 0 {
		return n.WindowRope, l.Rope
	}
	return n.Rope, l.Rope
}

func (n *Network) noRope() {
	for i := range n.Layer {
		n.Layer[i].Rope = false
	}
}

// Read reads the network of an open GGUF file. An error names the key.
func Read(f *gguf.File) (*Network, error) {
	arch, err := f.String("general.architecture")
	if err != nil {
		return nil, err
	}
	fam, ok := Of(arch)
	if !ok {
		return nil, fmt.Errorf("architecture %q: %w", arch, ErrUnsupported)
	}
	n := &Network{Family: fam, EmbdScale: 1, ResidualScale: 1, LogitScale: 1}
	r := &reader{f: f, arch: arch, n: n}
	r.sizes()
	if r.err != nil {
		return nil, r.err
	}
	r.layers()
	r.rope()
	if fam.read != nil && r.err == nil {
		fam.read(r, n)
	}
	r.classes()
	return n, r.err
}

// reader reads keys and keeps the first mistake.
type reader struct {
	f    *gguf.File
	arch string
	n    *Network
	err  error
}

func (r *reader) key(name string) string { return r.arch + "." + name }

func (r *reader) fail(name, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s "+format, append([]any{r.key(name)}, args...)...)
	}
}

func (r *reader) warn(format string, args ...any) {
	r.n.Warnings = append(r.n.Warnings, fmt.Sprintf(format, args...))
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// size is a count; otherwise where the file has none.
func (r *reader) size(name string, otherwise int) int {
	if !r.f.Has(r.key(name)) {
		return otherwise
	}
	v, err := r.f.Uint32(r.key(name))
	r.keep(err)
	return int(v)
}

func (r *reader) need(name string) int {
	v, err := r.f.Uint32(r.key(name))
	if errors.Is(err, gguf.ErrKeyType) {
		err = fmt.Errorf("%w: a size that differs from layer to layer: %w", err, ErrUnsupported)
	}
	r.keep(err)
	return int(v)
}

func (r *reader) float(name string, otherwise float32) float32 {
	if !r.f.Has(r.key(name)) {
		return otherwise
	}
	v, err := r.f.Float32(r.key(name))
	r.keep(err)
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) || v < 0 {
		r.fail(name, "is %g: want a positive number", v)
	}
	return v
}

func (r *reader) bool(name string, otherwise bool) bool {
	if !r.f.Has(r.key(name)) {
		return otherwise
	}
	v, err := r.f.Bool(r.key(name))
	r.keep(err)
	return v
}

// expect refuses a constant that libllama does not read, where it differs from what libllama
// takes: training and decoding would be two models.
func (r *reader) expect(name string, want float32) {
	if got := r.float(name, want); got != want {
		r.fail(name, "is %g: %w: libllama decodes this architecture with %g", got, ErrUnsupported, want)
	}
}

func (r *reader) sizes() {
	n := r.n
	n.Layers, n.Embd, n.FF = r.need("block_count"), r.need("embedding_length"), r.need("feed_forward_length")
	n.Heads = r.need("attention.head_count")
	n.KVHeads = n.Heads
	if r.f.Has(r.key("attention.head_count_kv")) {
		n.KVHeads = r.need("attention.head_count_kv")
	}
	n.Context = r.need("context_length")
	const most = 1 << 20 // of layers; keeps what is made for each of them small
	if r.err == nil && (n.Layers < 1 || n.Layers > most || n.Heads < 1) {
		r.fail("block_count", "is %d and attention.head_count %d: want some of both", n.Layers, n.Heads)
	}
	if r.err != nil {
		return
	}
	n.HeadDim = r.size("attention.key_length", n.Embd/n.Heads)
	if v := r.size("attention.value_length", n.HeadDim); v != n.HeadDim { // libllama aborts on it
		r.fail("attention.value_length", "is %d, a head has %d: want that: heads of this architecture have one width",
			v, n.HeadDim)
	}
	n.RMSEps = r.float("attention.layer_norm_rms_epsilon", 0)
	if !(n.RMSEps > 0) {
		if !r.f.Has(r.key("attention.layer_norm_rms_epsilon")) {
			_, err := r.f.Float32(r.key("attention.layer_norm_rms_epsilon")) // says that it is missing
			r.keep(err)
		}
		r.fail("attention.layer_norm_rms_epsilon", "is %g: want a positive number", n.RMSEps)
	}
	n.AttnScale = float32(1 / math.Sqrt(float64(n.HeadDim)))
}

// layers fills in windows, and which layers turn.
func (r *reader) layers() {
	n, fam := r.n, r.n.Family
	window := 0
	if fam.FullEvery > 0 {
		window = r.size("attention.sliding_window", fam.Window)
	}
	if fam.FullEvery == 1 && window > 0 && window < n.Context {
		r.warn("%s is %d: texts of more tokens are trained and scored with this window, as the model was made, and "+
			"generated without it, as libllama does", r.key("attention.sliding_window"), window)
	}
	n.Layer = make([]Layer, n.Layers)
	for i := range n.Layer {
		if window > 0 && (fam.FullEvery == 1 || (i+1)%fam.FullEvery != 0) {
			n.Layer[i].Window = window
		}
		n.Layer[i].Rope = fam.NoRope == 0 || (i+1)%fam.NoRope != 0
	}
	r.pattern()
}

// pattern refuses a file that says of its layers otherwise than libllama takes for granted.
func (r *reader) pattern() {
	const name = "attention.sliding_window_pattern"
	every := r.n.Family.FullEvery
	if !r.f.Has(r.key(name)) || every <= 1 {
		return
	}
	if v, err := r.f.Uint32(r.key(name)); err == nil {
		if int(v) != every {
			r.fail(name, "is %d: %w: libllama decodes this architecture with %d", v, ErrUnsupported, every)
		}
		return
	}
	windows, ok := r.f.Value(r.key(name)).([]bool)
	if !ok || len(windows) != r.n.Layers {
		r.fail(name, "is %s: want a number, or true or false for each of %d layers", r.f.TypeOf(r.key(name)),
			r.n.Layers)
		return
	}
	for i, w := range windows {
		if w != ((i+1)%every != 0) {
			r.fail(name, "says %t of layer %d: %w: libllama decodes every %dth layer of this architecture without a "+
				"window",
				w, i, ErrUnsupported, every)
			return
		}
	}
}

// rope reads what turns queries and keys, with the meaning that libllama gives the keys.
func (r *reader) rope() {
	n, fam := r.n, r.n.Family
	p := Rope{Dims: n.HeadDim, Halves: fam.Halves, Base: r.float("rope.freq_base", 10000), Scale: 1}
	if d := r.size("rope.dimension_count", n.HeadDim); d != n.HeadDim {
		switch {
		case !fam.Partial: // libllama aborts on it, so that the model cannot be used either
			r.fail("rope.dimension_count", "is %d, a head has %d: want that: heads of this architecture turn whole",
				d, n.HeadDim)
		case d < 2 || d%2 != 0 || d > n.HeadDim:
			r.fail("rope.dimension_count", "is %d, a head has %d: want an even number up to that", d, n.HeadDim)
		}
		p.Dims = d
	}
	if !(p.Base > 0) {
		r.fail("rope.freq_base", "is %g: want a positive number", p.Base)
	}
	p.Magnitude = r.float("rope.scaling.attn_factor", 1)
	kind := "linear" // as libllama: a factor alone divides positions
	if r.f.Has(r.key("rope.scaling.type")) {
		var err error
		kind, err = r.f.String(r.key("rope.scaling.type"))
		r.keep(err)
	}
	factor := r.float("rope.scaling.factor", r.float("rope.scale_linear", 0))
	if factor == 0 {
		factor = 1 // as libllama: not used
	}
	original := r.size("rope.scaling.original_context_length", n.Context)
	longrope := r.hasTensor("rope_factors_short.weight") && fam.Factors
	switch kind {
	case "none":
	case "linear":
		p.Scale = 1 / factor
	case "yarn":
		if !fam.Yarn {
			r.fail("rope.scaling.type", `is "yarn": %w: no model of this architecture has it`, ErrUnsupported)
		}
		p.Scale, p.Yarn = 1/factor, true
		r.yarn(&p, float64(factor), original)
	case "longrope":
		p.Scale = 1 / factor
		if !longrope {
			r.fail("rope.scaling.type", `is "longrope", but there is no tensor rope_factors_short.weight: %w`,
				ErrUnsupported)
		}
	default:
		r.fail("rope.scaling.type", "is %q: %w: supported are none, linear, yarn, longrope and Llama 3's frequency "+
			"factors", kind, ErrUnsupported)
	}
	switch {
	case longrope && (kind == "longrope" || r.arch == "phi3"):
		p.Factors = "rope_factors_short.weight"
		if original < n.Context {
			r.warn("sequences of more than %d tokens need the model's factors for long texts, which are not computed "+
				"here: "+
				"its context is %d tokens, not %d", original, original, n.Context)
			n.Context = original
		}
	case fam.Factors && r.hasTensor("rope_freqs.weight"):
		p.Factors = "rope_freqs.weight"
	}
	n.Rope, n.WindowRope = p, p
}

// yarn is the ramp between turned and stretched pairs, and the magnitude, as ggml_rope_yarn_corr_dims and
// llama_context compute them.
func (r *reader) yarn(p *Rope, factor float64, original int) {
	fast, slow, logMul := 32.0, 1.0, 0.0
	if r.arch == "mistral3" {
		fast = float64(r.float("rope.scaling.yarn_beta_fast", 32))
		slow = float64(r.float("rope.scaling.yarn_beta_slow", 1))
		logMul = float64(r.float("rope.scaling.yarn_log_multiplier", 0))
	} else {
		r.expect("rope.scaling.yarn_beta_fast", 32)
		r.expect("rope.scaling.yarn_beta_slow", 1)
	}
	pair := func(turns float64) float64 {
		return float64(p.Dims) * math.Log(float64(original)/(turns*2*math.Pi)) / (2 * math.Log(float64(p.Base)))
	}
	p.Low = int(max(0, math.Floor(pair(fast))))
	p.High = int(min(float64(p.Dims-1), math.Ceil(pair(slow))))
	scale := func(by float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*by*math.Log(factor) + 1
	}
	m := scale(1)
	if logMul != 0 {
		m /= scale(logMul)
	}
	p.Magnitude *= float32(m)
}

func (r *reader) hasTensor(name string) bool {
	_, ok := r.f.Tensor(name)
	return ok
}

// classes refuses kinds of models that share the architecture's name.
func (r *reader) classes() {
	for _, name := range []string{"expert_count", "expert_used_count", "expert_group_count",
		"expert_group_used_count"} {
		if v := r.f.Value(r.key(name)); v != nil && v != uint32(0) {
			r.fail(name, "is %v: a mixture of experts: %w", v, ErrUnsupported)
		}
	}
	if r.f.Has(r.key("classifier.output_labels")) && r.err == nil {
		r.err = fmt.Errorf("%s: a classifier: %w", r.key("classifier.output_labels"), ErrUnsupported)
	}
	if kind, err := r.f.Uint32(r.key("pooling_type")); err == nil && kind != 0 {
		r.fail("pooling_type", "is %d: an embedding model: %w", kind, ErrUnsupported)
	}
}

// MayBias tells whether the linear of that GGUF name may carry a bias.
func (f *Family) MayBias(target string) bool { return slices.Contains(f.Biases, target) }
