package llama

import (
	"steer/cgo"
)

// Shape holds the sizes and constants of a model.
type Shape struct {
	Layers, Embd, FF, Heads, KVHeads, HeadDim, Vocab int

	RMSEps    float32
	AttnScale float32 // factor on q·k, usually 1/sqrt(HeadDim)
	Rope      Rope
}

// Rope says how positions turn into rotations: pair i of a head's features by
// pos · FreqScale · FreqBase^(-2i/dim), divided by the model's frequency factor if it has some.
type Rope struct {
	Mode      int // which features are a pair: 0: 2i and 2i+1; 2 (NEOX): i and i + dim/2
	FreqBase  float32
	FreqScale float32
	Magnitude float32 // multiplies cosine and sine, usually 1
}

// Weights are the model's tensors, with the adapters that are switched on.
type Weights struct {
	Embd       cgo.Tensor // [n_embd, n_vocab]
	OutputNorm cgo.Tensor // [n_embd]
	Output     cgo.Tensor // [n_embd, n_vocab]; the embedding itself when tied
	RopeFreqs  cgo.Tensor // [head_dim/2], Llama 3's frequency factors; may be none
	Layers     []Layer
	Head       *ScalarHead // nil: no scalar head
}

// Layer is one transformer block.
type Layer struct {
	AttnNorm, FFNNorm cgo.Tensor // [n_embd]

	Q, K, V, O     Linear
	Gate, Up, Down Linear
}

// Linears lists the layer's linear layers by their GGUF names.
func (l *Layer) Linears() map[string]*Linear {
	return map[string]*Linear{
		"attn_q": &l.Q, "attn_k": &l.K, "attn_v": &l.V, "attn_output": &l.O,
		"ffn_gate": &l.Gate, "ffn_up": &l.Up, "ffn_down": &l.Down,
	}
}

// Trainable tells whether any linear of the layer has a trainable pair.
func (l *Layer) Trainable() bool {
	for _, lin := range l.Linears() {
		for _, p := range lin.Pairs {
			if p.GradA.OK() {
				return true
			}
		}
	}
	return false
}

// Linear is a frozen weight with the LoRA pairs on it.
type Linear struct {
	W         cgo.Tensor // [n_in, n_out], any ggml type
	NIn, NOut int
	Pairs     []Pair
}

// Pair is a live LoRA pair; it is trainable when it has gradients.
type Pair struct {
	A, B         cgo.Tensor // [n_in, rank], [rank, n_out]
	GradA, GradB cgo.Tensor
	Rank         int
	Scale        float32 // alpha / rank
	Dropout      float32 // probability, on the input of A
	Site         int     // tells this pair's dropout masks from all others
}

// ScalarHead reads w·h + b after the final norm.
type ScalarHead struct {
	W, B         cgo.Tensor // [n_embd], [1]
	GradW, GradB cgo.Tensor // none: frozen
}
