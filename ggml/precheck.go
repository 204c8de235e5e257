package ggml

import (
	"errors"
	"fmt"
	"math"
	"os"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
)

// precheck reads the file's header: everything libllama might abort on, read past the
// end of, or silently ignore is refused here.
func precheck(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("model %s: %w", path, errors.Unwrap(err))
	}
	if st.IsDir() {
		return fmt.Errorf("model %s: is a folder: want a GGUF file", path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	arch, err := f.String("general.architecture")
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if typ, err := f.String("general.type"); err == nil && typ == "adapter" {
		return fmt.Errorf("model %s: this is an adapter, not a model: pass it as an adapter and give its base model here", path)
	}
	if arch != adapter.Arch {
		return fmt.Errorf("model %s: architecture %q: %w: supported is %q (Llama 1 to 3, Mistral, SmolLM and other models stored as such)",
			path, arch, ErrUnsupportedModel, adapter.Arch)
	}
	shape, err := adapter.ShapeOf(f)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	for _, check := range []func(*gguf.File, adapter.Shape) error{checkKinds, checkNumbers, checkTensors, checkVocab} {
		if err := check(f, shape); err != nil {
			return fmt.Errorf("model %s: %w", path, err)
		}
	}
	return nil
}

// checkKinds refuses models of this architecture with parts the network here lacks.
func checkKinds(f *gguf.File, _ adapter.Shape) error {
	for _, key := range []string{"expert_count", "expert_used_count", "expert_group_count", "expert_group_used_count"} {
		if v := f.Value("llama." + key); v != nil && v != uint32(0) {
			return fmt.Errorf("llama.%s is %v: a mixture of experts: %w", key, v, ErrUnsupportedModel)
		}
	}
	if f.Has("llama.classifier.output_labels") {
		return fmt.Errorf("llama.classifier.output_labels: a classifier: %w", ErrUnsupportedModel)
	}
	if f.Has("llama.rope.scaling.type") {
		kind, err := f.String("llama.rope.scaling.type")
		if err != nil {
			return err
		}
		if kind != "none" && kind != "linear" {
			return fmt.Errorf("llama.rope.scaling.type is %q: %w: supported are none, linear and Llama 3's frequency factors", kind, ErrUnsupportedModel)
		}
	}
	if v := f.Value("llama.rope.scaling.attn_factor"); v != nil && v != float32(1) {
		return fmt.Errorf("llama.rope.scaling.attn_factor is %v: %w: supported is 1", v, ErrUnsupportedModel)
	}
	return nil
}

// checkNumbers makes sure that the constants of the network can be computed with.
func checkNumbers(f *gguf.File, s adapter.Shape) error {
	if n, err := f.Uint32("llama.context_length"); err != nil {
		return err
	} else if n < 1 {
		return fmt.Errorf("llama.context_length is 0: want 1 or more")
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
			return fmt.Errorf("llama.%s is %d, a head has %d: %w: supported are heads of one width, turned whole", key, n, s.HeadDim, ErrUnsupportedModel)
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
			return fmt.Errorf("tensor %s has shape %v, want %v: the metadata and the weights do not belong together", name, t.Dims, dims)
		}
		if len(dims) == 1 && t.Type != gguf.TypeF32 {
			return fmt.Errorf("tensor %s is stored as %s: %w: want F32", name, t.Type, ErrUnsupportedModel)
		}
		if !weightType(t.Type) {
			return fmt.Errorf("tensor %s is stored as %s: %w: want F32, F16, BF16 or a quantized type", name, t.Type, ErrUnsupportedModel)
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
	if err := errors.Join(need("output_norm.weight", embd), optional("output.weight", embd, table.Dims[1]), optional("rope_freqs.weight", int64(s.HeadDim/2))); err != nil {
		return err
	}
	for i := range s.Layers {
		if _, ok := f.Tensor(fmt.Sprintf("blk.%d.ffn_gate_inp.weight", i)); ok {
			return fmt.Errorf("blk.%d.ffn_gate_inp.weight: a mixture of experts: %w", i, ErrUnsupportedModel)
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

// checkVocab makes sure that the vocabulary has as many tokens as the embedding has
// rows, and that its tables are as long as it is: libllama reads them without looking.
func checkVocab(f *gguf.File, _ adapter.Shape) error {
	table, _ := f.Tensor("token_embd.weight")
	rows := table.Dims[1]
	kind, err := f.String("tokenizer.ggml.model")
	if err != nil {
		return err
	}
	switch kind {
	case "no_vocab", "none":
		n, err := f.Uint32("llama.vocab_size")
		if err != nil {
			return err
		}
		if int64(n) != rows {
			return fmt.Errorf("llama.vocab_size is %d, token_embd.weight has %d rows: the metadata and the weights do not belong together", n, rows)
		}
		return nil
	case "llama", "gpt2":
	default:
		return fmt.Errorf("tokenizer.ggml.model is %q: %w: supported are llama (SentencePiece), gpt2 (byte-level BPE) and no_vocab", kind, ErrUnsupportedModel)
	}
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil {
		return err
	}
	if int64(len(tokens)) != rows {
		return fmt.Errorf("tokenizer.ggml.tokens has %d tokens, token_embd.weight has %d rows: the metadata and the weights do not belong together", len(tokens), rows)
	}
	seen := make(map[string]int, len(tokens))
	for i, token := range tokens {
		if j, ok := seen[token]; ok && token != "" {
			return fmt.Errorf("tokenizer.ggml.tokens: tokens %d and %d are both %q", j, i, token)
		}
		seen[token] = i
	}
	for _, key := range []string{"tokenizer.ggml.scores", "tokenizer.ggml.token_type"} {
		n := len(tokens)
		switch v := f.Value(key).(type) {
		case nil:
		case []float32:
			n = len(v)
		case []int32:
			n = len(v)
		case []uint32:
			n = len(v)
		default:
			n = -1
		}
		if n != len(tokens) {
			return fmt.Errorf("%s is %s of %d: want one for each of the %d tokens", key, f.TypeOf(key), max(n, 0), len(tokens))
		}
	}
	return nil
}
