package ggml

import (
	"fmt"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/transformer"
)

// Adapter is a live adapter on a model: its LoRA pairs and scalar head as tensors
// that evaluation, decoding and the optimizer share.
type Adapter struct {
	m         *Model
	native    cgo.LoRA
	host      *adapter.Adapter // names, shapes, scales, metadata; values as at Refresh
	trainable bool
	planned   bool  // shapes only: for plans, see PlanAdapter
	step      int64 // AdamW steps taken
	open      children
	closed    bool
}

// NewAdapter puts a copy of a on the model's device. A trainable one also gets room
// for gradients and Adam's moments (4 times the memory).
func (m *Model) NewAdapter(a *adapter.Adapter, trainable bool) (*Adapter, error) {
	return m.newAdapter(a, trainable, false)
}

// PlanAdapter is NewAdapter without the memory: steps and sessions on it can be
// planned, not computed.
func (m *Model) PlanAdapter(a *adapter.Adapter, trainable bool) (*Adapter, error) {
	return m.newAdapter(a, trainable, true)
}

func (m *Model) newAdapter(a *adapter.Adapter, trainable, planned bool) (*Adapter, error) {
	if err := m.refuseUntrainable(); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if err := a.Check(m.info.Shape); err != nil {
		return nil, err
	}
	if err := a.CheckFinite(); err != nil {
		return nil, err
	}
	alpha, err := commonAlpha(a)
	if err != nil {
		return nil, err
	}
	l := &Adapter{m: m, host: a.Clone(), trainable: trainable, planned: planned}
	pairs := make([]cgo.LoRAPair, len(a.Pairs))
	for i, p := range a.Pairs {
		pairs[i] = cgo.LoRAPair{Name: p.Name, NIn: p.NIn, NOut: p.NOut, Rank: p.Rank}
	}
	head := 0
	if a.Head != nil {
		head = len(a.Head.Weight)
	}
	err = m.do(func() error {
		var err error
		if l.native, err = cgo.NewLoRA(m.dev.native, m.native, pairs, alpha, head, trainable, planned); err != nil {
			return err
		}
		if flat := l.flatten(l.host); !planned {
			l.native.Write(cgo.Params, flat)
		}
		m.open.add("adapters", 1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	return l, nil
}

// commonAlpha is the alpha with which alpha/rank is every pair's scale, as decode
// computes it; 0 stands for scale 1.
func commonAlpha(a *adapter.Adapter) (float32, error) {
	if len(a.Pairs) == 0 || a.Alpha == 0 {
		return 0, nil
	}
	alpha := a.Scale(a.Pairs[0]) * float32(a.Pairs[0].Rank)
	for _, p := range a.Pairs {
		if got := alpha / float32(p.Rank); got != a.Scale(p) && a.RsLoRA {
			return 0, fmt.Errorf("adapter: rsLoRA with different ranks (%s) has no common alpha: export "+
				"it with one rank", p.Name)
		}
	}
	return alpha, nil
}

// flatten lays the host copy out as the native buffers do: a, b of each pair, then
// head weight and bias.
func (l *Adapter) flatten(a *adapter.Adapter) []float32 {
	var flat []float32
	for _, p := range a.Pairs {
		flat = append(append(flat, p.A...), p.B...)
	}
	if a.Head != nil {
		flat = append(append(flat, a.Head.Weight...), a.Head.Bias)
	}
	return flat
}

// Bytes is the device memory of the adapter: parameters, and, where it is trained,
// gradients and Adam's two moments, f32 each. A GPU's tensors begin at multiples of 256 bytes.
func (l *Adapter) Bytes() (params, gradients, moments int64) {
	_ = l.do(func() error { params = 4 * l.native.Room(); return nil })
	if l.trainable {
		return params, params, 2 * params
	}
	return params, 0, 0
}

// Host reads the current values back; the result belongs to the caller.
func (l *Adapter) Host() (*adapter.Adapter, error) {
	var flat []float32
	err := l.do(func() error {
		if l.planned {
			return errPlanned
		}
		flat = make([]float32, l.native.Count())
		l.native.Read(cgo.Params, flat)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a := l.host.Clone()
	for i := range a.Pairs {
		p := &a.Pairs[i]
		flat = flat[copy(p.A, flat):]
		flat = flat[copy(p.B, flat):]
	}
	if a.Head != nil {
		flat = flat[copy(a.Head.Weight, flat):]
		a.Head.Bias = flat[0]
	}
	return a, nil
}

// HasHead tells whether the adapter carries a scalar head.
func (l *Adapter) HasHead() bool { return l.host.Head != nil }

// Describe returns the adapter's names, shapes and metadata; its values may be old.
func (l *Adapter) Describe() *adapter.Adapter { return l.host }

// pairsInto puts the adapter's live pairs on the linears they belong to.
func (l *Adapter) pairsInto(w *transformer.Weights, dropout float32, trainable bool) error {
	for i, p := range l.host.Pairs {
		layer, target, ok := splitName(p.Name)
		if !ok || layer >= len(w.Layers) {
			return fmt.Errorf("adapter: %s is not a weight of a layer", p.Name)
		}
		lin, ok := w.Layers[layer].Linears()[target]
		if !ok {
			return fmt.Errorf("adapter: %s is not a matrix of this model", p.Name)
		}
		pair := transformer.Pair{
			A: l.native.Param(2 * i), B: l.native.Param(2*i + 1),
			Rank: p.Rank, Scale: l.host.Scale(p), Dropout: dropout, Site: i,
		}
		if trainable {
			pair.GradA, pair.GradB = l.native.Grad(2*i), l.native.Grad(2*i+1)
		}
		if len(lin.Pairs) == transformer.MaxPairs {
			return fmt.Errorf("%s: more than %d adapters of the stack change it: merge some of them", p.Name,
				transformer.MaxPairs)
		}
		lin.Pairs = append(lin.Pairs, pair)
	}
	return nil
}

// head returns the live scalar head.
func (l *Adapter) head(trainable bool) *transformer.ScalarHead {
	i := 2 * len(l.host.Pairs)
	h := &transformer.ScalarHead{W: l.native.Param(i), B: l.native.Param(i + 1)}
	if trainable {
		h.GradW = l.native.Grad(i)
		if l.host.Head.HasBias {
			h.GradB = l.native.Grad(i + 1)
		}
	}
	return h
}

// Close frees the adapter. Steps and sessions on it must be closed before.
func (l *Adapter) Close() error {
	err := l.do(func() error {
		if err := l.open.empty("adapter"); err != nil {
			return err
		}
		l.closed = true
		l.native.Free()
		l.m.open.add("adapters", -1)
		return nil
	})
	return closedTwice(err)
}

// do runs f on the engine thread while the adapter is open.
func (l *Adapter) do(f func() error) error {
	return l.m.dev.do(func() error {
		if l.closed {
			return fmt.Errorf("adapter: %w", ErrClosed)
		}
		return f()
	})
}
