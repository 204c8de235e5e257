package train

import (
	"context"

	"steer/ggml/lm"
)

// Accumulate runs micro-batch after micro-batch forward and backward, from cleared
// gradients. gradient gets the index of the micro-batch's first sequence within the
// whole batch and its output, and returns dLoss/dOutput, already divided by the
// normaliser of the whole mini-batch: that is why the split does not matter. The
// caller's closure keeps the running loss.
func Accumulate(ctx context.Context, l lm.Learner, micro [][]lm.Sequence, opt lm.Options,
	gradient func(first int, out *lm.Output) (lm.Gradient, error)) error {
	if err := l.ZeroGrad(); err != nil {
		return err
	}
	opt.Gradient = true
	first := 0
	for _, part := range micro {
		out, err := l.Forward(ctx, part, opt)
		if err != nil {
			return err
		}
		g, err := gradient(first, out)
		if err != nil {
			return err
		}
		if err := l.Backward(g); err != nil {
			return err
		}
		first += len(part)
	}
	return nil
}

// Update takes the optimizer step with number step (counted from 1) by the gradients that
// [Accumulate] left, and returns their global norm before clipping. name is what the norm is
// called where it is no number.
func Update(l lm.Learner, u lm.Update, step int64, name string) (norm float64, err error) {
	if norm, err = l.Update(u); err != nil {
		return 0, err
	}
	return norm, CheckFinite(step, name, norm)
}
