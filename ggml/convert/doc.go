// Package convert turns a model repository (config.json, safetensors, a tokenizer) into a GGUF file of f32, f16
// or bf16:
//
//	c, err := convert.Open(dir)
//	if err != nil { ... }
//	defer c.Close()
//	err = c.Save(ctx, "base.gguf", convert.Options{Type: gguf.TypeBF16})
//
// A family of models is an entry of a table (families.go): the names of its tensors, what is done to their
// numbers, its metadata, and what of its configuration libllama takes for granted and so has to be as it is.
// Names, shapes, types, bytes and metadata are those that llama.cpp's converter writes; where they are not, the
// reason stands in docs/models.md. Everything is checked before anything is written: that every tensor is there,
// in the shape that config.json says, in a type of plain numbers. Tensors are read, converted and written in
// pieces, so that the memory needed does not depend on the model.
//
// It may import ggml/gguf, ggml/adapter/safetensors, ggml/convert/tokenizer and internal.
package convert
