// Package quantize makes a smaller GGUF file of a model, by libllama's own quantizer, so that the result is that of
// llama.cpp's llama-quantize:
//
//	typ, err := quantize.Parse("q4_k_m")
//	if err != nil { ... }
//	res, err := quantize.File(ctx, "base.gguf", "small.gguf", quantize.Options{Type: typ})
//
// Metadata, the chat template among them, are kept. The file appears whole or not at all. Types that need to know
// which columns matter want an importance matrix (importance.go), and are refused without one.
//
// It may import ggml/gguf, ggml/modelfile, cgo and internal.
package quantize
