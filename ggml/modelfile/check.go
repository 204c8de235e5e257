package modelfile

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
)

// checkKinds refuses models of this architecture with parts the network here lacks.
func checkKinds(f *gguf.File, _ adapter.Shape) error {
	for _, key := range []string{"expert_count", "expert_used_count", "expert_group_count", "expert_group_used_count"} {
		if v := f.Value("llama." + key); v != nil && v != uint32(0) {
			return fmt.Errorf("llama.%s is %v: a mixture of experts: %w", key, v, ErrUnsupported)
		}
	}
	if f.Has("llama.classifier.output_labels") {
		return fmt.Errorf("llama.classifier.output_labels: a classifier: %w", ErrUnsupported)
	}
	if f.Has("llama.rope.scaling.type") {
		kind, err := f.String("llama.rope.scaling.type")
		if err != nil {
			return err
		}
		if kind != "none" && kind != "linear" {
			return fmt.Errorf(
				"llama.rope.scaling.type is %q: %w: supported are none, linear and Llama 3's frequency factors", kind,
				ErrUnsupported)
		}
	}
	for _, t := range f.Tensors() {
		if strings.HasSuffix(t.Name, ".bias") {
			return fmt.Errorf("it has biases (%.64q): %w", t.Name, ErrUnsupported)
		}
	}
	if v := f.Value("llama.rope.scaling.attn_factor"); v != nil && v != float32(1) {
		return fmt.Errorf("llama.rope.scaling.attn_factor is %v: %w: supported is 1", v, ErrUnsupported)
	}
	return nil
}

// checkNumbers makes sure that the constants of the network can be computed with.
func checkNumbers(f *gguf.File, s adapter.Shape) error {
	if n, err := f.Uint32("llama.context_length"); err != nil {
		return err
	} else if n < 1 || n > math.MaxInt32 {
		return fmt.Errorf("llama.context_length is %d: want 1 to %d tokens", n, math.MaxInt32)
	}
	for _, c := range []struct {
		key      string
		required bool
		from     float32 // exclusive
	}{
		{"attention.layer_norm_rms_epsilon", true, 0},
		{"rope.freq_base", false, 0},
		{"rope.scaling.factor", false, -1}, // 0: not used
		{"rope.scale_linear", false, -1},
	} {
		key := "llama." + c.key
		if !c.required && !f.Has(key) {
			continue
		}
		v, err := f.Float32(key)
		if err != nil {
			return err
		}
		if !(v > c.from) || math.IsInf(float64(v), 0) || v < 0 {
			return fmt.Errorf("%s is %g: want a positive number", key, v)
		}
	}
	for _, key := range []string{"attention.key_length", "attention.value_length", "rope.dimension_count"} {
		if !f.Has("llama." + key) {
			continue
		}
		n, err := f.Uint32("llama." + key)
		if err != nil {
			return err
		}
		if int(n) != s.HeadDim {
			return fmt.Errorf("llama.%s is %d, a head has %d: %w: supported are heads of one width, turned whole", key,
				n, s.HeadDim, ErrUnsupported)
		}
	}
	return nil
}

// checkTensors makes sure that every weight the network reads is there, in its shape
// and in a type that the kernels read.
func checkTensors(f *gguf.File, s adapter.Shape) error {
	need := func(name string, dims ...int64) error {
		t, ok := f.Tensor(name)
		if !ok {
			return fmt.Errorf("tensor %s is missing: the file is incomplete or no plain Llama", name)
		}
		fits := len(t.Dims) == len(dims)
		for i, want := range dims {
			fits = fits && (want == 0 || t.Dims[i] == want)
		}
		if !fits {
			return fmt.Errorf("tensor %s has shape %v, want %v: the metadata and the weights do not belong together",
				name, t.Dims, dims)
		}
		if len(dims) == 1 && t.Type != gguf.TypeF32 {
			return fmt.Errorf("tensor %s is stored as %s: %w: want F32", name, t.Type, ErrUnsupported)
		}
		if !weightType(t.Type) {
			return fmt.Errorf("tensor %s is stored as %s: %w: want F32, F16, BF16 or a quantized type", name, t.Type,
				ErrUnsupported)
		}
		return nil
	}
	optional := func(name string, dims ...int64) error {
		if _, ok := f.Tensor(name); !ok {
			return nil
		}
		return need(name, dims...)
	}
	embd := int64(s.Embd)
	if err := need("token_embd.weight", embd, 0); err != nil {
		return err
	}
	table, _ := f.Tensor("token_embd.weight")
	if err := errors.Join(need("output_norm.weight", embd), optional("output.weight", embd, table.Dims[1]),
		optional("rope_freqs.weight", int64(s.HeadDim/2))); err != nil {
		return err
	}
	for i := range s.Layers {
		if _, ok := f.Tensor(fmt.Sprintf("blk.%d.ffn_gate_inp.weight", i)); ok {
			return fmt.Errorf("blk.%d.ffn_gate_inp.weight: a mixture of experts: %w", i, ErrUnsupported)
		}
		for _, target := range adapter.Targets() {
			nIn, nOut, err := s.Dims(target)
			if err != nil {
				return err
			}
			if err := need(fmt.Sprintf("blk.%d.%s.weight", i, target), int64(nIn), int64(nOut)); err != nil {
				return err
			}
		}
		for _, norm := range []string{"attn_norm", "ffn_norm"} {
			if err := need(fmt.Sprintf("blk.%d.%s.weight", i, norm), embd); err != nil {
				return err
			}
		}
	}
	return nil
}

// weightType tells whether matrices may be stored in a type.
func weightType(t gguf.Type) bool {
	switch t {
	case gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16:
		return true
	case gguf.TypeQ8_1, gguf.TypeQ8K: // activations, inside ggml only
		return false
	}
	elements, _ := t.Block()
	return elements > 1
}
