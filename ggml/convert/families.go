package convert

import (
	"maps"
	"slices"

	"steer/ggml/gguf"
)

// family says how the models of one architecture of transformers become GGUF.
type family struct {
	arch     string         // GGUF's name
	defaults map[string]any // what transformers takes for keys that config.json leaves out

	layer  map[string]string // GGUF names of a layer's parts by their names in transformers
	biases []string          // parts (GGUF names) that may have a bias

	pairs      bool   // RoPE turns neighbours in GGUF, halves in transformers: rows of q and k change places
	normShift  bool   // norms are stored as weight - 1
	fused      bool   // gate and up, and q, k and v, are one matrix each
	wholeNorms bool   // norms of q and k span all heads
	untied     bool   // libllama wants an output matrix even where it is the embedding
	vocabSize  bool   // GGUF holds the number of tokens
	ropeDims   bool   // GGUF holds how much of a head is turned
	headWidth  bool   // GGUF holds the width of a head
	digits     string // libllama's name for the pre-tokenizer that splits off every digit

	activation string // of the gate; libllama takes it for granted

	// further checks and writes what only this family has.
	further func(*model, *gguf.Writer)
}

// The parts of a layer of Llama, and of most others.
var llamaLayer = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output",
	"mlp.gate_proj":    "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

// with is a layer with some parts added or named otherwise; those named "" are not there.
func with(layer, changes map[string]string) map[string]string {
	out := maps.Clone(layer)
	maps.Copy(out, changes)
	maps.DeleteFunc(out, func(_, name string) bool { return name == "" })
	return out
}

var headNorms = map[string]string{"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}

var gemmaLayer = with(llamaLayer, map[string]string{
	"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
	"post_feedforward_layernorm": "post_ffw_norm",
})

var (
	qkv       = []string{"attn_q", "attn_k", "attn_v"}
	allLinear = []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}
)

const (
	silu = "silu"
	gelu = "gelu_pytorch_tanh"
)

var llama = family{
	arch: "llama", layer: llamaLayer, biases: allLinear, pairs: true, vocabSize: true, ropeDims: true, headWidth: true,
	activation: silu, further: furtherLlama,
	defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "vocab_size": 32000},
}

// families by the name that config.json has in "architectures". Adding one is an entry here, and a checkpoint
// with the numbers of llama.cpp's converter in testdata/golden/convert.
var families = map[string]*family{
	"LlamaForCausalLM": &llama,
	"MistralForCausalLM": derived(llama, func(f *family) {
		f.further = furtherMistral
		f.defaults = map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 131072, "vocab_size": 32000,
			"num_key_value_heads": 8, "sliding_window": 4096}
	}),
	"Mistral3ForConditionalGeneration": derived(llama, func(f *family) {
		f.arch, f.further = "mistral3", furtherMistral3
		f.defaults = map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 131072, "vocab_size": 32000,
			"num_key_value_heads": 8, "sliding_window": 4096}
	}),
	"Ministral3ForCausalLM": derived(llama, func(f *family) {
		f.arch, f.further = "mistral3", furtherMistral3
		f.defaults = map[string]any{"rms_norm_eps": 1e-5, "max_position_embeddings": 262144, "vocab_size": 131072,
			"num_key_value_heads": 8, "head_dim": 128, "rope_theta": 1e6}
	}),
	"SmolLM3ForCausalLM": derived(llama, func(f *family) {
		f.arch, f.biases, f.headWidth, f.further = "smollm3", nil, false, furtherSmolLM3
		f.defaults = map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "vocab_size": 128256,
			"num_key_value_heads": 4, "rope_theta": 2e6}
	}),
	"GraniteForCausalLM": derived(llama, func(f *family) {
		f.arch, f.headWidth, f.further, f.digits = "granite", false, furtherGranite, "refact"
	}),
	"Qwen2ForCausalLM": {
		arch: "qwen2", layer: llamaLayer, biases: qkv, activation: silu, further: furtherQwen,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "vocab_size": 151936},
	},
	"Qwen3ForCausalLM": {
		arch: "qwen3", layer: with(llamaLayer, headNorms), headWidth: true, activation: silu, further: furtherQwen,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "vocab_size": 151936,
			"head_dim": 128},
	},
	"GemmaForCausalLM": {
		arch: "gemma", layer: llamaLayer, normShift: true, headWidth: true, activation: gelu, further: furtherGemma,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 8192, "vocab_size": 256000,
			"head_dim": 256, "num_key_value_heads": 16},
	},
	"Gemma2ForCausalLM": {
		arch: "gemma2", layer: gemmaLayer, normShift: true, headWidth: true, activation: gelu, further: furtherGemma2,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 8192, "vocab_size": 256000,
			"head_dim": 256, "num_key_value_heads": 4, "sliding_window": 4096,
			"query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
	},
	"Gemma3ForCausalLM":              &gemma3,
	"Gemma3ForConditionalGeneration": &gemma3,
	"Phi3ForCausalLM": {
		arch: "phi3", fused: true, ropeDims: true, activation: silu, further: furtherPhi3,
		layer: with(llamaLayer, map[string]string{
			"self_attn.q_proj": "", "self_attn.k_proj": "", "self_attn.v_proj": "", "self_attn.qkv_proj": "attn_qkv",
			"mlp.gate_proj": "", "mlp.up_proj": "", "mlp.gate_up_proj": "ffn_up"}),
		defaults: map[string]any{"rms_norm_eps": 1e-5, "max_position_embeddings": 4096, "vocab_size": 32064,
			"original_max_position_embeddings": 4096},
	},
	"Olmo2ForCausalLM": &olmo2,
	"Olmo3ForCausalLM": derived(olmo2, func(f *family) {
		f.further = furtherOlmo3
		f.defaults = with2(f.defaults, map[string]any{"sliding_window": 4096, "rope_theta": 500000.0})
	}),
}

var gemma3 = family{
	arch: "gemma3", layer: with(gemmaLayer, headNorms), normShift: true, headWidth: true, activation: gelu,
	further: furtherGemma3,
	defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 131072, "vocab_size": 262208,
		"head_dim": 256, "num_attention_heads": 8, "num_key_value_heads": 4,
		"query_pre_attn_scalar": 256, "sliding_window": 4096, "rope_theta": 1e6, "rope_local_base_freq": 1e4},
}

var olmo2 = family{
	arch: "olmo2", wholeNorms: true, untied: true, activation: silu, further: furtherOlmo2,
	layer: with(with(llamaLayer, headNorms), map[string]string{"input_layernorm": "",
		"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}),
	defaults: map[string]any{"rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "vocab_size": 50304},
}

func derived(from family, change func(*family)) *family {
	change(&from)
	return &from
}

func with2(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// Architectures lists what can be converted, by the names of config.json.
func Architectures() []string { return slices.Sorted(maps.Keys(families)) }
