// Package llama is the Llama network as a training graph: the forward pass and,
// right beside each part of it, its hand-written backward pass.
//
// Notation, in the order of a layer (T tokens of a ragged batch lie end to end,
// matrices are written in ggml order, [features, tokens]):
//
//	n1  = rms(x) ∘ w1                  q, k, v = Wq n1, Wk n1, Wv n1
//	o   = attention(rope(q), rope(k), v)
//	r   = x + Wo o
//	n2  = rms(r) ∘ w2                  g, u = Wg n2, Wu n2
//	out = r + Wd (silu(g) ∘ u)
//
// as in Touvron et al. 2023 (arXiv:2302.13971) and llama.cpp's llm_build_llama.
// dz names the gradient of the loss with respect to z. Every linear layer carries
// the LoRA pairs of the adapters that are switched on: y = W x + Σ B (s A x)
// (Hu et al. 2021, arXiv:2106.09685); W is quantized and frozen.
//
// Nodes run in the order in which they are built. That order is relied upon:
// gradients are accumulated in place, and a tensor that is overwritten in place is
// never read by a later line.
//
// It imports package cgo alone. Package ggml decides what is asked of a step and owns the memory; the kernels of the
// ops are in cgo/native.
package llama
