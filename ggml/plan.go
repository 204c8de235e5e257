package ggml

import (
	"context"
	"errors"
	"fmt"

	"steer/cgo"
	"steer/ggml/lm"
	"steer/ggml/transformer"
)

// errPlanned: what has no memory cannot be computed with.
var errPlanned = errors.New("an adapter of this stack is planned only (PlanAdapter): it has no memory to compute with")

// Pass is a batch and how it is evaluated: the unit that plans are made of.
type Pass struct {
	Step    *Step
	Batch   []lm.Sequence
	Options lm.Options
	// Reference makes it a pass of Step.FullKL.
	Reference *Step
}

// PassUse is what a pass takes, in bytes. Passes on one model share all of it: what
// counts is the largest.
type PassUse struct {
	Activations int64 // inputs, intermediate results and outputs of the graph
	Tables      int64 // of the graph and its allocator
	Work        int64 // kept by ggml for its own operations
	// Scratch is the most that a GPU's kernels have in use at once: asked of every kernel
	// without running it. 0 on the CPU, see PlanScratch.
	Scratch int64
}

// SessionUse is what a session takes, in bytes, while it is open.
type SessionUse struct {
	KV      int64 // keys and values
	Compute int64 // activations that a decode touches
	Logits  int64
	Tables  int64 // of libllama and ggml
	// Host is, on a GPU, what of the activations lies in the host's memory, as do Logits and
	// Tables; KV and Compute are in the GPU's.
	Host int64
	// Reserved is the address space held for activations; beyond Compute it is never touched.
	Reserved int64
}

// planned tells whether any adapter in use has no memory.
func (s *Step) planned() bool {
	for _, a := range s.uses {
		if a.planned {
			return true
		}
	}
	return false
}

// Plan lays a pass out as Forward and Backward would and asks the allocator for its
// size. Nothing is allocated or disturbed; the adapters may be planned ones.
func (m *Model) Plan(p Pass) (PassUse, error) {
	flat, err := p.flatten()
	if err != nil {
		return PassUse{}, fmt.Errorf("plan: %w", err)
	}
	var use cgo.GraphUse
	err = p.Step.do(func() error {
		g, err := cgo.NewGraph(m.dev.native)
		if err != nil {
			return err
		}
		defer g.Free()
		if p.Reference != nil {
			use, err = transformer.MeasureKL(g, p.Step.m.info.network, p.Step.weights, p.Reference.weights, &flat.Batch,
				p.Step.graphOptions(p.Options))
		} else {
			use, err = transformer.Measure(g, p.Step.m.info.network, p.Step.weights, &flat.Batch,
				p.Step.graphOptions(p.Options))
		}
		return err
	})
	if err != nil {
		return PassUse{}, fmt.Errorf("plan of %d sequences, %d tokens: %w", len(p.Batch), len(flat.Tokens), err)
	}
	return PassUse{Activations: use.Activations, Tables: use.Tables, Work: use.Work, Scratch: use.Scratch}, nil
}

func (p Pass) flatten() (*layout, error) {
	if p.Reference != nil {
		return p.Step.flattenKL(p.Batch, p.Options)
	}
	return p.Step.flatten(p.Batch, p.Options)
}

// PlanSession lays a session out as NewSession would, and a decode of so many tokens
// that draws outputs next tokens. Nothing is allocated.
func (m *Model) PlanSession(opt SessionOptions, tokens, outputs int) (SessionUse, error) {
	if err := opt.complete(m); err != nil {
		return SessionUse{}, err
	}
	tokens = max(1, min(tokens, opt.batch()))
	var use cgo.SessionUse
	err := m.do(func() error {
		if err := m.checkStack(opt.Adapters); err != nil {
			return err
		}
		var err error
		use, err = cgo.MeasureSession(m.dev.native, m.native, decoded(opt.Adapters), opt.Sequences, opt.Context,
			opt.batch(), opt.KVF32, tokens, max(1, min(outputs, tokens)))
		return err
	})
	if err != nil {
		return SessionUse{}, fmt.Errorf("plan of a session: %w", err)
	}
	return SessionUse{KV: use.KV, Compute: use.Compute, Logits: use.Logits, Tables: use.Tables, Host: use.Host,
		Reserved: use.Reserved}, nil
}

