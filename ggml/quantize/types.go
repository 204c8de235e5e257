package quantize

import (
	"fmt"
	"slices"
	"strings"

	"steer/ggml/gguf"
	"steer/internal/nearest"
)

// Type is a type of a whole file: of most matrices, with some in a finer one, as libllama mixes them.
type Type struct {
	Name     string
	fileType uint32    // enum llama_ftype
	Matrices gguf.Type // of most matrices
	// needsImportance: below about 3 bits a weight, rounding without an importance matrix leaves garbage, and
	// libllama refuses it.
	needsImportance bool
}

// Plain tells the types that hold plain numbers, which the converter writes itself.
func (t Type) Plain() bool {
	return t.Matrices == gguf.TypeF32 || t.Matrices == gguf.TypeF16 || t.Matrices == gguf.TypeBF16
}

// types are those of libllama's quantizer, with its numbers (llama.h).
var types = []Type{
	{"f32", 0, gguf.TypeF32, false},
	{"f16", 1, gguf.TypeF16, false},
	{"bf16", 32, gguf.TypeBF16, false},
	{"q8_0", 7, gguf.TypeQ8_0, false},
	{"q6_k", 18, gguf.TypeQ6K, false},
	{"q5_k_m", 17, gguf.TypeQ5K, false},
	{"q5_k_s", 16, gguf.TypeQ5K, false},
	{"q5_1", 9, gguf.TypeQ5_1, false},
	{"q5_0", 8, gguf.TypeQ5_0, false},
	{"q4_k_m", 15, gguf.TypeQ4K, false},
	{"q4_k_s", 14, gguf.TypeQ4K, false},
	{"q4_1", 3, gguf.TypeQ4_1, false},
	{"q4_0", 2, gguf.TypeQ4_0, false},
	{"iq4_nl", 25, gguf.TypeIQ4NL, false},
	{"iq4_xs", 30, gguf.TypeIQ4XS, false},
	{"mxfp4_moe", 38, gguf.TypeMXFP4, false},
	{"q3_k_l", 13, gguf.TypeQ3K, false},
	{"q3_k_m", 12, gguf.TypeQ3K, false},
	{"q3_k_s", 11, gguf.TypeQ3K, false},
	{"iq3_m", 27, gguf.TypeIQ3S, false},
	{"iq3_s", 26, gguf.TypeIQ3S, false},
	{"iq3_xs", 22, gguf.TypeIQ3S, false},
	{"iq3_xxs", 23, gguf.TypeIQ3XXS, false},
	{"q2_k", 10, gguf.TypeQ2K, false},
	{"q2_k_s", 21, gguf.TypeQ2K, true},
	{"iq2_m", 29, gguf.TypeIQ2S, true},
	{"iq2_s", 28, gguf.TypeIQ2XS, true},
	{"iq2_xs", 20, gguf.TypeIQ2XS, true},
	{"iq2_xxs", 19, gguf.TypeIQ2XXS, true},
	{"iq1_m", 31, gguf.TypeIQ1M, true},
	{"iq1_s", 24, gguf.TypeIQ1S, true},
	{"tq2_0", 37, gguf.TypeTQ2_0, false},
	{"tq1_0", 36, gguf.TypeTQ1_0, false},
}

// aliases are names that llama-quantize takes too.
var aliases = map[string]string{"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}

// Types lists the types' names, the finest first.
func Types() []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	return names
}

// Parse finds a type by its name, in small letters or capitals.
func Parse(name string) (Type, error) {
	key := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if full, ok := aliases[key]; ok {
		key = full
	}
	if i := slices.IndexFunc(types, func(t Type) bool { return t.Name == key }); i >= 0 {
		return types[i], nil
	}
	hint := ""
	if near, ok := nearest.Word(key, Types()); ok {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return Type{}, fmt.Errorf("%q is no type of files%s: want one of %s", name, hint, strings.Join(Types(), ", "))
}

// ParseTensor finds a type of a single tensor, such as q6_k, by ggml's name of it.
func ParseTensor(name string) (gguf.Type, error) {
	var names []string
	for t := gguf.Type(0); t < 64; t++ {
		if elements, _ := t.Block(); elements == 0 || t == gguf.TypeQ8_1 || t == gguf.TypeQ8K {
			continue // no type, or one of activations
		}
		known := strings.ToLower(t.String())
		if known == strings.ToLower(name) {
			return t, nil
		}
		if !slices.Contains([]string{"i8", "i16", "i32", "i64", "f64"}, known) {
			names = append(names, known)
		}
	}
	return 0, fmt.Errorf("%q is no type of tensors: want one of %s", name, strings.Join(names, ", "))
}
