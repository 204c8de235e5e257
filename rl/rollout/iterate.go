package rollout

import (
	"context"
	"fmt"
	"maps"
	"time"

	"steer/rl/run"
	"steer/rl/train"
)

// iterate is the loop, step by step.
func (t *trainer) iterate(ctx context.Context) (train.Outcome, error) {
	// 1-3. Prompts, rollout with the live weights, scores.
	c, err := t.collect(ctx)
	if err != nil {
		return train.Outcome{}, train.Intact(err)
	}
	t.warnEqual(c)

	// 4. What the updates need, by the weights that answered.
	prepared, err := t.algorithm.Prepare(ctx, &c.Batch)
	if err != nil {
		return train.Outcome{}, err
	}
	if err := t.trackBest(c, &prepared); err != nil {
		return train.Outcome{}, err
	}

	// 5. Updates.
	report, err := t.algorithm.Optimize(ctx)
	if err != nil {
		return train.Outcome{}, err
	}
	t.st.Iteration++
	t.st.Cursor += c.taken

	// 6. Multipliers of constraints.
	metrics := maps.Clone(report.Stats)
	t.learnConstraints(c, metrics)
	if t.set.Resample.Rounds > 0 {
		metrics["sampling/rounds"], metrics["sampling/dropped_groups"] = float64(c.resampled+1), float64(c.dropped)
	}

	// 7. Metrics and samples.
	t.addTimes(metrics, c)
	metrics["iteration"] = float64(t.st.Iteration)
	repetition := t.textMetrics(metrics, c.Episodes)
	t.record(c, &prepared, &report)
	kl := prepared.MeanKL()
	out := train.Outcome{
		Step:    t.st.Iteration * t.set.UpdatesPerIteration,
		Metrics: metrics,
		Tokens:  tokens(c.Episodes, report.Epochs),
		Show: []train.Value{
			{Name: "score", Value: mean(c.utility)},
			{Name: "KL", Value: kl},
			{Name: "loss", Value: report.Loss},
			{Name: "entropy", Value: report.Entropy},
		},
	}
	if kl < -1 {
		t.deps.Progress.Note(fmt.Sprintf("warning: %s: iteration %d: the KL estimate is %.3g, it should not be "+
			"negative: "+
			"the responses are not samples of the policy that scores them", t.deps.Stage, t.st.Iteration, kl))
	}

	// 8. Guards.
	out.Alarm = t.st.Health.check(t.set.Guards, guardInputs{
		iteration: t.st.Iteration, kl: kl, entropy: report.Entropy, repetition: repetition, equal: c.equal,
		score: c.first,
	})
	t.st.Result.StoppedBecause = out.Alarm
	if err := t.writeDue(c, &prepared); err != nil {
		return train.Outcome{}, err
	}

	// 9. Held-out prompts are answered by Measure, and the checkpoint is the loop's.
	return out, nil
}

// addTimes notes how long sampling and scoring took.
func (t *trainer) addTimes(metrics map[string]float64, c *collected) {
	prefix := "time/" + t.set.Name + "/"
	metrics[prefix+"rollout"] = c.rolloutSeconds
	metrics[prefix+"score"] = c.scoreSeconds
	metrics[prefix+"total"] += c.rolloutSeconds + c.scoreSeconds
}

// record updates the result by an iteration.
func (t *trainer) record(c *collected, p *Prepared, report *Report) {
	r := &t.st.Result
	score := mean(c.utility)
	if t.st.Iteration == 1 {
		r.ScoreFirst = &score
	}
	r.Iterations, r.Updates = t.st.Iteration, report.Updates
	kl, coef := p.MeanKL(), report.KLCoef
	r.ScoreLast, r.KLLast, r.KLCoefLast = &score, &kl, &coef
}

// textMetrics adds what the responses look like and returns their repetition.
func (t *trainer) textMetrics(metrics map[string]float64, episodes []Episode) float64 {
	var ended, repetition float64
	for _, e := range episodes {
		if e.Ended {
			ended++
		}
		repetition += Repetition(e.Response, t.set.RepetitionNgram)
	}
	n := float64(len(episodes))
	metrics["tokens/eos_rate"] = ended / n
	metrics["tokens/truncation_rate"] = 1 - ended/n
	metrics["tokens/repetition"] = repetition / n
	return repetition / n
}

// tokens counts what went through the model: generation, the policy's and the
// reference's pass, and each epoch.
func tokens(episodes []Episode, epochs int) (n int64) {
	for _, e := range episodes {
		n += int64(len(e.Tokens)+len(e.Response)) * int64(3+epochs)
	}
	return n
}

// last tells whether the iteration that was done last is the last of the run.
func (t *trainer) last() bool {
	return t.st.Iteration == t.set.Iterations || t.st.Result.StoppedBecause != ""
}

// writeDue writes samples where they are due.
func (t *trainer) writeDue(c *collected, p *Prepared) error {
	every := train.Every{Every: t.set.SamplesEvery, Rounds: t.set.Iterations}
	if !t.last() && !every.Due(t.st.Iteration) {
		return nil
	}
	return t.writeSamples(c, p)
}

// Measure implements train.Measurer: it answers held-out prompts where that is due.
func (t *trainer) Measure(ctx context.Context, _ int64, out *train.Outcome) error {
	if len(t.deps.Heldout) == 0 || !t.last() && !t.heldout.Due(t.st.Iteration) {
		return nil
	}
	if t.last() {
		t.deps.Note("answering all %d held-out prompts", len(t.deps.Heldout))
	}
	h, err := t.measureHeldout(ctx)
	if err != nil {
		return train.Intact(fmt.Errorf("iteration %d: %w", t.st.Iteration, err))
	}
	maps.Copy(out.Metrics, t.metricsOf(h))
	t.st.Result.HeldoutLast = h
	return nil
}

// learnConstraints moves the multipliers and notes the rewards one by one, where there are several.
func (t *trainer) learnConstraints(c *collected, metrics map[string]float64) {
	if t.mixture.Single() {
		return
	}
	for k, name := range t.mixture.Names() {
		m := momentsOf(c.raw[k])
		metrics["rewards/"+name+"/mean"], metrics["rewards/"+name+"/std"] = m.Mean, m.StdDev
	}
	t.st.Result.Constraints = nil
	for _, step := range t.mixture.Learn(&t.st.Mixture, c.raw) {
		metrics["constraint/"+step.Name+"/mean"] = step.Mean
		metrics["constraint/"+step.Name+"/lambda"] = step.Multiplier
		if step.Says != "" {
			t.deps.Warn("iteration %d: %s", t.st.Iteration, step.Says)
			t.st.Alerts = append(t.st.Alerts, step.Says)
		}
		t.st.Result.Constraints = append(t.st.Result.Constraints, run.Constraint{
			Reward: step.Name, Bound: step.Bound, Mean: step.Mean, Multiplier: step.Multiplier, Missed: step.Missed,
		})
	}
}

// seconds is the time since a start.
func seconds(start time.Time) float64 { return time.Since(start).Seconds() }
