package ggml

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/ggml/llama"
	"steer/ggml/seam"
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
// seam.Learner.
type Step struct {
	m       *Model
	opt     StepOptions
	weights *llama.Weights
	shape   llama.Shape
	trained *Adapter   // nil: evaluation only
	uses    []*Adapter // the stack, and the one whose head is read
	graph   *llama.Graph
	batch   []seam.Sequence // of graph
	grad    bool            // graph has a backward pass that has not run
	entropy bool            // graph's backward pass takes a gradient of entropies
	closed  bool
}

var _ seam.Learner = (*Step)(nil)

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
		s.shape = m.graphShape()
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

// Forward evaluates a ragged batch; see seam.Evaluator.
func (s *Step) Forward(ctx context.Context, batch []seam.Sequence, opt seam.Options) (*seam.Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opt.EntropyGradient && !(opt.Gradient && opt.Entropy) {
		return nil, fmt.Errorf("step: EntropyGradient needs Gradient and Entropy")
	}
	if opt.Gradient && s.trained == nil {
		return nil, fmt.Errorf("step: a gradient was asked of a stack that is not trained: %w", seam.ErrNoGradient)
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
		s.graph, err = llama.Build(s.m.scratch, s.shape, s.weights, flat, s.graphOptions(opt))
		if err != nil {
			return err
		}
		logprob, head, err := s.graph.Forward()
		if err != nil {
			return err
		}
		fillOutput(out, batch, logprob, head)
		s.batch, s.grad, s.entropy = batch, opt.Gradient, opt.EntropyGradient
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("forward of %d sequences, %d tokens: %w", len(batch), len(flat.Tokens), err)
	}
	return out, nil
}

// graphOptions is how the training graph computes a batch under opt.
func (s *Step) graphOptions(opt seam.Options) llama.Options {
	return llama.Options{
		BF16: s.opt.Precision == BF16, Gradient: opt.Gradient, Checkpoint: !s.opt.KeepActivations,
		Dropout: opt.Dropout && s.trained != nil && s.opt.Dropout > 0, Entropy: opt.Entropy, EntropyGrad: opt.EntropyGradient, Temperature: opt.Temperature,
	}
}

