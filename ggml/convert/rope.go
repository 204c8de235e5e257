package convert

import (
	"math"

	"steer/ggml/gguf"
)

// rope is how positions become angles. config.json says it in several ways: rope_theta beside rope_scaling
// (transformers 4), rope_parameters (transformers 5), and either for kinds of layers apart.
type rope struct {
	full    *settings // of layers that see everything, with "rope_type" and "rope_theta"
	swaBase float64   // base in layers with a window; 0: the same
}

func ropeOf(s *settings) rope {
	all := s.object("rope_parameters")
	if len(all.values) == 0 {
		all = s.object("rope_scaling")
	}
	r := rope{full: all}
	if all.has("full_attention") {
		r.full = all.object("full_attention")
		r.swaBase = all.object("sliding_attention").number("rope_theta")
	} else if s.has("rope_local_base_freq") {
		r.swaBase = s.number("rope_local_base_freq")
	}
	v := r.full.values
	if v["rope_type"] == nil {
		v["rope_type"] = v["type"] // an older name
	}
	if v["rope_type"] == nil {
		v["rope_type"] = "default"
	}
	if v["rope_theta"] == nil {
		v["rope_theta"] = s.values["rope_theta"]
	}
	if v["rope_theta"] == nil {
		v["rope_theta"] = 10000.0
	}
	if v["original_max_position_embeddings"] == nil {
		v["original_max_position_embeddings"] = s.values["original_max_position_embeddings"]
	}
	if v["partial_rotary_factor"] == nil {
		v["partial_rotary_factor"] = s.values["partial_rotary_factor"]
	}
	return r
}

// writeRope writes base and scaling.
func (m *model) writeRope(w *gguf.Writer) {
	r, key := m.rope.full, m.f.arch+".rope."
	if m.f.arch != "gemma" && m.f.arch != "gemma2" { // where libllama's 10000 is the only one there is
		w.SetFloat32(key+"freq_base", float32(r.number("rope_theta")))
	} else if r.number("rope_theta") != 10000 {
		r.fail("rope_theta is %v: libllama takes 10000 for granted", r.values["rope_theta"])
	}
	if m.rope.swaBase != 0 {
		w.SetFloat32(key+"freq_base_swa", float32(m.rope.swaBase))
	}
	if m.f.ropeDims {
		w.SetUint32(key+"dimension_count", uint32(m.ropeDims))
	} else if m.ropeDims != m.sh.headDim {
		r.fail("partial_rotary_factor is %v: libllama turns whole heads of this "+
			"architecture", r.values["partial_rotary_factor"])
	}
	switch kind := r.text("rope_type"); {
	case kind == "default", m.f.arch == "phi3": // see furtherPhi3
	case m.f.arch == "gemma" || m.f.arch == "gemma2":
		r.fail("rope_type is %q: want default in this architecture", kind)
	case kind == "linear":
		w.SetString(key+"scaling.type", "linear")
		w.SetFloat32(key+"scaling.factor", float32(r.number("factor")))
	case kind == "yarn":
		m.writeYaRN(w, key+"scaling.")
	case kind == "llama3" && m.f.pairs:
		m.addFactors("rope_freqs.weight", m.llama3Factors())
	default:
		r.fail("rope_type is %q: want default, linear, yarn, or llama3 in architectures of Llama's kind", kind)
	}
}

func (m *model) writeYaRN(w *gguf.Writer, key string) {
	r := m.rope.full
	factor := r.number("factor")
	w.SetString(key+"type", "yarn")
	w.SetFloat32(key+"factor", float32(factor))
	w.SetUint32(key+"original_context_length", uint32(r.count("original_max_position_embeddings")))
	for _, k := range []struct{ hub, gguf string }{
		{"extrapolation_factor", "yarn_ext_factor"}, {"attention_factor", "yarn_attn_factor"},
		{"beta_fast", "yarn_beta_fast"}, {"beta_slow", "yarn_beta_slow"},
	} {
		if r.has(k.hub) {
			w.SetFloat32(key+k.gguf, float32(r.number(k.hub)))
		}
	}
	// libllama reads these keys in few architectures. In the others it takes the usual values for granted.
	usual := map[string]float64{"attention_factor": 0.1*math.Log(factor) + 1, "extrapolation_factor": 1}
	if m.f.arch != "mistral3" {
		usual["beta_fast"], usual["beta_slow"] = 32, 1
	}
	for name, want := range usual {
		if r.has(name) && math.Abs(r.number(name)-want) > 1e-6 {
			r.fail("%s is %v: libllama takes %.7g for granted in this architecture", name, r.values[name], want)
		}
	}
	if r.has("truncate") && !r.flag("truncate") {
		r.fail("truncate is false: libllama takes true for granted")
	}
}

// llama3Factors are what Llama 3.1 divides the frequencies by: 1 for short wave lengths, the factor for long
// ones, and a blend between (transformers, modeling_rope_utils.py).
func (m *model) llama3Factors() []float64 {
	r := m.rope.full
	base, factor := r.number("rope_theta"), r.number("factor")
	low, high := r.number("low_freq_factor"), r.number("high_freq_factor")
	original := float64(r.count("original_max_position_embeddings"))
	out := make([]float64, m.ropeDims/2)
	for i := range out {
		// In float32, as llama.cpp's converter computes it.
		freq := float32(1) / float32(math.Pow(base, float64(float32(2*i)/float32(m.ropeDims))))
		wave := float64(float32(2*math.Pi) / freq)
		switch {
		case wave < original/high:
			out[i] = 1
		case wave > original/low:
			out[i] = factor
		default:
			smooth := (original/wave - low) / (high - low)
			out[i] = 1 / ((1-smooth)/factor + smooth)
		}
	}
	return out
}

func (m *model) addFactors(name string, factors []float64) {
	f := make([]float32, len(factors))
	for i, x := range factors {
		f[i] = float32(x)
	}
	m.factors = append(m.factors, factorTensor{name, f})
}

type factorTensor struct {
	name   string
	values []float32
}
