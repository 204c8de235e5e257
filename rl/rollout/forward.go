package rollout

import (
	"context"
	"fmt"
	"math"

	"steer/ggml/lm"
	"steer/rl/train"
)

// Forward runs sequences through a model without gradient, micro at a time, and checks
// what comes back.
func Forward(ctx context.Context, e lm.Evaluator, seqs []lm.Sequence, opt lm.Options, micro int) (*lm.Output, error) {
	all := &lm.Output{}
	for _, part := range train.Micro(seqs, micro) {
		out, err := e.Forward(ctx, part, opt)
		if err != nil {
			return nil, err
		}
		if err := CheckOutput(out, part); err != nil {
			return nil, err
		}
		all.Logprobs = append(all.Logprobs, out.Logprobs...)
		all.Entropy = append(all.Entropy, out.Entropy...)
		if len(part[0].Heads) > 0 {
			all.Heads = append(all.Heads, out.Heads...)
		}
	}
	return all, nil
}

// CheckOutput wants a finite log-probability for each target, and a finite value for each head.
func CheckOutput(out *lm.Output, seqs []lm.Sequence) error {
	if err := CheckRows("log-probability", out.Logprobs, seqs,
		func(s lm.Sequence) int { return len(s.Targets) }); err != nil {
		return err
	}
	if len(seqs[0].Heads) == 0 {
		return nil
	}
	return CheckRows("value", out.Heads, seqs, func(s lm.Sequence) int { return len(s.Heads) })
}

// CheckRows wants a finite number for each position asked for.
func CheckRows(what string, rows [][]float32, seqs []lm.Sequence, length func(lm.Sequence) int) error {
	if len(rows) != len(seqs) {
		return fmt.Errorf("%s: %d sequences gave %d rows", what, len(seqs), len(rows))
	}
	for s, row := range rows {
		if want := length(seqs[s]); len(row) != want {
			return fmt.Errorf("%s: sequence %d: want %d numbers, got %d", what, s, want, len(row))
		}
		for i, x := range row {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("%s of response token %d of sequence %d is %v: %w", what, i, s, x, train.ErrDiverged)
			}
		}
	}
	return nil
}

// Widen makes float64 of float32.
func Widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
