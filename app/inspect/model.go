package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/internal/printable"
)

// Model is what the header of a GGUF model says.
type Model struct {
	Path         string    `json:"path"`
	Bytes        int64     `json:"bytes"` // of the file
	SHA256       string    `json:"sha256"`
	Architecture string    `json:"architecture"`
	Name         string    `json:"name,omitempty"`
	Parameters   int64     `json:"parameters"`
	TensorCount  int       `json:"tensor_count"`
	Shape        *Shape    `json:"shape,omitempty"` // nil: not readable, see Reasons
	Vocab        int64     `json:"vocab"`
	Context      int64     `json:"context"` // tokens the model was trained on
	Tied         bool      `json:"tied"`    // no output matrix of its own
	Rope         Rope      `json:"rope"`
	Types        []TypeUse `json:"types"` // most bytes first
	Tokenizer    Tokenizer `json:"tokenizer"`
	ChatTemplate bool      `json:"chat_template"`
	Trainable    bool      `json:"trainable"`
	Reasons      []string  `json:"reasons,omitempty"`  // why it is not
	Usable       bool      `json:"usable"`             // generate, chat, score, eval and bench can run it
	Warnings     []string  `json:"warnings,omitempty"` // what every use of the model says
	Tensors      []Tensor  `json:"tensors,omitempty"`
}

// Shape is that of the layers; see adapter.Shape.
type Shape struct {
	Layers  int `json:"layers"`
	Embd    int `json:"embd"`
	FF      int `json:"ff"`
	Heads   int `json:"heads"`
	KVHeads int `json:"kv_heads"`
	HeadDim int `json:"head_dim"`
}

// Rope says how positions are turned into angles.
type Rope struct {
	Base        float32 `json:"base"`
	Scaling     string  `json:"scaling"` // none, linear, yarn, ...
	Factor      float32 `json:"factor,omitempty"`
	FreqFactors bool    `json:"freq_factors"` // rope_freqs.weight, as Llama 3.1 has
}

// TypeUse counts the tensors of one type.
type TypeUse struct {
	Type string `json:"type"`
	// Kernel is what training reads the type with: a kernel of this program, or ggml's unpacking, which
	// is slower.
	Kernel     string `json:"kernel"`
	Tensors    int    `json:"tensors"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
}

// Tokenizer is what the header says of it.
type Tokenizer struct {
	Model  string `json:"model"`
	Pre    string `json:"pre,omitempty"`
	AddBOS *bool  `json:"add_bos,omitempty"` // absent: as its kind does by default
	BOS    *Token `json:"bos,omitempty"`
	EOS    *Token `json:"eos,omitempty"`
}

// Token is one of the special tokens.
type Token struct {
	ID   uint32 `json:"id"`
	Text string `json:"text,omitempty"`
}

// Tensor is a tensor of the file.
type Tensor struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Dims  []int64 `json:"dims"` // contiguous first
	Bytes int64   `json:"bytes"`
}

// DescribeModel reads the header of a GGUF model, hashes the file and tries to load it.
func DescribeModel(path string, hashes *filehash.Cache) (*Model, error) {
	f, err := modelfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := &Model{Path: path, Bytes: f.Size(), ChatTemplate: f.Has("tokenizer.chat_template")}
	if m.Architecture, err = f.String("general.architecture"); err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	m.Name = text(f, "general.name")
	m.Context = number(f, m.Architecture+".context_length")
	m.describeTensors(f)
	m.describeTokenizer(f)
	m.describeRope(f)
	m.judge(f)
	m.SHA256, err = modelfile.SHA256(path, hashes.Sum)
	return m, err
}

// text and number read optional metadata; what is missing or odd is "" or 0.
func text(f *gguf.File, key string) string {
	s, _ := f.String(key)
	return s
}

func number(f *gguf.File, key string) int64 {
	n, _ := f.Uint32(key)
	return int64(n)
}

func (m *Model) describeTensors(f *gguf.File) {
	m.TensorCount = len(f.Tensors())
	use := map[string]*TypeUse{}
	for _, t := range f.Tensors() {
		name := t.Type.String()
		if use[name] == nil {
			use[name] = &TypeUse{Type: name, Kernel: string(modelfile.KernelOf(t.Type))}
		}
		u := use[name]
		u.Tensors++
		u.Parameters += t.Elements()
		u.Bytes += t.Size
		m.Parameters += t.Elements()
		m.Tensors = append(m.Tensors, Tensor{t.Name, name, t.Dims, t.Size})
	}
	for _, u := range use {
		m.Types = append(m.Types, *u)
	}
	slices.SortFunc(m.Types, func(a, b TypeUse) int {
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

func (m *Model) describeTokenizer(f *gguf.File) {
	m.Tokenizer = Tokenizer{Model: text(f, "tokenizer.ggml.model"), Pre: text(f, "tokenizer.ggml.pre")}
	if add, err := f.Bool("tokenizer.ggml.add_bos_token"); err == nil {
		m.Tokenizer.AddBOS = &add
	}
}

// specialOf is a token that the header names; -1 is none.
func specialOf(f *gguf.File, id int32) *Token {
	if id < 0 {
		return nil
	}
	s := &Token{ID: uint32(id)}
	if tokens, _ := f.Strings("tokenizer.ggml.tokens"); int(id) < len(tokens) {
		s.Text = tokens[id]
	}
	return s
}

func (m *Model) describeRope(f *gguf.File) {
	m.Rope = Rope{Base: 10000, Scaling: "none"} // libllama's defaults
	if base, err := f.Float32(m.Architecture + ".rope.freq_base"); err == nil {
		m.Rope.Base = base
	}
	if s := text(f, m.Architecture+".rope.scaling.type"); s != "" {
		m.Rope.Scaling = s
	}
	if factor, err := f.Float32(m.Architecture + ".rope.scaling.factor"); err == nil {
		m.Rope.Factor = factor
	}
	_, m.Rope.FreqFactors = f.Tensor("rope_freqs.weight")
}

// judge decides whether the engine can train adapters on the model: it can if its header is
// one that loading accepts, and if it loads.
func (m *Model) judge(f *gguf.File) {
	h, problems := modelfile.Check(f)
	if s := h.Shape; s != (adapter.Shape{}) {
		m.Shape = &Shape{s.Layers, s.Embd, s.FF, s.Heads, s.KVHeads, s.HeadDim}
	}
	m.Tokenizer.BOS, m.Tokenizer.EOS = specialOf(f, h.Vocab.BOS), specialOf(f, h.Vocab.EOS)
	m.Warnings = h.Warnings
	if m.Usable = modelfile.Decodable(problems); m.Usable {
		err := loads(m.Path)
		m.Usable = err == nil
		problems = append(problems, err)
	}
	for _, err := range problems {
		if err != nil {
			m.Reasons = append(m.Reasons, printable.Text(strings.TrimPrefix(err.Error(), "model "+m.Path+": "), 400))
		}
	}
	m.Trainable = len(m.Reasons) == 0
}

// loads is the error of loading a model, which reads every weight. Nothing of it stays.
func loads(path string) (err error) {
	dev, err := ggml.OpenDevice(ggml.DeviceOptions{Threads: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	model, err := ggml.LoadModel(dev, path, ggml.ModelOptions{Decode: true})
	if err != nil {
		return err
	}
	return model.Close()
}
