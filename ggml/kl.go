package ggml

import (
	"context"
	"fmt"

	"steer/ggml/lm"
	"steer/ggml/transformer"
)

// FullKL returns KL(s || reference) summed over the vocabulary at each target of each
// sequence, nats; the outer index is the sequence, the inner one its Targets. Both
// steps must be on the same model. Options.Temperature divides the logits of both.
func (s *Step) FullKL(ctx context.Context, reference *Step, batch []lm.Sequence, opt lm.Options) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if reference.m != s.m {
		return nil, fmt.Errorf("full KL: policy and reference are on different models")
	}
	flat, err := s.flattenKL(batch, opt)
	if err != nil {
		return nil, err
	}
	var all []float32
	err = s.do(func() error {
		if reference.closed {
			return fmt.Errorf("reference: %w", ErrClosed)
		}
		if s.planned() || reference.planned() {
			return errPlanned
		}
		s.m.owner, s.grad = nil, false
		all, err = transformer.KL(s.m.scratch, s.m.info.network, s.weights, reference.weights, &flat.Batch,
			transformer.Options{BF16: s.opt.Precision == BF16, Temperature: opt.Temperature})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("full KL of %d sequences, %d tokens: %w", len(batch), len(flat.Tokens), err)
	}
	out := make([][]float32, len(batch))
	n := 0
	for i, q := range batch {
		out[i] = make([]float32, len(q.Targets))
		for j := range out[i] {
			out[i][j] = all[flat.answer(n)]
			n++
		}
	}
	return out, nil
}

func (s *Step) flattenKL(batch []lm.Sequence, opt lm.Options) (*layout, error) {
	flat, err := s.flatten(batch, lm.Options{Temperature: opt.Temperature})
	if err != nil {
		return nil, err
	}
	if len(flat.Rows) == 0 {
		return nil, fmt.Errorf("full KL: the batch has no targets")
	}
	flat.Heads = nil
	return flat, nil
}