// probeBytes bounds, roughly, the activations of the one layer that plans compute.
const probeBytes = 128 << 20

// PlanScratch is the memory that the CPU kernels' threads will keep for themselves
// after the given passes, beyond what they hold when asked. It is found by running each
// on one layer of the network, with its longest sequence. A sequence for which one layer
// would take much memory is shortened, and the answer extrapolated: it grows linearly.
// To be asked on a device that has not computed longer sequences yet.
func (m *Model) PlanScratch(passes []Pass) (int64, error) {
	return m.planScratch(passes, m.probeTokens())
}

// probeTokens is the length of a sequence with about probeBytes of activations in one layer.
func (m *Model) probeTokens() int {
	perToken := 4 * (10*m.info.Shape.Embd + 8*m.info.Shape.FF)
	return max(128, probeBytes/perToken)
}

func (m *Model) planScratch(passes []Pass, most int) (int64, error) {
	before, longest := cgo.ScratchBytes(), 0
	for _, p := range passes {
		longest = max(longest, len(p.longest().Tokens))
	}
	if longest <= most {
		held, err := m.probe(passes, longest)
		return held - before, err
	}
	half, err := m.probe(passes, most/2)
	if err != nil {
		return 0, err
	}
	held, err := m.probe(passes, most)
	return held - before + (held-half)*int64(longest-most)/int64(most-most/2), err
}

// probe runs the passes on one layer with sequences of at most so many tokens and
// returns the scratch memory then held.
func (m *Model) probe(passes []Pass, tokens int) (int64, error) {
	small := &shrunk{m: m, adapters: map[*Adapter]*Adapter{}}
	for _, p := range passes {
		if err := small.run(p, max(2, tokens)); err != nil {
			return 0, errors.Join(fmt.Errorf("plan: trying the kernels on one layer: %w", err), small.close())
		}
	}
	return cgo.ScratchBytes(), small.close()
}

// longest is the longest sequence of a pass.
func (p Pass) longest() lm.Sequence {
	var long lm.Sequence
	for _, q := range p.Batch {
		if len(q.Tokens) > len(long.Tokens) {
			long = q
		}
	}
	return long
}

// shrunk runs passes on one layer, with copies of the adapters of that layer alone.
type shrunk struct {
	m        *Model
	adapters map[*Adapter]*Adapter
	closes   []func() error
}

func (s *shrunk) close() error {
	var errs []error
	for i := len(s.closes) - 1; i >= 0; i-- {
		errs = append(errs, s.closes[i]())
	}
	return errors.Join(errs...)
}

func (s *shrunk) run(p Pass, tokens int) error {
	p.Batch = []lm.Sequence{beginning(p.longest(), tokens)}
	layer := p.Step.typicalLayer()
	step, err := s.step(p.Step, layer)
	if err != nil {
		return err
	}
	var reference *Step
	if p.Reference != nil {
		if reference, err = s.step(p.Reference, layer); err != nil {
			return err
		}
	}
	p.Step, p.Reference = step, reference
	return p.onOneLayer(layer)
}

// step is a step's likeness on adapters with memory.
func (s *shrunk) step(of *Step, layer int) (*Step, error) {
	opt := of.opt
	opt.Adapters, opt.Head = nil, nil
	for _, a := range of.uses {
		likeness, err := s.adapter(a, layer)
		if err != nil {
			return nil, err
		}
		if likeness != nil {
			opt.Adapters = append(opt.Adapters, likeness)
		}
	}
	opt.Train = opt.Train && of.trained != nil && s.adapters[of.trained] != nil
	step, err := s.m.NewStep(opt)
	if err == nil {
		s.closes = append(s.closes, step.Close)
	}
	return step, err
}

// adapter has the pairs of one layer and the head; nil if there are none.
func (s *shrunk) adapter(of *Adapter, layer int) (*Adapter, error) {
	if a, ok := s.adapters[of]; ok {
		return a, nil
	}
	host := *of.host
	host.Pairs = nil
	for _, p := range of.host.Pairs {
		if at, _, ok := splitName(p.Name); ok && at == layer {
			host.Pairs = append(host.Pairs, p)
		}
	}
	if len(host.Pairs) == 0 && host.Head == nil {
		s.adapters[of] = nil
		return nil, nil
	}
	a, err := s.m.NewAdapter(&host, of.trainable)
	if err != nil {
		return nil, err
	}
	s.closes = append(s.closes, a.Close)
	s.adapters[of] = a
	return a, nil
}

