package modelfile

import "steer/ggml/gguf"

// Kernel is how training reads the weights of a type.
type Kernel string

// The kernels.
const (
	// Own: unpacked tile by tile by steer's own kernels, at their speed.
	Own Kernel = "own"
	// Generic: unpacked row by row by ggml's to_float, slower.
	Generic Kernel = "ggml"
	// NoKernel: no matrix is stored so.
	NoKernel Kernel = "none"
)

// KernelOf says how training reads a type of weights. It mirrors unpack_f32 in
// cgo/native/cpu/micro_unpack.h and STEER_BLOCK_TYPES in cgo/native/cuda/blocks.h.
func KernelOf(t gguf.Type) Kernel {
	switch t {
	case gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16, gguf.TypeQ4_0, gguf.TypeQ4_1, gguf.TypeQ5_0, gguf.TypeQ5_1,
		gguf.TypeQ8_0,
		gguf.TypeQ4K, gguf.TypeQ5K, gguf.TypeQ6K:
		return Own
	}
	if weightType(t) {
		return Generic
	}
	return NoKernel
}
