// Package safetensors reads and writes the safetensors format
// (https://github.com/huggingface/safetensors), the container of PEFT adapters:
//
//	8 bytes   n, little endian
//	n bytes   JSON: {"__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets"}, ...}
//	the rest  tensor bytes; data_offsets count from here
//
// Open checks what the reference implementation checks (lengths, overflow, no holes
// and no overlaps between tensors, every byte used) before it allocates anything the
// file's size does not justify. Shapes are in PyTorch order: the last dimension is
// contiguous. Write makes the bytes the reference implementation makes.
//
// It may import internal alone: strict JSON, half floats, atomic files, what a file is that is none of its own.
// ggml/adapter and ggml/convert import it.
package safetensors