// Backward adds the gradients of the last Forward; see seam.Learner.
func (s *Step) Backward(g seam.Gradient) error {
	err := s.do(func() error {
		if !s.grad || s.m.owner != s {
			return seam.ErrNoGradient
		}
		if g.Entropy != nil && !s.entropy {
			return fmt.Errorf("gradient of entropies, which the forward pass was not asked for (seam.Options.EntropyGradient)")
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

// flatten checks a batch and lays its sequences end to end.
func (s *Step) flatten(batch []seam.Sequence, opt seam.Options) (*llama.Batch, error) {
	if t := float64(opt.Temperature); !(t >= 0) || math.IsInf(t, 0) {
		return nil, fmt.Errorf("temperature %g: want a positive number, or 0 for 1", t)
	}
	b := &llama.Batch{Starts: []int32{0}}
	for i, q := range batch {
		if len(q.Tokens) == 0 {
			return nil, fmt.Errorf("sequence %d of the batch is empty", i)
		}
		if len(q.Tokens) > s.m.info.CtxTrain {
			return nil, fmt.Errorf("sequence %d has %d tokens, the model's context is %d: %w", i, len(q.Tokens), s.m.info.CtxTrain, seam.ErrContextFull)
		}
		if len(q.Heads) > 0 && s.weights.Head == nil {
			return nil, fmt.Errorf("sequence %d asks for the scalar head, but no adapter of the stack has one", i)
		}
		start := int32(len(b.Tokens))
		for j, id := range q.Tokens {
			if id < 0 || int(id) >= s.m.info.Vocab {
				return nil, fmt.Errorf("sequence %d, position %d: token id %d, the vocabulary has %d: %w", i, j, id, s.m.info.Vocab, seam.ErrBadToken)
			}
			b.Pos = append(b.Pos, int32(j))
		}
		b.Tokens = append(b.Tokens, q.Tokens...)
		if err := ascending(q.Targets, 1, len(q.Tokens)); err != nil {
			return nil, fmt.Errorf("sequence %d: target %w", i, err)
		}
		for _, t := range q.Targets {
			b.Rows = append(b.Rows, start+t-1)
			b.Targets = append(b.Targets, q.Tokens[t])
		}
		if err := ascending(q.Heads, 0, len(q.Tokens)); err != nil {
			return nil, fmt.Errorf("sequence %d: head %w", i, err)
		}
		for _, p := range q.Heads {
			b.Heads = append(b.Heads, start+p)
		}
		if opt.Dropout {
			for j := range q.Tokens {
				seed := mix(q.DropoutSeed + uint64(j)*0x9e3779b97f4a7c15)
				b.Seeds = append(b.Seeds, int32(uint32(seed)), int32(uint32(seed>>32)))
			}
		}
		b.Starts = append(b.Starts, int32(len(b.Tokens)))
	}
	if len(b.Tokens) == 0 {
		return nil, fmt.Errorf("the batch is empty")
	}
	if len(b.Rows)+len(b.Heads) == 0 {
		return nil, fmt.Errorf("the batch asks for nothing: no targets and no heads")
	}
	return b, nil
}

// mix is SplitMix64's finisher.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func ascending(pos []int32, from, to int) error {
	for i, p := range pos {
		if int(p) < from || int(p) >= to || i > 0 && p <= pos[i-1] {
			return fmt.Errorf("position %d: want ascending positions from %d to %d", p, from, to-1)
		}
	}
	return nil
}

func emptyOutput(batch []seam.Sequence, opt seam.Options) *seam.Output {
	out := &seam.Output{Logprobs: make([][]float32, len(batch)), Heads: make([][]float32, len(batch))}
	if opt.Entropy {
		out.Entropy = make([][]float32, len(batch))
	}
	if opt.Greedy {
		out.Greedy = make([][]bool, len(batch))
	}
	return out
}

// fillOutput cuts the native results, [4, R] and [P], into sequences.
func fillOutput(out *seam.Output, batch []seam.Sequence, logprob, head []float32) {
	r, p := 0, 0
	for i, q := range batch {
		n := len(q.Targets)
		out.Logprobs[i] = make([]float32, n)
		if out.Entropy != nil {
			out.Entropy[i] = make([]float32, n)
		}
		if out.Greedy != nil {
			out.Greedy[i] = make([]bool, n)
		}
		for j := range n {
			row := logprob[4*(r+j):]
			out.Logprobs[i][j] = row[0]
			if out.Entropy != nil {
				out.Entropy[i][j] = row[1]
			}
			if out.Greedy != nil {
				out.Greedy[i][j] = row[3] != 0
			}
		}
		r += n
		out.Heads[i] = append([]float32{}, head[p:p+len(q.Heads)]...)
		p += len(q.Heads)
	}
}

// flattenGradient lays dL/dlogprob and dL/dentropy out as [2, R] and dL/dhead as [P].
func flattenGradient(batch []seam.Sequence, g seam.Gradient) (logprob, head []float32, err error) {
	pick := func(all [][]float32, i, want int, what string) ([]float32, error) {
		if all == nil {
			return nil, nil
		}
		if len(all) != len(batch) {
			return nil, fmt.Errorf("gradient of %s has %d sequences, the batch %d", what, len(all), len(batch))
		}
		if all[i] != nil && len(all[i]) != want {
			return nil, fmt.Errorf("gradient of %s: sequence %d has %d values, want %d", what, i, len(all[i]), want)
		}
		return all[i], nil
	}
	for i, q := range batch {
		lp, err := pick(g.Logprobs, i, len(q.Targets), "log-probabilities")
		if err != nil {
			return nil, nil, err
		}
		en, err := pick(g.Entropy, i, len(q.Targets), "entropies")
		if err != nil {
			return nil, nil, err
		}
		hd, err := pick(g.Heads, i, len(q.Heads), "heads")
		if err != nil {
			return nil, nil, err
		}
		for j := range q.Targets {
			var pair [2]float32
			if lp != nil {
				pair[0] = lp[j]
			}
			if en != nil {
				pair[1] = en[j]
			}
			logprob = append(logprob, pair[:]...)
		}
		for j := range q.Heads {
			var v float32
			if hd != nil {
				v = hd[j]
			}
			head = append(head, v)
		}
	}
	return logprob, head, nil
}
