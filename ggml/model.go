package ggml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/family"
	"steer/ggml/modelfile"
	"steer/ggml/transformer"
)

// ErrUnsupportedModel is wrapped when a model is valid but not one this engine trains.
var ErrUnsupportedModel = modelfile.ErrUnsupported

// Model is a loaded model: its weights are read-only and shared by everything on it.
type Model struct {
	dev     *Device
	native  cgo.Model
	path    string
	info    ModelInfo
	vocab   modelfile.Vocabulary
	scratch cgo.Graph // one graph and its activations, shared by all Steps: one runs at a time
	owner   *Step     // the Step whose forward pass is in scratch
	open    children
	closed  bool
	// untrainable is why only sessions can run the model; nil if all can.
	untrainable error
	// vocabulary is held for reading by those who read it, and for writing by Close.
	vocabulary sync.RWMutex
	spellings  spellings
}

// ModelInfo describes a model.
type ModelInfo struct {
	Path        string
	Description string // libllama's, such as "llama 135M Q4_1"
	Shape       adapter.Shape
	Vocab       int
	CtxTrain    int // tokens the model was trained on
	Tied        bool
	Params      int64
	Bytes       int64 // of the weights
	AddsBOS     bool
	// Warnings are what was noticed in the file's header and a user has to know, a sentence each.
	Warnings []string

	network *family.Network
}

// ModelOptions configures LoadModel.
type ModelOptions struct {
	// SkipCheck leaves out the scan of every weight for NaN, infinities and
	// impossible quantization blocks.
	SkipCheck bool
	// Decode loads a model that the training graph cannot compute as well (a mixture of experts, an
	// architecture that package family does not list): sessions run it by libllama alone, and
	// Untrainable says what stands in the way of the rest.
	Decode bool
}

