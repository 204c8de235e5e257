package train

import (
	"context"
	"fmt"

	"steer/ggml/lm"
)

// CheckDivides refuses batch sizes that do not divide exactly; big and small are the
// configuration keys ("mini_batch_size", "micro_batch_size").
func CheckDivides(big string, n int, small string, m int) error {
	switch {
	case n < 1:
		return fmt.Errorf("%s: want at least 1, got %d", big, n)
	case m < 1:
		return fmt.Errorf("%s: want at least 1, got %d", small, m)
	case n%m != 0:
		return fmt.Errorf("%s %d does not divide by %s %d: choose one of %v", big, n, small, m, divisors(n))
	}
	return nil
}

func divisors(n int) []int {
	var out []int
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			out = append(out, d)
		}
	}
	return out
}

// Micro cuts a batch into parts of size items, the last one perhaps shorter.
func Micro[T any](batch []T, size int) [][]T {
	var out [][]T
	for len(batch) > size {
		out, batch = append(out, batch[:size]), batch[size:]
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// MicroByTokens cuts a batch, in order, into parts of at most limit tokens. An item
// longer than limit is a part of its own.
func MicroByTokens(batch []lm.Sequence, limit int) [][]lm.Sequence {
	var out [][]lm.Sequence
	start, tokens := 0, 0
	for i, seq := range batch {
		if i > start && tokens+len(seq.Tokens) > limit {
			out = append(out, batch[start:i])
			start, tokens = i, 0
		}
		tokens += len(seq.Tokens)
	}
	if start < len(batch) {
		out = append(out, batch[start:])
	}
	return out
}

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

// Evaluate runs sequences forward without gradient in micro-batches of at most limit
// tokens (0: one sequence at a time) and joins the outputs in order.
func Evaluate(ctx context.Context, e lm.Evaluator, seqs []lm.Sequence, limit int, opt lm.Options) (*lm.Output, error) {
	opt.Gradient = false
	all := &lm.Output{}
	for _, part := range MicroByTokens(seqs, limit) {
		out, err := e.Forward(ctx, part, opt)
		if err != nil {
			return nil, err
		}
		all.Logprobs = append(all.Logprobs, out.Logprobs...)
		all.Entropy = append(all.Entropy, out.Entropy...)
		all.Greedy = append(all.Greedy, out.Greedy...)
		all.Heads = append(all.Heads, out.Heads...)
	}
	return all, nil
}
