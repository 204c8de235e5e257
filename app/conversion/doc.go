// Package conversion is behind steer model convert and steer model quantize: it sees that the disk has room, goes
// through a temporary file where a quantized type is wanted, and says what it does.
//
// It may import ggml/convert, ggml/quantize, ggml/gguf and internal.
package conversion
