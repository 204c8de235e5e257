package merge

import (
	"fmt"
	"slices"
	"strings"

	"steer/ggml/gguf"
)

// Type says how the matrices of a merged model are stored.
type Type string

// The types. Quantized ones are made of a merged model in F32, by package quantize.
const (
	Same Type = "same" // every matrix in the type that it has
	F32  Type = "f32"
	F16  Type = "f16"
	BF16 Type = "bf16"
)

// stored are the types with the tensors' and the file's, as llama.cpp numbers it in general.file_type
// (enum llama_ftype).
var stored = map[Type]struct {
	of   gguf.Type
	file uint32
}{F32: {gguf.TypeF32, 0}, F16: {gguf.TypeF16, 1}, BF16: {gguf.TypeBF16, 32}}

// Values lists the types.
func (Type) Values() []string {
	return []string{string(Same), string(F32), string(F16), string(BF16)}
}

// Check refuses what is not one of Values.
func (t Type) Check() error {
	if slices.Contains(t.Values(), string(t)) {
		return nil
	}
	return fmt.Errorf("type %q: want one of %s", t, strings.Join(t.Values(), ", "))
}

// lookup gives the type of tensors and of the file; found is false for Same.
func (t Type) lookup() (of gguf.Type, file uint32, found bool) {
	s, found := stored[t]
	return s.of, s.file, found
}
