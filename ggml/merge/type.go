package merge

import (
	"fmt"
	"slices"
	"strings"

	"steer/ggml/gguf"
)

// Type says how the matrices of a merged model are stored.
type Type string

// Same leaves every matrix in the type that it has.
const Same Type = "same"

// stored are the other types, each with the tensors' and the file's, as llama.cpp numbers it in
// general.file_type (enum llama_ftype).
var stored = []struct {
	name Type
	of   gguf.Type
	file uint32
}{
	{"f32", gguf.TypeF32, 0}, {"f16", gguf.TypeF16, 1}, {"bf16", gguf.TypeBF16, 32},
	{"q8_0", gguf.TypeQ8_0, 7}, {"q6_k", gguf.TypeQ6K, 18}, {"q5_k", gguf.TypeQ5K, 16}, {"q5_1", gguf.TypeQ5_1, 9},
	{"q5_0", gguf.TypeQ5_0, 8}, {"q4_k", gguf.TypeQ4K, 14}, {"q4_1", gguf.TypeQ4_1, 3}, {"q4_0", gguf.TypeQ4_0, 2},
}

// Values lists the types.
func (Type) Values() []string {
	out := []string{string(Same)}
	for _, s := range stored {
		out = append(out, string(s.name))
	}
	return out
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
	for _, s := range stored {
		if s.name == t {
			return s.of, s.file, true
		}
	}
	return 0, 0, false
}

// fallback is what a matrix is stored as whose rows are no whole blocks of the type, as llama.cpp has
// it where there is a type of smaller blocks.
func fallback(t gguf.Type, rows int64) gguf.Type {
	smaller := map[gguf.Type]gguf.Type{
		gguf.TypeQ4K: gguf.TypeQ5_0, gguf.TypeQ5K: gguf.TypeQ5_1, gguf.TypeQ6K: gguf.TypeQ8_0,
	}
	for {
		block, _ := t.Block()
		if rows%int64(block) == 0 {
			return t
		}
		if s, ok := smaller[t]; ok {
			t = s
			continue
		}
		t = gguf.TypeF16
	}
}
