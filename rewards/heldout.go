package rewards

import (
	"context"

	"steer/rl/train"
)

// duringTraining are the held-out pairs that are scored between steps: the first.
func (t *trainer) duringTraining() []EncodedPair {
	if t.cfg.EvalPairs > 0 && len(t.heldOut) > t.cfg.EvalPairs {
		return t.heldOut[:t.cfg.EvalPairs]
	}
	return t.heldOut
}

// Measure implements train.Measurer. After the last step all held-out pairs are scored, in finish.
func (t *trainer) Measure(ctx context.Context, step int64, out *train.Outcome) error {
	if step == t.steps || !t.evals.Due(step) {
		return nil
	}
	chosen, rejected, err := t.scores(ctx, t.duringTraining())
	if err != nil {
		return err
	}
	a := AccuracyOf(chosen, rejected)
	out.Metrics["eval_loss"], out.Metrics["eval_accuracy"], out.Metrics["eval_margin"] = a.Loss, a.Accuracy, a.Margin
	t.deps.Note("step %d: held out: %s", step, a)
	return nil
}

// Unmeasured implements train.Forecaster.
func (t *trainer) Unmeasured(done int64) int64 {
	items := int64(len(t.heldOut)) // in finish
	if done < t.steps {
		items += (t.evals.Left(done) - 1) * int64(len(t.duringTraining()))
	}
	return items
}

// scores gives the raw scores of both sides of pairs; a missing side scores 0.
func (t *trainer) scores(ctx context.Context, pairs []EncodedPair) (chosen, rejected []float32, err error) {
	sequences := make([][]int32, 0, 2*len(pairs))
	sides := make([]int, len(pairs))
	for i, p := range pairs {
		for _, ids := range [][]int32{p.Chosen, p.Rejected} {
			if ids != nil {
				sequences = append(sequences, ids)
				sides[i]++
			}
		}
	}
	pass := t.deps.PassOver("held-out pairs", sides)
	raw, err := t.raw(ctx, sequences, func(read int) { pass.Read(read) })
	if err != nil {
		return nil, nil, err
	}
	take := func(ids []int32) (score float32) {
		if ids != nil {
			score, raw = raw[0], raw[1:]
		}
		return score
	}
	for _, p := range pairs {
		chosen = append(chosen, take(p.Chosen))
		rejected = append(rejected, take(p.Rejected))
	}
	return chosen, rejected, nil
}

// raw scores sequences, part by part so that a request to stop is heard; read is told how many are done.
func (t *trainer) raw(ctx context.Context, sequences [][]int32, read func(sequences int)) ([]float32, error) {
	s := Scorer{Model: t.deps.Learner, BatchTokens: t.cfg.PassTokens(2 * t.cfg.MaxLength)}
	var out []float32
	for _, part := range train.Micro(sequences, 64) {
		if t.deps.Stopper.Stopping() {
			return nil, train.ErrInterrupted
		}
		got, err := s.Raw(ctx, part)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
		read(len(out))
	}
	return out, nil
}
