package score

import (
	"context"
	"errors"
	"slices"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/train"
)

// ErrNoHead: the head is asked for, and no adapter of the stack has one.
var ErrNoHead = errors.New("no adapter of the stack has a scalar head")

// Scorer evaluates rows under a stack of adapters. It belongs to one goroutine, and is usable as long
// as its workspace is open.
type Scorer struct {
	opt     Options
	encoder *encoder
	context int              // tokens that the model holds
	head    *adapter.Adapter // the one whose head is read; nil: none has one
	open    func() (lm.Evaluator, error)
	step    lm.Evaluator // nil until something is evaluated
}

// New makes a Scorer of a stack that the workspace has loaded, lowest adapter first. p is told what is
// odd about using it so.
func New(
	w *workspace.Workspace, stack []*ggml.Adapter, placed []adapter.Placed, opt Options, p train.Progress,
) (*Scorer, error) {
	s := &Scorer{
		opt: opt, context: w.Model.Info().CtxTrain, head: headOf(placed),
		open: func() (lm.Evaluator, error) { return w.Step(stack, false, 0) },
	}
	if err := s.choose(w.Tok, placed, p); err != nil {
		return nil, err
	}
	return s, nil
}

// choose completes the options and chooses the form of texts.
func (s *Scorer) choose(tok lm.Tokenizer, placed []adapter.Placed, p train.Progress) error {
	if !s.opt.Logprobs && !s.opt.Entropy && !s.opt.Head {
		// A policy's head tells what score it expects, not what a text is worth.
		s.opt.Head = s.head != nil && s.head.Role() != adapter.RolePolicy
		s.opt.Logprobs = !s.opt.Head
	}
	if s.opt.Head && s.head != nil && s.head.Role() == adapter.RolePolicy {
		p.Note("warning: the head is a policy's value head: it tells the score that it expects of the " +
			"rest of an answer, it judges no text")
	}
	if s.opt.Head && s.head == nil {
		return ErrNoHead
	}
	e, warnings, err := newEncoder(s.opt, tok, s.head, placed)
	if err != nil {
		return err
	}
	for _, text := range warnings {
		p.Note("warning: " + text)
	}
	s.encoder = e
	return nil
}

// headOf is the last adapter with a scalar head, the one the engine reads; nil: none.
func headOf(stack []adapter.Placed) *adapter.Adapter {
	for _, p := range slices.Backward(stack) {
		if p.Head != nil {
			return p.Adapter
		}
	}
	return nil
}

// Encode turns rows into the model's tokens. Errors are of type *[RowError]; one of a row longer than
// the context wraps [lm.ErrContextFull].
func (s *Scorer) Encode(rows []Row) ([]Sequence, Changes, error) {
	return s.encoder.encode(rows, s.context)
}

// Run evaluates sequences in batches and hands their records to emit, in order. p, which may be nil,
// is shown how it goes on. An error of emit ends it.
func (s *Scorer) Run(ctx context.Context, sequences []Sequence, p train.Progress, emit func(*Record) error) error {
	if s.step == nil {
		var err error
		if s.step, err = s.open(); err != nil {
			return err
		}
	}
	seqs := make([]lm.Sequence, len(sequences))
	for i, q := range sequences {
		seqs[i] = s.ask(q)
	}
	batches := train.MicroByTokens(seqs, s.opt.BatchTokens)
	meter, done := train.NewMeter(), 0
	for i, batch := range batches {
		out, err := s.forward(ctx, batch)
		if err != nil {
			return &RowError{sequences[done].row.Where, err}
		}
		for j := range batch {
			r, err := s.record(sequences[done+j], out, j)
			if err == nil {
				err = emit(r)
			}
			if err != nil {
				return &RowError{sequences[done+j].row.Where, err}
			}
		}
		done += len(batch)
		if p != nil && len(batches) > 1 { // a single batch needs no progress
			status := train.Status{Stage: "score", Step: int64(done), Total: int64(len(sequences))}
			status.TokensPerSecond, _, status.ETA = meter.Step(tokens(batch), int64(len(batches)-i-1))
			p.Step(status)
		}
	}
	return nil
}

// tokens counts those of a batch.
func tokens(batch []lm.Sequence) (n int64) {
	for _, q := range batch {
		n += int64(len(q.Tokens))
	}
	return n
}

// ask says what is wanted of a sequence.
func (s *Scorer) ask(q Sequence) lm.Sequence {
	seq := lm.Sequence{Tokens: q.ids}
	if s.opt.Logprobs || s.opt.Entropy {
		seq.Targets = q.targets
	}
	if s.opt.Head {
		last := int32(len(q.ids) - 1)
		seq.Heads = []int32{last}
		if s.opt.Positions == AllPositions {
			seq.Heads = nil
			for i := range last + 1 {
				seq.Heads = append(seq.Heads, i)
			}
		}
	}
	return seq
}

// forward evaluates a batch. The engine refuses a batch that asks for nothing, as one
// of single tokens does when log-probabilities are wanted: the answer is empty.
func (s *Scorer) forward(ctx context.Context, batch []lm.Sequence) (*lm.Output, error) {
	for _, q := range batch {
		if len(q.Targets)+len(q.Heads) > 0 {
			return s.step.Forward(ctx, batch, lm.Options{Entropy: s.opt.Entropy})
		}
	}
	none := make([][]float32, len(batch))
	return &lm.Output{Logprobs: none, Entropy: none, Heads: none}, ctx.Err()
}
