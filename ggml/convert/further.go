package convert

import (
	"math"
	"slices"

	"steer/ggml/gguf"
)

// What only one family has. Much of it is checked rather than written: libllama takes it for granted, since GGUF
// has no key for it, and a model that differs would come out as another.

func furtherLlama(*model, *gguf.Writer) {}

func furtherMistral(m *model, _ *gguf.Writer) {
	if m.s.has("sliding_window") {
		m.notice("config.json: sliding_window is %d: libllama lets every token of this architecture see all before "+
			"it, so "+
			"texts longer than that come out otherwise", m.s.count("sliding_window"))
	}
}

// furtherMistral3 is Mistral Small 3 (as Llama) and Ministral 3 (YaRN, and a temperature that grows with the
// position).
func furtherMistral3(m *model, w *gguf.Writer) {
	furtherMistral(m, w)
	rope := m.rope.full
	if !rope.has("llama_4_scaling_beta") && !rope.has("mscale_all_dim") {
		return
	}
	w.SetFloat32("mistral3.rope.scaling.yarn_log_multiplier", float32(rope.number("mscale_all_dim")))
	w.SetFloat32("mistral3.attention.temperature_scale", float32(rope.number("llama_4_scaling_beta")))
	if rope.has("mscale") && rope.number("mscale") != 1 {
		rope.fail("mscale is %v: want 1, which libllama takes for granted", rope.values["mscale"])
	}
}

// furtherSmolLM3 checks that every fourth layer has no RoPE.
func furtherSmolLM3(m *model, _ *gguf.Writer) {
	if m.s.flag("use_sliding_window") {
		m.s.fail("use_sliding_window: libllama knows no window in this architecture")
	}
	interval := 4
	if m.s.has("no_rope_layer_interval") {
		interval = m.s.count("no_rope_layer_interval")
	}
	turned := m.s.numbers("no_rope_layers") // 1: the layer has RoPE
	for i := range m.sh.layers {
		has := (i+1)%interval != 0
		if i < len(turned) {
			has = turned[i] != 0
		}
		if has != ((i+1)%4 != 0) {
			m.s.fail("no_rope_layers, no_rope_layer_interval: layer %d: libllama takes for granted that every fourth "+
				"layer "+
				"has no RoPE, and no other", i)
		}
	}
}

// furtherGranite writes four factors. A value of 0 would be taken for none.
func furtherGranite(m *model, w *gguf.Writer) {
	for _, k := range []struct{ hub, gguf string }{
		{"attention_multiplier", "attention.scale"}, {"embedding_multiplier", "embedding_scale"},
		{"residual_multiplier", "residual_scale"}, {"logits_scaling", "logit_scale"},
	} {
		if m.s.has(k.hub) {
			w.SetFloat32("granite."+k.gguf, float32(m.s.number(k.hub)))
			continue
		}
		// transformers takes 1; libllama would divide by the square root of the head's width instead.
		w.SetFloat32("granite."+k.gguf, 1)
	}
}

func furtherQwen(m *model, _ *gguf.Writer) {
	if m.s.flag("use_sliding_window") && slices.Contains(layerTypes(m, m.sh.layers+1), "sliding_attention") {
		m.s.fail("use_sliding_window: libllama knows no window in this architecture")
	}
}

func furtherGemma(m *model, _ *gguf.Writer) {
	m.addBlank = false
	if said, ok := m.s.values[tiedKey]; ok && said == false {
		m.s.fail("%s is false: libllama knows no output matrix in this architecture", tiedKey)
	}
}

// furtherGemma2 checks the window on every other layer, from the first.
func furtherGemma2(m *model, w *gguf.Writer) {
	furtherGemma(m, w)
	m.checkWindows(2)
	m.checkScale()
	w.SetFloat32("gemma2.attn_logit_softcapping", float32(m.s.number("attn_logit_softcapping")))
	w.SetFloat32("gemma2.final_logit_softcapping", float32(m.s.number("final_logit_softcapping")))
	w.SetUint32("gemma2.attention.sliding_window", uint32(m.s.count("sliding_window")))
}

// furtherGemma3 checks the window on all but every sixth layer, with a RoPE of base 10000 there.
func furtherGemma3(m *model, w *gguf.Writer) {
	m.addBlank = false
	m.checkWindows(6)
	m.checkScale()
	if m.s.has("attn_logit_softcapping") {
		m.s.fail("attn_logit_softcapping: libllama knows none in this architecture")
	}
	if m.s.has("final_logit_softcapping") {
		w.SetFloat32("gemma3.final_logit_softcapping", float32(m.s.number("final_logit_softcapping")))
	}
	if m.s.flag("use_bidirectional_attention") {
		m.s.fail("use_bidirectional_attention: a model for embeddings: want one that generates")
	}
	if base := m.rope.swaBase; base != 10000 {
		m.s.fail("rope_local_base_freq (rope_parameters.sliding_attention.rope_theta) is %g: libllama takes "+
			"10000", base)
	}
	w.SetUint32("gemma3.attention.sliding_window", uint32(m.s.count("sliding_window")))
}

