package speed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/family"
	"steer/ggml/gguf"
)

// Shape is the size of a model.
type Shape struct {
	Name    string
	Arch    string // its family, see package family; "": llama
	Layers  int
	Embd    int
	FF      int
	Heads   int
	KVHeads int
	Vocab   int
	Ctx     int
	Tied    bool // the output matrix is the token embedding
}

// shapes are those of published models. "tiny" is for tests.
var shapes = []Shape{
	{Name: "tiny", Layers: 2, Embd: 64, FF: 128, Heads: 4, KVHeads: 2, Vocab: 256, Ctx: 512, Tied: true},
	{Name: "smollm2-135m", Layers: 30, Embd: 576, FF: 1536, Heads: 9, KVHeads: 3, Vocab: 49152, Ctx: 8192, Tied: true},
	{Name: "tinyllama-1.1b", Layers: 22, Embd: 2048, FF: 5632, Heads: 32, KVHeads: 4, Vocab: 32000, Ctx: 2048},
	{Name: "llama-2-7b", Layers: 32, Embd: 4096, FF: 11008, Heads: 32, KVHeads: 32, Vocab: 32000, Ctx: 4096},
	{Name: "llama-2-13b", Layers: 40, Embd: 5120, FF: 13824, Heads: 40, KVHeads: 40, Vocab: 32000, Ctx: 4096},
}

// ShapeNames lists the known shapes, small ones first.
func ShapeNames() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.Name)
	}
	return names
}

// ShapeOf returns the shape of that name.
func ShapeOf(name string) (Shape, error) {
	i := slices.IndexFunc(shapes, func(s Shape) bool { return s.Name == name })
	if i < 0 {
		return Shape{}, fmt.Errorf("shape %q: want one of %s", name, strings.Join(ShapeNames(), ", "))
	}
	return shapes[i], nil
}

// Families lists the architectures that a shape can have.
func Families() []string { return family.Archs() }

func (s Shape) arch() string { return cmp.Or(s.Arch, adapter.Arch) }

// adapter is what LoRA adapters have to know of the shape.
func (s Shape) adapter() adapter.Shape {
	return adapter.Shape{Arch: s.arch(), Layers: s.Layers, Embd: s.Embd, FF: s.FF, Heads: s.Heads, KVHeads: s.KVHeads,
		HeadDim: s.Embd / s.Heads}
}

// recipes map a quantization's name to its basic type; see typeOf for the mixes.
var recipes = []struct {
	name string
	typ  gguf.Type
}{
	{"f32", gguf.TypeF32}, {"f16", gguf.TypeF16},
	{"q4_0", gguf.TypeQ4_0}, {"q4_1", gguf.TypeQ4_1}, {"q5_0", gguf.TypeQ5_0}, {"q5_1", gguf.TypeQ5_1},
	{"q8_0", gguf.TypeQ8_0},
	{"q4_k", gguf.TypeQ4K}, {"q5_k", gguf.TypeQ5K}, {"q6_k", gguf.TypeQ6K},
	{mixQ4KM, gguf.TypeQ4K},
}

// mixQ4KM is llama.cpp's mix of Q4_K and Q6_K.
const mixQ4KM = "q4_k_m"

// TypeNames lists the known quantizations.
func TypeNames() []string {
	var names []string
	for _, r := range recipes {
		names = append(names, r.name)
	}
	return names
}

// basicType returns the type that most matrices of a quantization have.
func basicType(name string) (gguf.Type, error) {
	for _, r := range recipes {
		if r.name == name {
			return r.typ, nil
		}
	}
	return 0, fmt.Errorf("type %q: want one of %s", name, strings.Join(TypeNames(), ", "))
}

// typeOf is the type of one matrix under a quantization. All but q4_k_m give every
// matrix the same; q4_k_m is llama_tensor_get_type of llama-quant.cpp: Q6_K for the
// output matrix, and for attn_v and ffn_down in the first and last eighth of the layers
// and in every third between them. Rows that are no whole super-blocks of 256 fall back
// as they do there.
func typeOf(name string, basic gguf.Type, s Shape, target string, layer int) gguf.Type {
	typ := basic
	if name == mixQ4KM {
		switch target {
		case "attn_v", "ffn_down":
			n := s.Layers
			if layer < n/8 || layer >= 7*n/8 || (layer-n/8)%3 == 2 {
				typ = gguf.TypeQ6K
			}
		case "output":
			typ = gguf.TypeQ6K
		case "token_embd":
			if s.Tied { // it is the output matrix
				typ = gguf.TypeQ6K
			}
		}
	}
	nIn := s.Embd
	if target == "ffn_down" {
		nIn = s.FF
	}
	if block, _ := typ.Block(); nIn%block == 0 {
		return typ
	}
	switch typ {
	case gguf.TypeQ4K:
		return gguf.TypeQ5_0
	case gguf.TypeQ5K:
		return gguf.TypeQ5_1
	case gguf.TypeQ6K:
		return gguf.TypeQ8_0
	}
	return typ
}
