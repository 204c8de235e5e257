// Package merge writes a model whose weights hold an adapter: W' = W + scale · B A for every adapted
// matrix, each stored in a type that is asked for.
//
// A matrix is read, added to and stored a few rows at a time, with ggml's own code for its types:
// to_float, and the quantizer without an importance matrix. Memory does not depend on the model.
//
// It may import cgo for that code, the readers of files (ggml/gguf, ggml/modelfile, ggml/adapter), and
// internal.
package merge
