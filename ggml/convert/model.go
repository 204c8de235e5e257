package convert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/ggml/convert/tokenizer"
	"steer/ggml/gguf"
	"steer/internal/jinja"
)

// ErrUnsupported is wrapped where a model is one that cannot be converted.
var ErrUnsupported = errors.New("this model is not supported by the converter")

// Model is a model repository that has been read and checked; its weights are read by Save.
type Model struct {
	m *model
}

type model struct {
	dir     string
	s       *settings
	f       *family
	sh      shape
	rope    rope
	shards  *shards
	tensors []tensor
	factors []factorTensor // of RoPE
	tok     *tokenizer.Tokenizer
	meta    *gguf.Writer // the family's metadata

	ropeDims int  // how much of a head is turned
	addBlank bool // Tokenizer.Add["space"] is the tokenizer's; false: no blank is put before a text
	notices  []string
}

// OpenOptions say what a repository's files do not.
type OpenOptions struct {
	Pre string // name of the pre-tokenizer; see tokenizer.Options
}

// Open reads and checks the repository in a folder. Close it when done.
func Open(dir string, opt OpenOptions) (*Model, error) {
	m := &model{dir: dir, addBlank: true, meta: gguf.NewWriter()}
	if err := m.open(opt); err != nil {
		return nil, errors.Join(err, m.shards.close())
	}
	return &Model{m}, nil
}

// Close closes the files of the weights.
func (c *Model) Close() error { return c.m.shards.close() }

// Architecture is GGUF's name of the model's kind.
func (c *Model) Architecture() string { return c.m.f.arch }

// Notices are what a user has to know, a sentence each.
func (c *Model) Notices() []string { return slices.Concat(c.m.notices, c.m.tok.Notices) }

// Parameters is the number of weights.
func (c *Model) Parameters() int64 {
	n := int64(0)
	for _, t := range c.m.tensors {
		n += int64(t.rows) * int64(t.cols)
	}
	for _, f := range c.m.factors {
		n += int64(len(f.values))
	}
	return n
}

func (m *model) notice(format string, args ...any) {
	m.notices = append(m.notices, fmt.Sprintf(format, args...))
}

func (m *model) open(opt OpenOptions) (err error) {
	if m.s, err = m.readConfig(); err != nil {
		return err
	}
	if err := m.pickFamily(); err != nil {
		return err
	}
	m.sh = shapeOf(m.s)
	m.rope = ropeOf(m.s)
	if err := m.describe(); err != nil {
		return err
	}
	if m.shards, err = openShards(m.dir); err != nil {
		return err
	}
	if _, said := m.s.values[tiedKey]; !said {
		m.sh.tied = m.f.normShift || !m.shards.hasOutput() // Gemma's always are
	}
	if err := m.plan(); err != nil {
		return err
	}
	m.tok, err = tokenizer.Read(m.dir, tokenizer.Options{Rows: m.sh.vocab, Ids: m.s.ids(), Pre: opt.Pre,
		Digits: m.f.digits})
	if err != nil {
		return err
	}
	if _, err := jinja.CompileChat(m.tok.Template); err != nil {
		m.notice("the chat template is written as it is, but no use is made of it as long as it does not read: %v", err)
	}
	switch {
	case !m.addBlank:
		m.tok.Add["space"] = false
	case m.tok.Model == "gpt2" && !m.f.pairs: // it means nothing there; llama.cpp writes it for Llama's kind alone
		delete(m.tok.Add, "space")
	}
	return nil
}

func (m *model) readConfig() (*settings, error) {
	st, err := os.Stat(m.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such folder: want that of a model repository, with config.json, "+
			"*.safetensors and a tokenizer, or a name of the hub (hf:ORG/NAME): %w", m.dir, os.ErrNotExist)
	} else if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("%s is a file: want the folder of a model repository, with config.json, *.safetensors "+
			"and "+
			"a tokenizer", m.dir)
	}
	path := filepath.Join(m.dir, "config.json")
	s, err := readSettings(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, adapter := os.Stat(filepath.Join(m.dir, "adapter_config.json")); adapter == nil {
			return nil, fmt.Errorf("%s: this is an adapter, not a model: steer adapter import turns it into a GGUF "+
				"file", m.dir)
		}
		if gg, _ := filepath.Glob(filepath.Join(m.dir, "*.gguf")); len(gg) > 0 {
			return nil, fmt.Errorf("%s: no config.json, but %s, which needs no conversion", m.dir, filepath.Base(gg[0]))
		}
		return nil, fmt.Errorf("%s: no config.json: want the folder of a model repository, with config.json, "+
			"*.safetensors and a tokenizer", m.dir)
	}
	return s, err
}