// LoadModel maps a GGUF file of one of the families of package family in the quantization it came in.
//
// The file is checked in Go before libllama sees it, so that a damaged or foreign
// file is an error that says what is wrong.
func LoadModel(d *Device, path string, opt ModelOptions) (*Model, error) {
	header, path, untrainable, err := precheck(path, opt.Decode)
	if err != nil {
		return nil, err
	}
	m := &Model{dev: d, path: path, vocab: header.Vocab, untrainable: untrainable}
	m.info.Shape, m.info.network = header.Shape, header.Network
	err = d.do(func() error {
		var err error
		if m.native, err = cgo.LoadModel(d.native, path, !opt.SkipCheck); err != nil {
			return loadError(err)
		}
		if err = m.describe(); err == nil {
			m.scratch, err = cgo.NewGraph(d.native)
		}
		if err != nil {
			m.native.Free()
			return err
		}
		d.models.add("models", 1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	m.info.Warnings = header.Warnings
	return m, nil
}

// precheck reads the file's header, which says whether the engine can compute with the model, and of a
// split one the first part's path.
func precheck(path string, decode bool) (h modelfile.Header, first string, untrainable, err error) {
	f, err := modelfile.Open(path)
	if err != nil {
		return h, "", nil, err
	}
	defer f.Close()
	h, problems := modelfile.Check(f)
	switch {
	case len(problems) == 0:
	case decode && modelfile.Decodable(problems):
		untrainable = problems[0]
	default:
		err = fmt.Errorf("model %s: %w", path, problems[0])
	}
	return h, f.Name(), untrainable, err
}

// Untrainable says why the model can only be decoded; nil for one that can be trained and scored.
func (m *Model) Untrainable() error { return m.untrainable }

// refuseUntrainable is the error of whatever needs the training graph.
func (m *Model) refuseUntrainable() error {
	if m.untrainable == nil {
		return nil
	}
	return fmt.Errorf("model %s can be decoded, not trained or scored: %w", m.path, m.untrainable)
}

// loadError puts libllama's finding about damaged weights, which it spreads over a
// log, into a sentence.
func loadError(err error) error {
	if before, _, ok := strings.Cut(err.Error(), "' has invalid data"); ok {
		tensor := before[strings.LastIndexByte(before, '\'')+1:]
		return fmt.Errorf("tensor %s holds NaN, an infinity or an impossible block: the file is damaged, download or "+
			"convert it again", tensor)
	}
	return err
}

func (m *Model) describe() error {
	h := m.native.HParams()
	n := m.info.network
	shape, context := m.info.Shape, h.CtxTrain
	if m.untrainable != nil {
		if !h.Decodes {
			return fmt.Errorf("%w: it does not continue texts, or keeps a state that cannot be taken back",
				ErrUnsupportedModel)
		}
		shape = adapter.Shape{Layers: h.Layers, Embd: h.Embd, FF: h.FF, Heads: h.Heads, KVHeads: h.KVHeads,
			HeadDim: h.HeadDim}
	} else {
		if err := agree(n, h); err != nil {
			return err
		}
		context = n.Context
	}
	m.info = ModelInfo{
		Path:        m.path,
		Description: m.native.Desc(),
		Shape:       shape,
		Vocab:       h.Vocab,
		CtxTrain:    context,
		Tied:        h.Tied,
		Params:      h.Params,
		Bytes:       h.Bytes,
		AddsBOS:     m.vocab.BOS >= 0 && m.native.AddsBOS(),
		network:     n,
	}
	return nil
}

// agree makes sure that libllama, which decodes, has read the same constants out of the file as
// package family, by which the training graph is laid out.
func agree(n *family.Network, h cgo.HParams) error {
	attnScale := n.AttnScale
	if h.AttnScale == 0 {
		attnScale = 0 // libllama leaves the usual one to the graph
	}
	mode := 0
	if n.Rope.Halves {
		mode = 2
	}
	for _, c := range []struct {
		what         string
		ours, theirs float32
	}{
		{"layers", float32(n.Layers), float32(h.Layers)},
		{"embedding width", float32(n.Embd), float32(h.Embd)},
		{"feed-forward width", float32(n.FF), float32(h.FF)},
		{"heads", float32(n.Heads), float32(h.Heads)},
		{"kv heads", float32(n.KVHeads), float32(h.KVHeads)},
		{"width of a head", float32(n.HeadDim), float32(h.HeadDim)},
		{"RMS epsilon", n.RMSEps, h.RMSEps},
		{"RoPE base", n.Rope.Base, h.RopeFreqBase},
		{"RoPE mode", float32(mode), float32(h.RopeType)},
		{"scale of attention", attnScale, h.AttnScale},
		{"cap of logits", n.LogitCap, h.LogitCap},
		{"cap of attention scores", n.AttnCap, h.AttnCap},
	} {
		if c.ours != c.theirs {
			return fmt.Errorf("%w: libllama reads its %s as %g, the training graph as %g", ErrUnsupportedModel, c.what,
				c.theirs, c.ours)
		}
	}
	return nil
}

// Info describes the model.
func (m *Model) Info() ModelInfo { return m.info }

// Shape is what adapters have to fit.
func (m *Model) Shape() adapter.Shape { return m.info.Shape }

// Close unmaps the model. Adapters, steps and sessions must be closed before.
func (m *Model) Close() error {
	m.vocabulary.Lock() // who reads it does so on a thread of their own
	defer m.vocabulary.Unlock()
	err := m.do(func() error {
		if err := m.open.empty("model"); err != nil {
			return err
		}
		m.closed = true
		m.spellings.clear()
		m.scratch.Free()
		m.native.Free()
		m.dev.models.add("models", -1)
		return nil
	})
	return closedTwice(err)
}

// do runs f on the engine thread while the model is open.
func (m *Model) do(f func() error) error {
	return m.dev.do(func() error {
		if m.closed {
			return fmt.Errorf("model: %w", ErrClosed)
		}
		return f()
	})
}

// reading runs f, which does nothing but read the vocabulary, while the model is open. It
// stays on the caller's thread: a text is tokenized in microseconds, handing it to the
// engine thread and back takes far longer. Not to be called on the engine thread.
func (m *Model) reading(f func() error) error {
	m.vocabulary.RLock()
	defer m.vocabulary.RUnlock()
	if m.closed {
		return fmt.Errorf("model: %w", ErrClosed)
	}
	return f()
}

// closedTwice makes closing what is closed no error.
func closedTwice(err error) error {
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// checkStack refuses adapters that cannot be switched on together on this model. It
// runs on the engine thread.
func (m *Model) checkStack(stack []*Adapter) error {
	for i, a := range stack {
		switch {
		case a == nil:
			return fmt.Errorf("adapter %d of the stack is nil", i)
		case a.m != m:
			return fmt.Errorf(
				"adapter %d of the stack belongs to another model: put a copy of its host adapter on this one", i)
		case a.closed:
			return fmt.Errorf("adapter %d of the stack: %w", i, ErrClosed)
		case slices.Index(stack, a) < i:
			return fmt.Errorf("adapter %d of the stack is in it twice", i)
		}
	}
	return nil
}

// weights looks up the model's tensors, without adapters.
func (m *Model) weights() *transformer.Weights {
	n := m.info.network
	w := &transformer.Weights{
		Embd:       m.native.Tensor("token_embd.weight"),
		OutputNorm: m.native.Tensor("output_norm.weight"),
		Output:     m.native.Tensor("output.weight"),
		Layers:     make([]transformer.Layer, n.Layers),
	}
	if n.Rope.Factors != "" {
		w.Factors = m.native.Tensor(n.Rope.Factors)
	}
	for i := range w.Layers {
		l := &w.Layers[i]
		l.Layer = n.Layer[i]
		get := func(name string) cgo.Tensor { return m.native.Tensor(fmt.Sprintf("blk.%d.%s", i, name)) }
		for name, into := range map[string]*cgo.Tensor{
			"attn_norm": &l.AttnNorm, "ffn_norm": &l.FFNNorm, "post_attention_norm": &l.AttnPostNorm,
			"post_ffw_norm": &l.FFNPostNorm,
			"attn_q_norm":   &l.QNorm, "attn_k_norm": &l.KNorm,
		} {
			*into = get(name + ".weight") // those that the family has: modelfile has refused others
		}
		for target, lin := range map[string]*transformer.Linear{
			"attn_q": &l.Q, "attn_k": &l.K, "attn_v": &l.V, "attn_qkv": &l.QKV, "attn_output": &l.O,
			"ffn_gate": &l.Gate, "ffn_up": &l.Up, "ffn_down": &l.Down,
		} {
			nIn, nOut, err := m.info.Shape.Dims(target)
			if err != nil {
				continue // not one of this family's
			}
			*lin = transformer.Linear{W: get(target + ".weight"), Bias: get(target + ".bias"), NIn: nIn, NOut: nOut}
		}
	}
	return w
}

// splitName takes "blk.3.attn_q.weight" apart.
func splitName(name string) (layer int, target string, ok bool) {
	_, err := fmt.Sscanf(name, "blk.%d.", &layer)
	parts := strings.Split(name, ".")
	if err != nil || len(parts) != 4 || parts[3] != "weight" {
		return 0, "", false
	}
	return layer, parts[2], true
}
