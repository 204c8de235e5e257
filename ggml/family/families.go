package family

import (
	"errors"
	"math"
	"strings"
)

// ErrUnsupported is wrapped when a model is valid but not one that can be trained here.
var ErrUnsupported = errors.New("steer does not train it")

// Norms says where the RMS norms of a block's two halves stand.
type Norms int

// The places of norms. With f the attention or the feed-forward network:
const (
	NormBefore Norms = iota // y = x + f(norm(x))
	NormAfter               // y = x + norm(f(x))
	NormBoth                // y = x + norm'(f(norm(x)))
)

// QKNorm says what the RMS norm of queries and keys goes over, before RoPE.
type QKNorm int

// The norms of queries and keys.
const (
	NoQKNorm  QKNorm = iota
	EachHead         // the features of each head by themselves, one weight for all heads
	WholeRows        // all heads together
)

// Gate is the activation of the feed-forward network's gate.
type Gate int

// The activations.
const (
	SiLU Gate = iota // g σ(g)
	GELU             // g Φ(g), Φ by tanh (Hendrycks and Gimpel 2016)
)

// Family is what is the same in all models of one GGUF architecture.
type Family struct {
	Arch   string // general.architecture
	Models string // what its models are called

	Norms  Norms
	QKNorm QKNorm
	Gate   Gate
	// Fused: attn_qkv holds q, k and v, and ffn_up gate and up, in this order.
	Fused bool
	// Biases lists the linears that may carry a bias.
	Biases []string
	// Halves: RoPE turns features i and i+d/2 of a head, as transformers does. Otherwise 2i and
	// 2i+1: the converter has permuted the rows of q and k.
	Halves bool
	// Partial: RoPE may turn only the first features of a head.
	Partial bool
	// Factors: the model may carry frequency factors (rope_freqs, or rope_factors_*).
	Factors bool
	// Yarn: RoPE may be scaled by YaRN (Peng et al. 2023, arXiv:2309.00071).
	Yarn bool
	// NoRope: every n-th layer has no RoPE; 0: all have it.
	NoRope int
	// FullEvery: with a window, every n-th layer sees everything; 0: no layer has a window,
	// 1: all have one.
	FullEvery int
	// Window is the window, in tokens, of a file that names none; 0: none.
	Window int

	read func(r *reader, n *Network) // constants of the family's own
}

// families is the table. To add one: an entry here, a golden in testdata/golden/arch, and a
// line in docs/models.md; ARCHITECTURE.md says how.
var families = []Family{
	{
		Arch: "llama", Models: "Llama 1 to 3, Mistral, SmolLM 1 and 2, and others stored as such",
		Biases: attentionBiases, Factors: true, Yarn: true, FullEvery: 1,
	},
	{
		Arch: "qwen2", Models: "Qwen 2 and 2.5",
		Biases: []string{"attn_q", "attn_k", "attn_v"}, Halves: true, Yarn: true,
	},
	{Arch: "qwen3", Models: "Qwen 3, dense", QKNorm: EachHead, Halves: true, Yarn: true},
	{Arch: "gemma", Models: "Gemma 1", Gate: GELU, Halves: true, read: gemma},
	{
		Arch: "gemma2", Models: "Gemma 2", Norms: NormBoth, Gate: GELU, Halves: true,
		FullEvery: 2, Window: 4096, read: gemma2,
	},
	{
		Arch: "gemma3", Models: "Gemma 3, text", Norms: NormBoth, QKNorm: EachHead, Gate: GELU, Halves: true,
		FullEvery: 6, read: gemma3,
	},
	{Arch: "phi3", Models: "Phi 3, 3.5 and 4", Fused: true, Halves: true, Partial: true, Factors: true, read: phi3},
	{
		Arch: "granite", Models: "Granite 3 and 4, dense",
		Biases: attentionBiases, Factors: true, Yarn: true, read: granite,
	},
	{
		Arch: "olmo2", Models: "OLMo 2 and 3", Norms: NormAfter, QKNorm: WholeRows, Halves: true, Yarn: true,
		FullEvery: 4, read: olmo2,
	},
	{Arch: "smollm3", Models: "SmolLM 3", Yarn: true, NoRope: 4},
	{
		Arch: "mistral3", Models: "Mistral 3 and Ministral 3, text, dense",
		Biases: attentionBiases, Factors: true, Yarn: true, read: mistral3,
	},
}