// checkScale checks by what queries are divided: GGUF has no key for it. libllama takes the square root of the
// head's width, and in the models of 27 B that of hidden_size / heads.
func (m *model) checkScale() {
	want := float64(m.sh.headDim)
	if big := map[string]int{"gemma2": 46, "gemma3": 62}[m.f.arch]; m.sh.layers == big {
		want = float64(m.sh.embd) / float64(m.sh.heads)
	}
	if got := m.s.number("query_pre_attn_scalar"); got != want {
		m.s.fail("query_pre_attn_scalar is %g: libllama takes %g for granted in this shape", got, want)
	}
}

// layerTypes are the kinds of attention of the layers; from the every-th on they are full where config.json says
// nothing.
func layerTypes(m *model, every int) []string {
	types := m.s.texts("layer_types")
	if types == nil {
		for i := range m.sh.layers {
			kind := "sliding_attention"
			if (i+1)%every == 0 {
				kind = "full_attention"
			}
			types = append(types, kind)
		}
	}
	return types
}

// checkWindows checks that all layers but every so-manieth have a window.
func (m *model) checkWindows(every int) {
	for _, key := range []string{"sliding_window_pattern", "_sliding_window_pattern"} {
		if m.s.has(key) && !m.s.has("layer_types") && m.s.count(key) != every {
			m.s.fail("%s is %d: libllama takes %d for granted", key, m.s.count(key), every)
		}
	}
	types := layerTypes(m, every)
	if len(types) != m.sh.layers {
		m.s.fail("layer_types names %d layers, num_hidden_layers is %d", len(types), m.sh.layers)
		return
	}
	for i, kind := range types {
		if full := (i+1)%every == 0; (kind == "full_attention") != full {
			m.s.fail("layer_types[%d] is %q: libllama takes for granted that every %dth layer sees everything, and "+
				"the others "+
				"a window", i, kind, every)
			return
		}
	}
}

func furtherOlmo2(m *model, _ *gguf.Writer) {
	if m.sh.headDim*m.sh.heads != m.sh.embd {
		m.s.fail("head_dim is %d: libllama takes hidden_size / num_attention_heads", m.sh.headDim)
	}
}

// furtherOlmo3 has a window on all but every fourth layer, and YaRN on the others alone.
func furtherOlmo3(m *model, w *gguf.Writer) {
	furtherOlmo2(m, w)
	m.checkWindows(4)
	w.SetUint32("olmo2.attention.sliding_window", uint32(m.s.count("sliding_window")))
	pattern := make([]bool, m.sh.layers)
	for i := range pattern {
		pattern[i] = (i+1)%4 != 0
	}
	w.SetValue("olmo2.attention.sliding_window_pattern", pattern)
}

// furtherPhi3 writes what of RoPE this family has of its own: factors for short and long texts, and by what
// queries and keys grow.
func furtherPhi3(m *model, w *gguf.Writer) {
	window := 0
	if m.s.has("sliding_window") {
		window = m.s.count("sliding_window")
		if window < m.sh.context {
			m.notice("config.json: sliding_window is %d: libllama lets every token of this architecture see all "+
				"before it, so "+
				"texts longer than that come out otherwise", window)
		}
	}
	w.SetUint32("phi3.attention.sliding_window", uint32(window))
	original := m.s.count("original_max_position_embeddings")
	w.SetUint32("phi3.rope.scaling.original_context_length", uint32(original))
	rope := m.rope.full
	kind := rope.text("rope_type")
	if kind == "default" {
		return
	}
	if kind != "longrope" && kind != "su" {
		rope.fail("rope_type is %q: want longrope or none", kind)
		return
	}
	long, short := rope.numbers("long_factor"), rope.numbers("short_factor")
	for name, of := range map[string][]float64{"long_factor": long, "short_factor": short} {
		if len(of) != m.ropeDims/2 {
			rope.fail("%s has %d numbers, want %d: half of what is turned of a head", name, len(of), m.ropeDims/2)
		}
	}
	factor := 1.0
	if scale := float64(m.sh.context) / float64(original); scale > 1 {
		factor = math.Sqrt(1 + math.Log(scale)/math.Log(float64(original)))
	}
	if rope.has("attention_factor") {
		factor = rope.number("attention_factor")
	}
	w.SetFloat32("phi3.rope.scaling.attn_factor", float32(factor))
	m.addFactors("rope_factors_long.weight", long)
	m.addFactors("rope_factors_short.weight", short)
}
