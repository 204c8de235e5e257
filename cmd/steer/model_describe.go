package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
)

// modelDescription is what the header of a GGUF model says.
type modelDescription struct {
	Path         string               `json:"path"`
	Bytes        int64                `json:"bytes"` // of the file
	SHA256       string               `json:"sha256"`
	Architecture string               `json:"architecture"`
	Name         string               `json:"name,omitempty"`
	Parameters   int64                `json:"parameters"`
	TensorCount  int                  `json:"tensor_count"`
	Shape        *shapeDescription    `json:"shape,omitempty"` // nil: not readable, see Reasons
	Vocab        int64                `json:"vocab"`
	Context      int64                `json:"context"` // tokens the model was trained on
	Tied         bool                 `json:"tied"`    // no output matrix of its own
	Rope         ropeDescription      `json:"rope"`
	Types        []typeUse            `json:"types"` // most bytes first
	Tokenizer    tokenizerDescription `json:"tokenizer"`
	ChatTemplate bool                 `json:"chat_template"`
	Trainable    bool                 `json:"trainable"`
	Reasons      []string             `json:"reasons,omitempty"` // why it is not
	Tensors      []tensorDescription  `json:"tensors,omitempty"`
}

type shapeDescription struct {
	Layers  int `json:"layers"`
	Embd    int `json:"embd"`
	FF      int `json:"ff"`
	Heads   int `json:"heads"`
	KVHeads int `json:"kv_heads"`
	HeadDim int `json:"head_dim"`
}

type ropeDescription struct {
	Base        float32 `json:"base"`
	Scaling     string  `json:"scaling"` // none, linear, yarn, ...
	Factor      float32 `json:"factor,omitempty"`
	FreqFactors bool    `json:"freq_factors"` // rope_freqs.weight, as Llama 3.1 has
}