var attentionBiases = []string{"attn_q", "attn_k", "attn_v", "attn_output"}

// Of returns the family of an architecture.
func Of(arch string) (*Family, bool) {
	for i := range families {
		if families[i].Arch == arch {
			return &families[i], true
		}
	}
	return nil, false
}

// Archs are the architectures.
func Archs() (names []string) {
	for _, f := range families {
		names = append(names, f.Arch)
	}
	return names
}

// Known lists the architectures, with what their models are called: "llama (Llama 1 to 3, ...)".
func Known() string {
	var names []string
	for _, f := range families {
		names = append(names, f.Arch+" ("+f.Models+")")
	}
	return strings.Join(names, "; ")
}

// Gemma 1: embeddings times the root of their width.
func gemma(_ *reader, n *Network) {
	n.EmbdScale = float32(math.Sqrt(float64(n.Embd)))
}

// Gemma 2 caps attention scores and logits.
func gemma2(r *reader, n *Network) {
	gemma(r, n)
	n.AttnCap = r.float("attn_logit_softcapping", 50)
	n.LogitCap = r.float("final_logit_softcapping", 30)
	n.AttnScale = gemmaScale(n, 46)
}

// Gemma 3: layers with a window turn by a base of their own, and are never scaled.
func gemma3(r *reader, n *Network) {
	gemma(r, n)
	n.LogitCap = r.float("final_logit_softcapping", 0)
	n.AttnScale = gemmaScale(n, 62)
	n.WindowRope.Base, n.WindowRope.Scale = 10000, 1
	r.expect("rope.freq_base_swa", n.WindowRope.Base)
}

// gemmaScale: the 27B models, told by their depth, scale scores by n_embd / heads.
func gemmaScale(n *Network, layersOf27B int) float32 {
	width := n.HeadDim
	if n.Layers == layersOf27B {
		width = n.Embd / n.Heads
	}
	return float32(1 / math.Sqrt(float64(float32(width))))
}

// Phi 3: llama.cpp computes its windows as full attention, so they are no longer written; a file
// that has them is read as llama.cpp reads it.
func phi3(r *reader, n *Network) {
	if w := r.size("attention.sliding_window", 0); w > 0 && w < n.Context {
		r.warn("phi3.attention.sliding_window is %d: llama.cpp computes this architecture without a window, and so "+
			"does "+
			"steer: texts of more tokens are not what the model was trained on", w)
	}
}

// Granite's multipliers.
func granite(r *reader, n *Network) {
	n.EmbdScale = orOne(r.float("embedding_scale", 0))
	n.ResidualScale = orOne(r.float("residual_scale", 0))
	if s := r.float("attention.scale", 0); s != 0 {
		n.AttnScale = s
	}
	if s := r.float("logit_scale", 1); s > 0 {
		n.LogitScale = 1 / s
	} else {
		r.fail("logit_scale", "is %g: want a positive number", s)
	}
	if !r.bool("rope.scaling.finetuned", true) { // llama.cpp's switch for RoPE in this architecture
		n.noRope()
	}
}

func orOne(x float32) float32 {
	if x == 0 {
		return 1
	}
	return x
}

// OLMo 3: layers with a window turn without YaRN.
func olmo2(r *reader, n *Network) {
	n.WindowRope = n.Rope
	n.WindowRope.Scale, n.WindowRope.Magnitude, n.WindowRope.Yarn = 1, 1, false
	r.expect("rope.freq_base_swa", n.Rope.Base)
}

// Mistral 3: queries grow slowly with their position, beyond the original context.
func mistral3(r *reader, n *Network) {
	if s := r.float("attention.temperature_scale", 0); s != 0 {
		n.QueryGrowth, n.QueryFloor = s, r.size("rope.scaling.original_context_length", n.Context)
	}
}
