// Package gguf reads and writes GGUF, the container of ggml models and adapters
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), in pure Go.
//
// A file is metadata (typed keys), a table of tensors, and their bytes:
//
//	f, err := gguf.Open("model.gguf")
//	if err != nil { ... }
//	defer f.Close()
//	layers, err := f.Uint32("llama.block_count")
//	q, err := f.Float32Data("blk.0.attn_norm.weight")
//
// Open trusts nothing it reads: every count, length, dimension and offset is
// checked against the size of the file before memory is allocated for it, so a
// file handed over by a stranger costs an error, never the process. The checks
// are at least as strict as those of ggml's own gguf_init_from_file where that
// function would abort or allocate without bound.
//
// Versions 2 and 3, little endian, are read; version 3 is written. Dimensions are
// in ggml order everywhere: Dims[0] is the contiguous one. Quantized tensors are
// described and their bytes handed out, not unpacked; F32, F16 and BF16 can be
// read as float32.
//
// A File may be used by several goroutines at once; a Writer may not.
//
// It may import internal alone: half floats, atomic files, what a file is that is no GGUF. ggml/modelfile judges
// models and ggml/adapter reads adapters through it; ggml/gguf/gguftest writes models for tests.
package gguf
