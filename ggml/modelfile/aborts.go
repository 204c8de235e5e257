package modelfile

import (
	"fmt"
	"slices"
	"strings"

	"steer/ggml/gguf"
)

// integers are types of tensors that hold numbers to count with. No matrix of a model can be multiplied
// by in them; libllama tries.
var integers = []gguf.Type{gguf.TypeI8, gguf.TypeI16, gguf.TypeI32, gguf.TypeI64, gguf.TypeF64}

// scalings are the values of rope.scaling.type that libllama knows.
var scalings = []string{"none", "linear", "yarn", "longrope"}

// aborts finds what ends the process in the middle of libllama's loading or computing, whatever the
// architecture: neither training nor use survives it.
func aborts(f *gguf.File, arch string) (problems []error) {
	for _, t := range f.Tensors() {
		weight := strings.HasSuffix(t.Name, ".weight") || strings.HasSuffix(t.Name, ".bias")
		if weight && slices.Contains(integers, t.Type) {
			problems = append(problems, fmt.Errorf("tensor %s is stored as %s, which nothing can multiply by: want "+
				"F32, F16, BF16 or a quantized type", t.Name, t.Type))
			break
		}
		if weight && len(t.Dims) == 1 && t.Type != gguf.TypeF32 {
			problems = append(problems, fmt.Errorf("tensor %s is stored as %s: want F32, as all norms and biases",
				t.Name, t.Type))
			break
		}
	}
	if kind, err := f.String(arch + ".rope.scaling.type"); err == nil && !slices.Contains(scalings, kind) {
		problems = append(problems, fmt.Errorf("%s.rope.scaling.type is %.40q: want one of %s", arch, kind,
			strings.Join(scalings, ", ")))
	}
	problems = append(problems, experts(f, arch)...)
	return append(problems, lists(f, arch)...)
}

// lists finds lists of another type than libllama takes them to be.
func lists(f *gguf.File, arch string) (problems []error) {
	for name, want := range map[string]string{
		"feed_forward_length": "int32", "attention.head_count": "int32", "attention.head_count_kv": "int32",
		"rope.dimension_sections": "int32", "classifier.output_labels": "string", "xielu.alpha_n": "float32",
		"xielu.alpha_p": "float32", "xielu.beta": "float32", "xielu.eps": "float32",
	} {
		kind := f.TypeOf(arch + "." + name)
		of, isList := strings.CutPrefix(kind, "array of ") // "array of uint32 of 8"
		of, _, _ = strings.Cut(strings.TrimPrefix(of, "u"), " ")
		if isList && of != want {
			problems = append(problems, fmt.Errorf("%s.%s is %s: want %s", arch, name, kind, "array of "+want))
		}
	}
	return problems
}

// experts finds numbers of experts that contradict each other.
func experts(f *gguf.File, arch string) []error {
	all, errAll := f.Uint32(arch + ".expert_count")
	used, errUsed := f.Uint32(arch + ".expert_used_count")
	switch {
	case errAll != nil && f.Has(arch+".expert_count"):
		return []error{errAll}
	case errUsed != nil && f.Has(arch+".expert_used_count"):
		return []error{errUsed}
	case all == 0 && used == 0 || used >= 1 && used <= all:
		return nil
	}
	return []error{fmt.Errorf("%[1]s.expert_used_count is %[2]d and %[1]s.expert_count %[3]d: want at least one, and "+
		"no "+
		"more than there are", arch, used, all)}
}
