package ppo

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"

	"steer/internal/run"
	"steer/rl/train"
)

// iterate is the loop of PPO, step by step.
func (t *trainer) iterate(ctx context.Context) (train.Outcome, error) {
	c, st := &t.cfg, &t.st

	// 1. Prompts, in seeded order.
	prompts := pickPrompts(t.deps.Prompts, c.Seed, st.Cursor, c.RolloutBatchSize)
	st.Cursor += int64(len(prompts))

	// 2. Rollout with the live weights.
	start := time.Now()
	episodes, err := t.sampler.sample(ctx, prompts, "ppo.rollout", uint64(st.Iteration))
	if err != nil {
		return train.Outcome{}, fmt.Errorf("rollout: %w", err)
	}
	rolloutSeconds := time.Since(start).Seconds()

	// 3. Scores, less the penalty of answers without an end.
	start = time.Now()
	scores, err := score(ctx, t.deps.Scorer, episodes, c.MaxScore)
	if err != nil {
		return train.Outcome{}, err
	}
	equal, first := c.MaxScore > 0 && equalScores(scores), scores[0]
	if equal && st.Iteration == 0 {
		t.deps.Progress.Note(fmt.Sprintf("warning: %s: all %d scores of the first batch are %.6g: the reward "+
			"model tells no answer from another",
			t.deps.stage(), len(scores), first))
	}
	batch := Batch{Scores: scores}
	for i, e := range episodes {
		batch.Prompts = append(batch.Prompts, e.Prompt)
		batch.Responses = append(batch.Responses, e.Response)
		if !e.Ended {
			batch.Scores[i] -= c.MissingEOSPenalty
		}
	}
	scoreSeconds := time.Since(start).Seconds()

	// 4-6. Log-probabilities and values, rewards, advantages.
	exp, err := Prepare(ctx, c, t.models, &st.State, batch)
	if err != nil {
		return train.Outcome{}, err
	}
	if err := t.trackBest(exp); err != nil {
		return train.Outcome{}, err
	}

	// 7-8. Updates, KL coefficient.
	report, err := Optimize(ctx, c, t.models, &st.State, exp)
	if err != nil {
		return train.Outcome{}, err
	}

	// 9. Metrics and samples.
	metrics := maps.Clone(report.Stats)
	metrics["iteration"] = float64(st.Iteration)
	metrics["time/ppo/rollout"] = rolloutSeconds
	metrics["time/ppo/score"] = scoreSeconds
	metrics["time/ppo/total"] += rolloutSeconds + scoreSeconds
	repetition := t.textMetrics(metrics, episodes)
	t.record(report, exp)
	out := train.Outcome{
		Step:    st.Iteration * c.updatesPerIteration(),
		Metrics: metrics,
		Tokens:  t.tokens(exp, report),
		Show: []train.Value{
			{Name: "score", Value: metrics["env/reward_mean"]},
			{Name: "KL", Value: exp.MeanKL},
			{Name: "loss", Value: metrics["ppo/loss/total"]},
			{Name: "entropy", Value: metrics["ppo/policy/entropy"]},
		},
	}
	if exp.MeanKL < -1 {
		t.deps.Progress.Note(fmt.Sprintf("warning: %s: iteration %d: the KL estimate is %.3g, it should not be negative: "+
			"the responses are not samples of the policy that scores them", t.deps.stage(), st.Iteration, exp.MeanKL))
	}

	// 10. Guards.
	out.Alarm = st.Health.check(c, vitals{
		iteration: st.Iteration, kl: exp.MeanKL,
		entropy: metrics["ppo/policy/entropy"], repetition: repetition, equal: equal, score: first,
	})
	st.Result.StoppedBecause = out.Alarm
	last := st.Iteration == c.Iterations || out.Alarm != ""
	if due(c.SamplesEvery, st.Iteration, last) {
		if err := t.writeSamples(episodes, exp); err != nil {
			return train.Outcome{}, err
		}
	}
	if len(t.deps.Heldout) > 0 && due(c.HeldoutEvery, st.Iteration, last) {
		if last {
			t.deps.Progress.Note(fmt.Sprintf("%s: answering all %d held-out prompts", t.deps.stage(), len(t.deps.Heldout)))
		}
		h, err := t.measureHeldout(ctx)
		if err != nil {
			return train.Outcome{}, err
		}
		maps.Copy(metrics, metricsOf(h))
		st.Result.HeldoutLast = h
	}

	// 11. The checkpoint is the loop's.
	return out, nil
}

// due: every so many iterations, and after the last one.
func due(every, iteration int64, last bool) bool {
	return last || every > 0 && iteration%every == 0
}

