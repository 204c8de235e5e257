package transformer

import (
	"steer/cgo"
	"steer/ggml/family"
)

// Weights are the model's tensors, with the adapters that are switched on.
type Weights struct {
	Embd       cgo.Tensor // [n_embd, n_vocab]
	OutputNorm cgo.Tensor // [n_embd]
	Output     cgo.Tensor // [n_embd, n_vocab]; the embedding itself when tied
	Factors    cgo.Tensor // [rope dims/2], RoPE's frequency factors; may be none
	Layers     []Layer
	Head       *ScalarHead // nil: no scalar head
}

// Layer is one transformer block. What its family does not have is none.
type Layer struct {
	family.Layer

	AttnNorm, FFNNorm         cgo.Tensor // [n_embd], before the block's halves
	AttnPostNorm, FFNPostNorm cgo.Tensor // [n_embd], after them
	QNorm, KNorm              cgo.Tensor // [head_dim], or the whole row's width

	QKV            Linear // or
	Q, K, V        Linear
	O              Linear
	Gate, Up, Down Linear // without Gate, Up makes the gate's half and then its own
}

// Linears lists the layer's linear layers by their GGUF names.
func (l *Layer) Linears() map[string]*Linear {
	all := map[string]*Linear{
		"attn_q": &l.Q, "attn_k": &l.K, "attn_v": &l.V, "attn_qkv": &l.QKV, "attn_output": &l.O,
		"ffn_gate": &l.Gate, "ffn_up": &l.Up, "ffn_down": &l.Down,
	}
	for name, lin := range all {
		if !lin.W.OK() {
			delete(all, name)
		}
	}
	return all
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
	Bias      cgo.Tensor // [n_out]; may be none
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
