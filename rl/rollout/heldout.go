package rollout

import (
	"context"
	"fmt"
	"math"
	"slices"

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

// heldoutAnswers are answers to the held-out prompts with their scores.
type heldoutAnswers struct {
	episodes []Episode
	scores   []float64   // utilities
	rewards  [][]float64 // [reward][prompt]
}

// answerHeldout answers the held-out prompts with g and scores the answers.
func (t *trainer) answerHeldout(ctx context.Context, g lm.Generator) (a heldoutAnswers, err error) {
	s := t.sampler
	s.Generator = g
	if a.episodes, err = s.Sample(ctx, t.deps.Heldout, t.set.Name+".heldout", 0, 0); err != nil {
		return a, fmt.Errorf("held-out prompts: %w", err)
	}
	if a.rewards, err = score(ctx, t.deps.Scorer, a.episodes, t.set.MaxScore); err != nil {
		return a, fmt.Errorf("held-out prompts: %w", err)
	}
	a.scores = t.mixture.Utility(a.rewards)
	return a, nil
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
	a, err := t.answerHeldout(ctx, baseline)
	if err != nil {
		return err
	}
	if t.st.Baseline = a.scores; !t.mixture.Single() {
		t.st.BaselineRewards = a.rewards
	}
	h, err := t.measureHeldout(ctx)
	if err != nil {
		return err
	}
	t.st.Result.HeldoutFirst = h
	return t.deps.Log(0, t.metricsOf(h))
}

// measureHeldout compares the policy as it is with the baseline.
func (t *trainer) measureHeldout(ctx context.Context) (*run.HeldOut, error) {
	pass := t.deps.Pass("held-out prompts", len(t.deps.Heldout))
	defer func() { pass.Done(len(t.deps.Heldout)) }()
	a, err := t.answerHeldout(ctx, t.deps.Generator)
	if err != nil {
		return nil, err
	}
	h := &run.HeldOut{Iteration: t.st.Iteration}
	if h.Score, h.Difference, err = compare(a.scores, t.st.Baseline); err != nil {
		return nil, err
	}
	for k, name := range t.mixture.Names() {
		if t.mixture.Single() {
			break
		}
		r := run.HeldOutReward{Name: name}
		if r.Score, r.Difference, err = compare(a.rewards[k], t.st.BaselineRewards[k]); err != nil {
			return nil, err
		}
		h.Rewards = append(h.Rewards, r)
	}
	seqs := make([]lm.Sequence, len(a.episodes))
	for i, e := range a.episodes {
		seqs[i] = Sequence(e.Tokens, e.Response)
		h.Length += float64(len(e.Response))
		if e.Ended {
			h.Ended++
		}
	}
	h.Length /= float64(len(seqs))
	h.Ended /= float64(len(seqs))
	if h.KL, err = t.heldoutKL(ctx, seqs); err != nil {
		return nil, fmt.Errorf("held-out prompts: %w", err)
	}
	return h, nil
}

// compare gives scores and what they are above a baseline's on the same prompts, leaving out those that a reward does
// not judge on either side.
func compare(scores, baseline []float64) (score, difference run.Interval, err error) {
	diff, err := stats.Differences(scores, baseline)
	if err != nil {
		return score, difference, fmt.Errorf("held-out prompts: %w: the run was started with other held-out prompts",
			err)
	}
	return intervalOf(judged(scores)), intervalOf(judged(diff)), nil
}

func judged(x []float64) []float64 { return slices.DeleteFunc(slices.Clone(x), math.IsNaN) }

// heldoutKL estimates the divergence from the reference of answers of the policy.
func (t *trainer) heldoutKL(ctx context.Context, seqs []lm.Sequence) (run.Interval, error) {
	opt := lm.Options{Temperature: t.set.PassTemperature()}
	policy, err := Forward(ctx, t.deps.Learner, seqs, opt, t.set.MicroBatch)
	if err != nil {
		return run.Interval{}, fmt.Errorf("policy: %w", err)
	}
	ref, err := Forward(ctx, t.deps.Reference, seqs, opt, t.set.MicroBatch)
	if err != nil {
		return run.Interval{}, fmt.Errorf("reference: %w", err)
	}
	kls := make([]float64, len(seqs))
	for i := range kls {
		kls[i] = sum(SequenceKL(KLK1, Widen(policy.Logprobs[i]), Widen(ref.Logprobs[i])))
	}
	return intervalOf(kls), nil
}

// metricsOf are the numbers of a measurement as metrics.jsonl has them.
func (t *trainer) metricsOf(h *run.HeldOut) map[string]float64 {
	out := map[string]float64{
		"heldout/score":      h.Score.Mean,
		"heldout/difference": h.Difference.Mean,
		"heldout/kl":         h.KL.Mean,
		"heldout/ended":      h.Ended,
		"heldout/length":     h.Length,
	}
	for _, r := range h.Rewards {
		out["heldout/reward/"+r.Name] = r.Score.Mean
	}
	return out
}

func sum(x []float64) float64 {
	total := 0.0
	for _, v := range x {
		total += v
	}
	return total
}