// startHeldout measures the held-out prompts before the first update.
func (t *trainer) startHeldout(ctx context.Context) error {
	if len(t.deps.Heldout) == 0 || t.st.Baseline != nil {
		return nil
	}
	t.deps.Progress.Note(fmt.Sprintf("%s: before the first update: answering all %d held-out prompts twice, "+
		"as the baseline and as the policy", t.deps.stage(), len(t.deps.Heldout)))
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
	if t.deps.Run == nil {
		return nil
	}
	return t.deps.Run.Metrics.Log(0, metricsOf(h))
}

// trackBest keeps the policy that made this batch if it is the best so far. It runs
// before the updates: the batch was sampled from the weights as they still are.
func (t *trainer) trackBest(exp *Experience) error {
	mean := sumOf(exp.RawScores) / float64(len(exp.RawScores))
	now := run.BestPolicy{
		Iteration: t.st.Iteration, Score: mean, KL: exp.MeanKL,
		Objective: mean - exp.KLCoef*exp.MeanKL,
	}
	if best := t.st.Result.Best; best != nil && now.Objective <= best.Objective {
		return nil
	}
	t.st.Result.Best = &now
	if t.deps.Run == nil || t.deps.AdapterOf == nil {
		return nil
	}
	state, err := t.deps.Policy.State()
	if err != nil {
		return fmt.Errorf("best adapter: %w", err)
	}
	a, err := t.deps.AdapterOf(state)
	if err != nil {
		return fmt.Errorf("best adapter: %w", err)
	}
	return a.Save(t.deps.Run.Path(run.BestFile))
}

// record updates the result by an iteration.
func (t *trainer) record(report *Report, exp *Experience) {
	r := &t.st.Result
	mean := sumOf(exp.RawScores) / float64(len(exp.RawScores))
	if t.st.Iteration == 1 {
		r.ScoreFirst = &mean
	}
	r.Iterations, r.Updates = t.st.Iteration, t.st.Updates
	kl, coef := exp.MeanKL, report.KLCoef
	r.ScoreLast, r.KLLast, r.KLCoefLast = &mean, &kl, &coef
}

// textMetrics adds what the responses look like and returns their repetition.
func (t *trainer) textMetrics(metrics map[string]float64, episodes []Episode) float64 {
	var ended, repetition float64
	for _, e := range episodes {
		if e.Ended {
			ended++
		}
		repetition += Repetition(e.Response, t.cfg.RepetitionNgram)
	}
	n := float64(len(episodes))
	metrics["tokens/eos_rate"] = ended / n
	metrics["tokens/truncation_rate"] = 1 - ended/n
	metrics["tokens/repetition"] = repetition / n
	return repetition / n
}

// tokens counts what went through the model: generation, the policy's and the
// reference's pass, and each epoch.
func (t *trainer) tokens(exp *Experience, report *Report) int64 {
	var n int64
	for i := range exp.Trajectories {
		tr := &exp.Trajectories[i]
		n += int64(len(tr.Prompt)+len(tr.Response)) * int64(3+report.Epochs)
	}
	return n
}

// sampleRecord is a line of samples.jsonl.zst.
type sampleRecord struct {
	Iteration int64   `json:"iteration"`
	Prompt    string  `json:"prompt"`
	Response  string  `json:"response"`
	Score     float64 `json:"score"` // raw, less the penalty
	KL        float64 `json:"kl"`    // of the response, nats
	Tokens    int     `json:"tokens"`
	Ended     bool    `json:"ended"`
}

func (t *trainer) writeSamples(episodes []Episode, exp *Experience) error {
	if t.deps.Run == nil {
		return nil
	}
	var records []any
	for i, e := range episodes[:min(len(episodes), t.cfg.SamplesCount)] {
		records = append(records, sampleRecord{
			Iteration: t.st.Iteration, Prompt: e.PromptText, Response: e.ResponseText,
			Score: exp.RawScores[i], KL: exp.Trajectories[i].KLSum(), Tokens: len(e.Response), Ended: e.Ended,
		})
	}
	return t.deps.Run.Sample(records...)
}

// score asks the reward model and checks what it says.
func score(ctx context.Context, s Scorer, episodes []Episode, most float64) ([]float64, error) {
	scores, err := s.Score(ctx, episodes)
	if err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	if len(scores) != len(episodes) {
		return nil, fmt.Errorf("scoring: %d episodes gave %d scores", len(episodes), len(scores))
	}
	for i, x := range scores {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, fmt.Errorf("scoring: the score of episode %d is %v: want a finite number; look at the reward model", i, x)
		}
	}
	wide := widen(scores)
	if err := checkScores(wide, most); err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	return wide, nil
}
