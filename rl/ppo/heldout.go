package ppo

import (
	"context"
	"fmt"

	"steer/ggml/lm"
	"steer/internal/stats"
	"steer/rl/run"
)

// intervalOf is a mean with Student's 95 % interval.
func intervalOf(x []float64) run.Interval {
	m := stats.MeanOf(x)
	ci := m.Interval(0.95)
	return run.NewInterval(m.Mean, ci.Lo, ci.Hi, m.N)
}

// heldoutScores answers the held-out prompts with g and scores the answers.
func (t *trainer) heldoutScores(ctx context.Context, g lm.Generator) ([]Episode, []float64, error) {
	s := t.sampler
	s.generator = g
	episodes, err := s.sample(ctx, t.deps.Heldout, "ppo.heldout", 0)
	if err != nil {
		return nil, nil, fmt.Errorf("held-out prompts: %w", err)
	}
	scores, err := score(ctx, t.deps.Scorer, episodes, t.cfg.MaxScore)
	if err != nil {
		return nil, nil, fmt.Errorf("held-out prompts: %w", err)
	}
	return episodes, scores, nil
}

// startHeldout measures the held-out prompts before the first update.
func (t *trainer) startHeldout(ctx context.Context) error {
	if len(t.deps.Heldout) == 0 || t.st.Baseline != nil {
		return nil
	}
	t.deps.Note("before the first update: answering all %d held-out prompts twice, as the baseline and as the policy",
		len(t.deps.Heldout))
	baseline := t.deps.Baseline
	if baseline == nil {
		baseline = t.deps.Generator
	}
	var err error
	if _, t.st.Baseline, err = t.heldoutScores(ctx, baseline); err != nil {
		return err
	}
	h, err := t.measureHeldout(ctx)
	if err != nil {
		return err
	}
	t.st.Result.HeldoutFirst = h
	return t.deps.Log(0, metricsOf(h))
}

// measureHeldout compares the policy as it is with the baseline.
func (t *trainer) measureHeldout(ctx context.Context) (*run.HeldOut, error) {
	pass := t.deps.Pass("held-out prompts", len(t.deps.Heldout))
	defer func() { pass.Done(len(t.deps.Heldout)) }()
	episodes, scores, err := t.heldoutScores(ctx, t.deps.Generator)
	if err != nil {
		return nil, err
	}
	diff, err := stats.Differences(scores, t.st.Baseline)
	if err != nil {
		return nil, fmt.Errorf("held-out prompts: %w: the run was started with other held-out prompts", err)
	}
	seqs := make([]lm.Sequence, len(episodes))
	h := &run.HeldOut{Iteration: t.st.Iteration, Score: intervalOf(scores), Difference: intervalOf(diff)}
	for i, e := range episodes {
		seqs[i] = sequence(e.Prompt, e.Response)
		seqs[i].Heads = nil
		h.Length += float64(len(e.Response))
		if e.Ended {
			h.Ended++
		}
	}
	h.Length /= float64(len(episodes))
	h.Ended /= float64(len(episodes))
	opt := lm.Options{Temperature: t.cfg.logprobTemperature()}
	policy, err := forward(ctx, t.deps.Learner, seqs, opt, t.cfg.MicroBatchSize)
	if err != nil {
		return nil, fmt.Errorf("held-out prompts: policy: %w", err)
	}
	ref, err := forward(ctx, t.deps.Reference, seqs, opt, t.cfg.MicroBatchSize)
	if err != nil {
		return nil, fmt.Errorf("held-out prompts: reference: %w", err)
	}
	kls := make([]float64, len(seqs))
	for i := range kls {
		kls[i] = sumOf(SequenceKL(KLK1, widen(policy.Logprobs[i]), widen(ref.Logprobs[i])))
	}
	h.KL = intervalOf(kls)
	return h, nil
}

// metricsOf are the numbers of a measurement as metrics.jsonl has them.
func metricsOf(h *run.HeldOut) map[string]float64 {
	return map[string]float64{
		"heldout/score":      h.Score.Mean,
		"heldout/difference": h.Difference.Mean,
		"heldout/kl":         h.KL.Mean,
		"heldout/ended":      h.Ended,
		"heldout/length":     h.Length,
	}
}