func (m *model) pickFamily() error {
	names := m.s.texts("architectures")
	if m.s.err != nil {
		return m.s.err
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: architectures is missing: want a list with one of %s", m.s.path,
			strings.Join(Architectures(), ", "))
	}
	f, ok := families[names[0]]
	if !ok {
		return fmt.Errorf("%s: architectures: %s: %w: supported are %s; other models are converted by llama.cpp's "+
			"convert_hf_to_gguf.py, and steer runs their GGUF files where libllama does", m.s.path, names[0],
			ErrUnsupported, strings.Join(Architectures(), ", "))
	}
	m.f = f
	m.s.assume(f.defaults)
	return m.checkQuantized()
}

// checkQuantized refuses weights that are quantized in a way of their own.
func (m *model) checkQuantized() error {
	q := m.s.object("quantization_config")
	if len(q.values) == 0 {
		q = m.s.object("compression_config")
	}
	if m.s.err != nil || len(q.values) == 0 {
		return m.s.err
	}
	method := q.text("quant_method")
	if method == "" {
		method = "a method without a name"
	}
	return fmt.Errorf("%s: quantization_config: the weights are quantized by %s: %w: take the repository of the model "+
		"before that (f32, f16 or bf16), and quantize the GGUF file instead (--type)", m.s.path, method, ErrUnsupported)
}

// describe checks the configuration and writes the family's metadata.
func (m *model) describe() error {
	m.ropeDims = m.sh.headDim
	if r := m.rope.full; r.has("partial_rotary_factor") {
		m.ropeDims = int(r.number("partial_rotary_factor")*float64(m.sh.embd)) / max(1, m.sh.heads)
		if m.sh.headDim*m.sh.heads != m.sh.embd {
			m.ropeDims = int(r.number("partial_rotary_factor") * float64(m.sh.headDim))
		}
	}
	m.checkActivation()
	if m.s.err == nil {
		m.writeShape()
		m.writeRope(m.meta)
		m.f.further(m, m.meta)
	}
	return errors.Join(m.s.err, m.rope.full.err, m.meta.Err())
}

// checkActivation checks the gate's function, which libllama takes for granted.
func (m *model) checkActivation() {
	for _, key := range []string{"hidden_activation", "hidden_act"} {
		got := m.s.text(key)
		if m.f.activation == gelu && (got == "gelu" || got == "gelu_fast") && m.f.arch == "gemma" {
			got = gelu // an early mistake of Gemma's configurations, which transformers reads so too
		}
		if got == "swish" {
			got = silu
		}
		if got != "" {
			if got != m.f.activation {
				m.s.fail("%s is %q: libllama takes %s for granted in this architecture", key, got, m.f.activation)
			}
			return
		}
	}
}

func (m *model) writeShape() {
	w, key, sh := m.meta, m.f.arch+".", m.sh
	w.SetUint32(key+"block_count", uint32(sh.layers))
	w.SetUint32(key+"context_length", uint32(sh.context))
	w.SetUint32(key+"embedding_length", uint32(sh.embd))
	w.SetUint32(key+"feed_forward_length", uint32(sh.ff))
	w.SetUint32(key+"attention.head_count", uint32(sh.heads))
	w.SetUint32(key+"attention.head_count_kv", uint32(sh.kvHeads))
	w.SetFloat32(key+"attention.layer_norm_rms_epsilon", float32(m.s.number("rms_norm_eps")))
	switch {
	case m.f.headWidth:
		w.SetUint32(key+"attention.key_length", uint32(sh.headDim))
		w.SetUint32(key+"attention.value_length", uint32(sh.headDim))
	case sh.headDim*sh.heads != sh.embd:
		m.s.fail("head_dim is %d: libllama takes hidden_size / num_attention_heads in this architecture", sh.headDim)
	}
	if m.f.vocabSize {
		w.SetUint32(key+"vocab_size", uint32(sh.vocab))
	}
}
