package ggml

import (
	"context"
	"fmt"
	"slices"

	"steer/ggml/lm"
	"steer/ggml/transformer"
)

// Precision selects the arithmetic of the frozen matrices.
type Precision string

// The precisions.
const (
	// BF16 multiplies in bfloat16 and sums in f32, where the CPU can; elsewhere it
	// is F32. The default.
	BF16 Precision = "bf16"
	// F32 is exact to the references, and slower.
	F32 Precision = "f32"
)

// Values lists the precisions, for configuration errors.
func (Precision) Values() []string { return []string{string(BF16), string(F32)} }

// StepOptions says which stack a Step evaluates.
type StepOptions struct {
	// Adapters are switched on together: y = W x + Σ s B A x. The last one is
	// trained if it is trainable and Train is set.
	Adapters []*Adapter
	// Head is the adapter whose scalar head is read; nil: the last one that has one.
	Head *Adapter
	// Train makes the Step a learner of the last adapter and of its head.
	Train bool
	// KeepActivations switches layer checkpointing off: faster by a fifth, several
	// times the memory.
	KeepActivations bool
	Precision       Precision // "" means BF16
	Dropout         float32   // LoRA dropout probability of the trained adapter
}

// Step evaluates a stack of adapters on the model and trains its top. It implements
// lm.Learner.
type Step struct {
	m       *Model
	opt     StepOptions
	weights *transformer.Weights
	trained *Adapter   // nil: evaluation only
	uses    []*Adapter // the stack, and the one whose head is read
	graph   *transformer.Graph
	batch   []lm.Sequence // of graph
	grad    bool          // graph has a backward pass that has not run
	entropy bool          // graph's backward pass takes a gradient of entropies
	closed  bool
}

var _ lm.Learner = (*Step)(nil)

// NewStep lays a stack of adapters over the model.
func (m *Model) NewStep(opt StepOptions) (*Step, error) {
	if opt.Precision == "" {
		opt.Precision = BF16
	}
	if opt.Precision != BF16 && opt.Precision != F32 {
		return nil, fmt.Errorf("step: precision %q: want %q or %q", opt.Precision, BF16, F32)
	}
	if !(opt.Dropout >= 0 && opt.Dropout < 1) {
		return nil, fmt.Errorf("step: dropout %g: want 0 or more and less than 1", opt.Dropout)
	}
	if err := m.refuseUntrainable(); err != nil {
		return nil, fmt.Errorf("step: %w", err)
	}
	opt.Adapters = slices.Clone(opt.Adapters)
	s := &Step{m: m, opt: opt}
	err := m.do(func() error {
		if err := m.checkStack(opt.Adapters); err != nil {
			return err
		}
		if opt.Train {
			if len(opt.Adapters) == 0 || !opt.Adapters[len(opt.Adapters)-1].trainable {
				return fmt.Errorf("to train, the last adapter of the stack must be trainable")
			}
			s.trained = opt.Adapters[len(opt.Adapters)-1]
		}
		s.weights = m.weights()
		for _, a := range opt.Adapters {
			var dropout float32
			if a == s.trained {
				dropout = opt.Dropout
			}
			if err := a.pairsInto(s.weights, dropout, a == s.trained); err != nil {
				return err
			}
		}
		head := opt.Head
		for i := len(opt.Adapters) - 1; i >= 0 && head == nil; i-- {
			if opt.Adapters[i].HasHead() {
				head = opt.Adapters[i]
			}
		}
		if head != nil {
			if err := m.checkStack([]*Adapter{head}); err != nil {
				return err
			}
			if !head.HasHead() {
				return fmt.Errorf("the adapter chosen for its head has none")
			}
			s.weights.Head = head.head(head == s.trained)
		}
		s.uses = opt.Adapters
		if head != nil && !slices.Contains(s.uses, head) {
			s.uses = append(slices.Clone(s.uses), head)
		}
		s.count(1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("step: %w", err)
	}
	return s, nil
}

// count adds n to what is open of the model and of every adapter in use.
func (s *Step) count(n int) {
	for _, a := range s.uses {
		a.open.add("steps", n)
	}
	s.m.open.add("steps", n)
}

// do runs f on the engine thread while the step is open.
func (s *Step) do(f func() error) error {
	return s.m.dev.do(func() error {
		if s.closed {
			return fmt.Errorf("step: %w", ErrClosed)
		}
		return f()
	})
}

// Forward evaluates a ragged batch; see lm.Evaluator.
func (s *Step) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opt.EntropyGradient && !(opt.Gradient && opt.Entropy) {
		return nil, fmt.Errorf("step: EntropyGradient needs Gradient and Entropy")
	}
	if opt.Gradient && s.trained == nil {
		return nil, fmt.Errorf("step: a gradient was asked of a stack that is not trained: %w", lm.ErrNoGradient)
	}
	flat, err := s.flatten(batch, opt)
	if err != nil {
		return nil, err
	}
	out := emptyOutput(batch, opt)
	err = s.do(func() error {
		if s.planned() {
			return errPlanned
		}
		s.m.owner, s.grad = s, false
		s.graph, err = transformer.Build(s.m.scratch, s.m.info.network, s.weights, &flat.Batch, s.graphOptions(opt))
		if err != nil {
			return err
		}
		logprob, head, err := s.graph.Forward()
		if err != nil {
			return err
		}
		flat.fillOutput(out, batch, logprob, head)
		s.batch, s.grad, s.entropy = batch, opt.Gradient, opt.EntropyGradient
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("forward of %d sequences, %d tokens: %w", len(batch), len(flat.Tokens), err)
	}
	return out, nil
}

// graphOptions is how the training graph computes a batch under opt.
func (s *Step) graphOptions(opt lm.Options) transformer.Options {
	return transformer.Options{
		BF16: s.opt.Precision == BF16, Gradient: opt.Gradient, Checkpoint: !s.opt.KeepActivations,
		Dropout: opt.Dropout && s.trained != nil && s.opt.Dropout > 0, Entropy: opt.Entropy,
		EntropyGrad: opt.EntropyGradient, Temperature: opt.Temperature,
	}
}

// Backward adds the gradients of the last Forward; see lm.Learner.
func (s *Step) Backward(g lm.Gradient) error {
	err := s.do(func() error {
		if !s.grad || s.m.owner != s {
			return lm.ErrNoGradient
		}
		if g.Entropy != nil && !s.entropy {
			return fmt.Errorf(
				"gradient of entropies, which the forward pass was not asked for (lm.Options.EntropyGradient)")
		}
		logprob, head, err := flattenGradient(s.batch, g)
		if err != nil {
			return err
		}
		s.grad = false
		return s.graph.Backward(logprob, head)
	})
	if err != nil {
		return fmt.Errorf("backward: %w", err)
	}
	return nil
}

// ScratchBytes is the memory held for activations, shared by all steps of the model.
func (s *Step) ScratchBytes() int64 {
	var n int64
	_ = s.do(func() error { n = s.m.scratch.Bytes(); return nil })
	return n
}

// Close releases the stack.
func (s *Step) Close() error {
	err := s.do(func() error {
		s.closed = true
		s.count(-1)
		if s.m.owner == s {
			s.m.owner = nil
		}
		return nil
	})
	return closedTwice(err)
}
