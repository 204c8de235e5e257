package ppo

import (
	"context"
	"fmt"

	"steer/ggml/lm"
	"steer/internal/stats"
)

// Interval is a mean with Student's 95 % interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Lo   float64 `json:"lo"`
	Hi   float64 `json:"hi"`
	N    int     `json:"n"`
}

func intervalOf(x []float64) Interval {
	m := stats.MeanOf(x)
	ci := m.Interval(0.95)
	return Interval{Mean: m.Mean, Lo: ci.Lo, Hi: ci.Hi, N: m.N}
}

// Heldout is the policy measured on prompts it is not trained on. The same prompt gets
// the same random stream every time, so that differences are paired.
type Heldout struct {
	Iteration int64 `json:"iteration"`
	// Score is raw: without scaling, clipping or penalty.
	Score Interval `json:"score"`
	// Difference is score minus the baseline's score on the same prompt.
	Difference Interval `json:"difference"`
	// KL of a response to the reference, k1, nats.
	KL Interval `json:"kl"`
	// Ended is the share of responses that an end token or stop string ended.
	Ended float64 `json:"ended"`
	// Length is the mean length in tokens.
	Length float64 `json:"length"`
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
	return t.deps.Log(0, h.metrics())
}

// measureHeldout compares the policy as it is with the baseline.
func (t *trainer) measureHeldout(ctx context.Context) (*Heldout, error) {
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
	h := &Heldout{Iteration: t.st.Iteration, Score: intervalOf(scores), Difference: intervalOf(diff)}
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

// metrics are the numbers of a measurement as metrics.jsonl has them.
func (h *Heldout) metrics() map[string]float64 {
	return map[string]float64{
		"heldout/score":      h.Score.Mean,
		"heldout/difference": h.Difference.Mean,
		"heldout/kl":         h.KL.Mean,
		"heldout/ended":      h.Ended,
		"heldout/length":     h.Length,
	}
}
