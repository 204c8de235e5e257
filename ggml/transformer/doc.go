// Package transformer is a decoder-only transformer as a training graph: the forward pass and,
// right beside each part of it, its hand-written backward pass. Which parts a model has, and their
// constants, is said by a family.Network; the tensors by Weights. It imports cgo and family; ggml
// looks the tensors up and runs the graph.
//
// Notation, in the order of a layer of the llama family (T tokens of a ragged batch lie end to end,
// matrices are written in ggml order, [features, tokens]):
//
//	n1  = rms(x) ∘ w1                  q, k, v = Wq n1, Wk n1, Wv n1
//	o   = attention(rope(q), rope(k), v)
//	r   = x + Wo o
//	n2  = rms(r) ∘ w2                  g, u = Wg n2, Wu n2
//	out = r + Wd (silu(g) ∘ u)
//
// as in Touvron et al. 2023 (arXiv:2302.13971) and llama.cpp's llm_build_llama. Other families
// norm behind the blocks too, or only there; norm q and k; add biases; cap or widen scores; see
// package family. dz names the gradient of the loss with respect to z. Every linear layer carries
// the LoRA pairs of the adapters that are switched on: y = W x + b + Σ B (s A x)
// (Hu et al. 2021, arXiv:2106.09685); W and b are frozen, W in any quantization.
//
// Nodes run in the order in which they are built. That order is relied upon:
// gradients are accumulated in place, and a tensor that is overwritten in place is
// never read by a later line.
package transformer
