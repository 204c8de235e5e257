// Package halffloat turns the two half-wide floating-point types of model files, IEEE 754's f16 and
// bfloat16, into float32 and back. It imports nothing of this module; readers and writers of GGUF
// and safetensors use it.
package halffloat