// beginning is a sequence cut to n tokens, with targets and heads where it had any.
func beginning(q lm.Sequence, n int) lm.Sequence {
	n = min(n, len(q.Tokens))
	out := lm.Sequence{Tokens: q.Tokens[:n], DropoutSeed: q.DropoutSeed}
	for t := 1; t < n && len(q.Targets) > 0; t++ {
		out.Targets = append(out.Targets, int32(t))
	}
	if len(q.Heads) > 0 || len(out.Targets) == 0 && len(q.Targets) == 0 {
		out.Heads = []int32{int32(n - 1)}
	}
	return out
}

// typicalLayer is the last layer that learns, or the last of all.
func (s *Step) typicalLayer() int {
	for i := len(s.weights.Layers) - 1; i >= 0; i-- {
		if s.weights.Layers[i].Trainable() {
			return i
		}
	}
	return len(s.weights.Layers) - 1
}

// onOneLayer computes the pass with all layers but one left out: every kernel runs on
// matrices of the real widths. Gradients that it makes are dropped.
func (p Pass) onOneLayer(layer int) error {
	flat, err := p.flatten()
	if err != nil {
		return err
	}
	s := p.Step
	return s.do(func() error {
		s.m.owner = nil
		opt := s.graphOptions(p.Options)
		if p.Reference != nil {
			_, err := transformer.KL(s.m.scratch, s.m.info.network, onlyLayer(s.weights, layer),
				onlyLayer(p.Reference.weights, layer), &flat.Batch, opt)
			return err
		}
		opt.Gradient = opt.Gradient && s.trained != nil
		g, err := transformer.Build(s.m.scratch, s.m.info.network, onlyLayer(s.weights, layer), &flat.Batch, opt)
		if err != nil {
			return err
		}
		if _, _, err := g.Forward(); err != nil || !opt.Gradient {
			return err
		}
		defer s.trained.native.ZeroGrad()
		ones := func(n int) []float32 { // a kernel may leave out what has no gradient
			out := make([]float32, n)
			for i := range out {
				out[i] = 1
			}
			return out
		}
		return g.Backward(ones(2*len(flat.Rows)), ones(len(flat.Heads)))
	})
}

func onlyLayer(w *transformer.Weights, i int) *transformer.Weights {
	one := *w
	one.Layers = w.Layers[i : i+1]
	return &one
}

// Reserve obtains now what the given passes will need, so that the evaluation of these
// and of smaller ones obtains nothing more: a run calls it once with the largest passes
// of its plan. Gradients accumulated so far are dropped.
func (m *Model) Reserve(ctx context.Context, passes []Pass) error {
	for _, p := range passes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.Reference != nil || p.Step.planned() {
			continue
		}
		if err := p.reserve(); err != nil {
			return fmt.Errorf("reserving memory: %w", err)
		}
	}
	for _, p := range passes { // the kernels' own memory, on every thread; a GPU loads their code
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.Reference != nil || p.Step.planned() {
			continue
		}
		if err := p.onOneLayer(p.Step.typicalLayer()); err != nil {
			return fmt.Errorf("reserving memory: %w", err)
		}
	}
	return nil
}

func (p Pass) reserve() error {
	flat, err := p.flatten()
	if err != nil {
		return err
	}
	return p.Step.do(func() error {
		p.Step.m.owner = nil
		if _, err := transformer.Build(p.Step.m.scratch, p.Step.m.info.network, p.Step.weights, &flat.Batch,
			p.Step.graphOptions(p.Options)); err != nil {
			return err
		}
		return p.Step.m.scratch.ReserveScratch() // of a GPU; the CPU's threads have each their own, below
	})
}

// Allocations counts how often native memory was obtained for training graphs and
// kernels since the process began; a step after the first must not move it.
func Allocations() int64 { return cgo.Allocations() }
