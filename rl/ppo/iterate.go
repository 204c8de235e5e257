package ppo

import (
	"context"
	"fmt"
	"maps"
	"time"

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
			t.deps.Stage, len(scores), first))
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
		t.deps.Progress.Note(fmt.Sprintf("warning: %s: iteration %d: the KL estimate is %.3g, it should not be "+
			"negative: "+
			"the responses are not samples of the policy that scores them", t.deps.Stage, st.Iteration, exp.MeanKL))
	}

	// 10. Guards.
	out.Alarm = st.Health.check(c, guardInputs{
		iteration: st.Iteration, kl: exp.MeanKL,
		entropy: metrics["ppo/policy/entropy"], repetition: repetition, equal: equal, score: first,
	})
	st.Result.StoppedBecause = out.Alarm
	last := st.Iteration == c.Iterations || out.Alarm != ""
	samples := train.Every{Every: c.SamplesEvery, Rounds: c.Iterations}
	if last || samples.Due(st.Iteration) {
		if err := t.writeSamples(episodes, exp); err != nil {
			return train.Outcome{}, err
		}
	}
	if len(t.deps.Heldout) > 0 && (last || t.heldout.Due(st.Iteration)) {
		if last {
			t.deps.Note("answering all %d held-out prompts", len(t.deps.Heldout))
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