type typeUse struct {
	Type       string `json:"type"`
	Tensors    int    `json:"tensors"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
}

type tokenizerDescription struct {
	Model  string        `json:"model"`
	Pre    string        `json:"pre,omitempty"`
	AddBOS *bool         `json:"add_bos,omitempty"` // absent: as its kind does by default
	BOS    *specialToken `json:"bos,omitempty"`
	EOS    *specialToken `json:"eos,omitempty"`
}

type specialToken struct {
	ID   uint32 `json:"id"`
	Text string `json:"text,omitempty"`
}

type tensorDescription struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Dims  []int64 `json:"dims"` // contiguous first
	Bytes int64   `json:"bytes"`
}

// describeModel reads the header of a GGUF model.
func describeModel(path string) (*modelDescription, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return nil, fmt.Errorf("model %s: is a folder: want a GGUF file", path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	m := &modelDescription{Path: path, Bytes: f.Size(), ChatTemplate: f.Has("tokenizer.chat_template")}
	if m.Architecture, err = f.String("general.architecture"); err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	if typ, err := f.String("general.type"); err == nil && typ == "adapter" {
		return nil, fmt.Errorf("model %s: this is an adapter: look at it with steer adapter inspect", path)
	}
	m.Name = ggufText(f, "general.name")
	m.Context = ggufNumber(f, m.Architecture+".context_length")
	m.describeTensors(f)
	m.describeTokenizer(f)
	m.describeRope(f)
	m.judge(f)
	m.SHA256, err = fileSHA256(path)
	return m, err
}

// ggufText and ggufNumber read optional metadata; what is missing or odd is "" or 0.
func ggufText(f *gguf.File, key string) string {
	s, _ := f.String(key)
	return s
}

func ggufNumber(f *gguf.File, key string) int64 {
	n, _ := f.Uint32(key)
	return int64(n)
}

func (m *modelDescription) describeTensors(f *gguf.File) {
	m.TensorCount = len(f.Tensors())
	use := map[string]*typeUse{}
	for _, t := range f.Tensors() {
		name := t.Type.String()
		if use[name] == nil {
			use[name] = &typeUse{Type: name}
		}
		u := use[name]
		u.Tensors++
		u.Parameters += t.Elements()
		u.Bytes += t.Size
		m.Parameters += t.Elements()
		m.Tensors = append(m.Tensors, tensorDescription{t.Name, name, t.Dims, t.Size})
	}
	for _, u := range use {
		m.Types = append(m.Types, *u)
	}
	slices.SortFunc(m.Types, func(a, b typeUse) int {
		if a.Bytes != b.Bytes {
			return int(min(1, max(-1, b.Bytes-a.Bytes)))
		}
		return strings.Compare(a.Type, b.Type)
	})
	_, own := f.Tensor("output.weight")
	m.Tied = !own
	if e, ok := f.Tensor("token_embd.weight"); ok && len(e.Dims) == 2 {
		m.Vocab = e.Dims[1]
	}
}

func (m *modelDescription) describeTokenizer(f *gguf.File) {
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	special := func(key string) *specialToken {
		id, err := f.Uint32("tokenizer.ggml." + key + "_token_id")
		if err != nil {
			return nil
		}
		s := &specialToken{ID: id}
		if int64(id) < int64(len(tokens)) {
			s.Text = tokens[id]
		}
		return s
	}
	m.Tokenizer = tokenizerDescription{
		Model: ggufText(f, "tokenizer.ggml.model"), Pre: ggufText(f, "tokenizer.ggml.pre"), BOS: special("bos"), EOS: special("eos"),
	}
	if add, err := f.Bool("tokenizer.ggml.add_bos_token"); err == nil {
		m.Tokenizer.AddBOS = &add
	}
}

func (m *modelDescription) describeRope(f *gguf.File) {
	m.Rope = ropeDescription{Base: 10000, Scaling: "none"} // libllama's defaults
	if base, err := f.Float32(m.Architecture + ".rope.freq_base"); err == nil {
		m.Rope.Base = base
	}
	if s := ggufText(f, m.Architecture+".rope.scaling.type"); s != "" {
		m.Rope.Scaling = s
	}
	if factor, err := f.Float32(m.Architecture + ".rope.scaling.factor"); err == nil {
		m.Rope.Factor = factor
	}
	_, m.Rope.FreqFactors = f.Tensor("rope_freqs.weight")
}

// judge decides whether the engine can train adapters on the model. Its rules are
// those by which the engine loads one.
func (m *modelDescription) judge(f *gguf.File) {
	no := func(format string, args ...any) { m.Reasons = append(m.Reasons, fmt.Sprintf(format, args...)) }
	defer func() { m.Trainable = len(m.Reasons) == 0 }()
	if m.Architecture != adapter.Arch {
		no("its architecture is %s, supported is %s (Llama 1 to 3, Mistral, SmolLM and others stored as such)", printable(m.Architecture, 40), adapter.Arch)
		return
	}
	s, err := adapter.ShapeOf(f)
	if err != nil {
		no("%s", printable(err.Error(), 400))
		return
	}
	m.Shape = &shapeDescription{s.Layers, s.Embd, s.FF, s.Heads, s.KVHeads, s.HeadDim}
	if ggufNumber(f, "llama.expert_count") > 0 {
		no("it is a mixture of experts")
	}
	if n := ggufNumber(f, "llama.rope.dimension_count"); n != 0 && n != int64(s.HeadDim) {
		no("RoPE turns %d of the %d features of a head, all or nothing is supported", n, s.HeadDim)
	}
	if n := ggufNumber(f, "llama.attention.value_length"); n != 0 && n != int64(s.HeadDim) {
		no("the heads of keys and values differ in width (%d, %d)", s.HeadDim, n)
	}
	if m.Rope.Scaling != "none" && m.Rope.Scaling != "linear" {
		no("its RoPE scaling is %s; none, linear and Llama 3's frequency factors are supported", printable(m.Rope.Scaling, 40))
	}
	if m.Tokenizer.Model == "" {
		no("it has no tokenizer")
	}
	m.judgeTensors(f, s, no)
}

// judgeTensors looks for missing, misshapen and foreign weights; the first of each
// kind is reason enough.
func (m *modelDescription) judgeTensors(f *gguf.File, s adapter.Shape, no func(string, ...any)) {
	for _, t := range f.Tensors() {
		if strings.HasSuffix(t.Name, ".bias") {
			no("it has biases (%s)", printable(t.Name, 64))
			break
		}
	}
	for _, t := range f.Tensors() {
		if !unpacks(t.Type) {
			no("%s is stored as %s, which has no numbers to compute with", printable(t.Name, 64), t.Type)
			break
		}
	}
	need := func(name string, dims ...int64) bool {
		t, ok := f.Tensor(name)
		if !ok {
			no("tensor %s is missing", name)
			return false
		}
		if len(t.Dims) < len(dims) || !slices.Equal(t.Dims[:len(dims)], dims) {
			no("tensor %s has shape %v, the metadata say %v", name, t.Dims, dims)
			return false
		}
		return true
	}
	embd := int64(s.Embd)
	need("token_embd.weight", embd)
	need("output_norm.weight", embd)
	for i := range s.Layers {
		for _, norm := range []string{"attn_norm", "ffn_norm"} {
			if !need(fmt.Sprintf("blk.%d.%s.weight", i, norm), embd) {
				return
			}
		}
		for _, target := range adapter.Targets() {
			nIn, nOut, err := s.Dims(target)
			if err != nil || !need(fmt.Sprintf("blk.%d.%s.weight", i, target), int64(nIn), int64(nOut)) {
				return
			}
		}
	}
}

// unpacks tells whether ggml can turn a type into float32: not integers, and not the
// formats that only exist for activations in flight.
func unpacks(t gguf.Type) bool {
	switch t {
	case gguf.TypeI8, gguf.TypeI16, gguf.TypeI32, gguf.TypeI64, gguf.TypeF64, gguf.TypeQ8_1, gguf.TypeQ8K:
		return false
	}
	return true
}

// fileSHA256 is the SHA-256 of a file in hexadecimal.
func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
