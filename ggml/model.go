package ggml

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/llama"
	"steer/ggml/modelfile"
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

	hparams cgo.HParams
}

// ModelOptions configures LoadModel.
type ModelOptions struct {
	// SkipCheck leaves out the scan of every weight for NaN, infinities and
	// impossible quantization blocks.
	SkipCheck bool
}

// LoadModel maps a GGUF file of the `llama` architecture in the quantization it came in.
//
// The file is checked in Go before libllama sees it, so that a damaged or foreign
// file is an error that says what is wrong.
func LoadModel(d *Device, path string, opt ModelOptions) (*Model, error) {
	header, err := precheck(path)
	if err != nil {
		return nil, err
	}
	m := &Model{dev: d, path: path, vocab: header.Vocab}
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

// precheck reads the file's header, which says whether the engine can compute with the model.
func precheck(path string) (modelfile.Header, error) {
	f, err := modelfile.Open(path)
	if err != nil {
		return modelfile.Header{}, err
	}
	defer f.Close()
	h, problems := modelfile.Check(f)
	if len(problems) > 0 {
		return h, fmt.Errorf("model %s: %w", path, problems[0])
	}
	return h, nil
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
	if !h.Plain {
		return fmt.Errorf("%w: it has biases, experts or a layout that differs between layers", ErrUnsupportedModel)
	}
	m.info = ModelInfo{
		Path:        m.path,
		Description: m.native.Desc(),
		Shape: adapter.Shape{Layers: h.Layers, Embd: h.Embd, FF: h.FF, Heads: h.Heads, KVHeads: h.KVHeads,
			HeadDim: h.HeadDim},
		Vocab:    h.Vocab,
		CtxTrain: h.CtxTrain,
		Tied:     h.Tied,
		Params:   h.Params,
		Bytes:    h.Bytes,
		AddsBOS:  m.vocab.BOS >= 0 && m.native.AddsBOS(),
		hparams:  h,
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

// graphShape is the shape as the training graph takes it.
func (m *Model) graphShape() llama.Shape {
	h := m.info.hparams
	scale := h.AttnScale
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(h.HeadDim)))
	}
	freqScale := h.RopeFreqScale
	if h.RopeScaling == 0 {
		freqScale = 1 // a factor without a kind of scaling is not used
	}
	return llama.Shape{
		Layers: h.Layers, Embd: h.Embd, FF: h.FF, Heads: h.Heads, KVHeads: h.KVHeads, HeadDim: h.HeadDim,
		Vocab:  h.Vocab,
		RMSEps: h.RMSEps, AttnScale: scale,
		Rope: llama.Rope{Mode: h.RopeType, FreqBase: h.RopeFreqBase, FreqScale: freqScale, Magnitude: 1},
	}
}

// weights looks up the model's tensors, without adapters.
func (m *Model) weights() *llama.Weights {
	w := &llama.Weights{
		Embd:       m.native.Tensor("token_embd.weight"),
		OutputNorm: m.native.Tensor("output_norm.weight"),
		Output:     m.native.Tensor("output.weight"),
		RopeFreqs:  m.native.Tensor("rope_freqs.weight"),
		Layers:     make([]llama.Layer, m.info.Shape.Layers),
	}
	for i := range w.Layers {
		l := &w.Layers[i]
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", i, s) }
		l.AttnNorm = m.native.Tensor(name("attn_norm"))
		l.FFNNorm = m.native.Tensor(name("ffn_norm"))
		for target, lin := range l.Linears() {
			nIn, nOut, _ := m.info.Shape.Dims(target) // targets of Linears are valid
			*lin = llama.Linear{W: m.native.Tensor(name(target)), NIn: nIn, NOut: nOut}
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
