// Package family describes the networks that the engine trains: what a family of models (Llama,
// Qwen, Gemma, ...) is made of, and what the header of a GGUF file says of one model of it.
//
// A Family is an entry of a table (families.go): where its norms stand, which linears carry a
// bias or are fused, how RoPE pairs features. Read turns the entry and a file's metadata into a
// Network: every number that the forward pass needs, layer by layer. The graph over these parts
// is ggml/transformer; names of LoRA targets and their PEFT counterparts are ggml/adapter's.
//
// It imports ggml/gguf alone. Sources are the models' own papers and code in transformers, and
// llama.cpp's llama_model::load_hparams and llm_build_* for what the keys mean.
package family
