package modelfile

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/family"
	"steer/ggml/gguf"
)

// checkKinds refuses models with tensors that the family's network does not have: an
// architecture's name is no promise that a file has no more than its ordinary parts.
func checkKinds(f *gguf.File, fam *family.Family) error {
	for _, t := range f.Tensors() {
		if strings.HasSuffix(t.Name, ".ffn_gate_inp.weight") {
			return fmt.Errorf("%s: a mixture of experts: %w", t.Name, ErrUnsupported)
		}
		name, bias := strings.CutSuffix(t.Name, ".bias")
		if parts := strings.Split(name, "."); bias && (len(parts) != 3 || !fam.MayBias(parts[2])) {
			return fmt.Errorf("it has biases (%.64q): %w", t.Name, ErrUnsupported)
		}
	}
	return nil
}

// checkNumbers makes sure that the constants of the network can be computed with; family.Read has
// looked at most of them.
func checkNumbers(f *gguf.File, arch string) error {
	key := arch + ".context_length"
	if n, err := f.Uint32(key); err != nil {
		return err
	} else if n < 1 || n > math.MaxInt32 {
		return fmt.Errorf("%s is %d: want 1 to %d tokens", key, n, math.MaxInt32)
	}
	return nil
}

// checkTensors makes sure that every weight the network reads is there, in its shape
// and in a type that the kernels read.
func checkTensors(f *gguf.File, s adapter.Shape, n *family.Network) error {
	fam, _ := family.Of(s.Arch)
	need := func(name string, dims ...int64) error {
		t, ok := f.Tensor(name)
		if !ok {
			return fmt.Errorf("tensor %s is missing: the file is incomplete or no plain %s", name, plainName(s.Arch))
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
	if err := errors.Join(need("output_norm.weight", embd),
		optional("output.weight", embd, table.Dims[1])); err != nil {
		return err
	}
	if n != nil && n.Rope.Factors != "" {
		if err := need(n.Rope.Factors, int64(n.Rope.Dims/2)); err != nil {
			return err
		}
	}
	for i := range s.Layers {
		for _, target := range s.Targets() {
			nIn, nOut, err := s.Dims(target)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("blk.%d.%s", i, target)
			if err := errors.Join(need(name+".weight", int64(nIn), int64(nOut)),
				optional(name+".bias", int64(nOut))); err != nil {
				return err
			}
		}
		for _, norm := range Norms(fam, s) {
			name := fmt.Sprintf("blk.%d.%s.weight", i, norm.Name)
			_, there := f.Tensor(name)
			if norm.Width == 0 && there {
				return fmt.Errorf("tensor %s: %w: models of architecture %q have no such norm", name, ErrUnsupported,
					s.Arch)
			}
			if norm.Width == 0 {
				continue
			}
			if err := need(name, norm.Width); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainName is what a model of the architecture is called in a sentence.
func plainName(arch string) string {
	if arch == "llama" {
		return "Llama"
	}
	return arch
}

// Norm is an RMS norm of a layer, the tensor "blk.N.NAME.weight".
type Norm struct {
	Name  string
	Width int64 // 0: the family has none
}

// Norms are the norms of a layer of a family's models.
func Norms(fam *family.Family, s adapter.Shape) []Norm {
	before, after, q, k := int64(s.Embd), int64(s.Embd), int64(0), int64(0)
	switch fam.Norms {
	case family.NormBefore:
		after = 0
	case family.NormAfter:
		before = 0
	}
	switch fam.QKNorm {
	case family.EachHead:
		q, k = int64(s.HeadDim), int64(s.HeadDim)
	case family.WholeRows:
		q, k = int64(s.Heads*s.HeadDim), int64(s.KVHeads*s.HeadDim)
	}
	return []Norm{
		{"attn_norm", before}, {"ffn_norm", before}, {"post_attention_norm", after}, {"post_ffw_norm", after},
		{"attn_q_norm", q}, {"attn_k_norm", k},
	}
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
