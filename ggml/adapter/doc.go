// Package adapter holds LoRA adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685)
// in host memory and moves them between files.
//
// An Adapter is a set of pairs (A, B), one for each adapted weight matrix W, and
// perhaps a scalar head. It changes a layer to
//
//	y = W x + scale · B (A x),   scale = alpha/rank  (rank-stabilized: alpha/√rank)
//
// Two forms on disk are read and written:
//
//   - llama.cpp's LoRA GGUF (Load, Save, Bytes), which llama.cpp and Ollama load as it
//     is. The head, the rank-stabilized flag and free metadata travel as "steer.*" keys,
//     which other readers skip.
//   - a PEFT folder (ImportPEFT, ExportPEFT): adapter_config.json beside
//     adapter_model.safetensors, and v_head.safetensors for a head with bias, as TRL
//     writes it.
//
// Both are lossless: a float32 adapter comes back bit for bit, also through the other
// form. Files are checked as coming from a stranger: errors, never panics or unbounded
// memory.
//
// Matrices are in ggml order, contiguous dimension first: A is [n_in, rank], B is
// [rank, n_out]. In memory that is the same as PyTorch's row-major [rank, n_in] and
// [n_out, rank]. Nothing here touches native memory; the engine copies in and out.
//
// It may import ggml/gguf and ggml/adapter/safetensors, the two containers, ggml/lm for the names of tensors, and
// internal. Package ggml lays an Adapter on a device; trainers save it.
package adapter
