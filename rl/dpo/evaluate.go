package dpo

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"steer/ggml/lm"
	"steer/internal/stats"
	"steer/rl/run"
	"steer/rl/train"
)

// confidence of every interval of this package.
const confidence = 0.95

// duringTraining are the held-out items that are measured between steps: the first.
func (t *trainer) duringTraining() []Item {
	if t.cfg.EvalPairs > 0 && len(t.heldOut) > t.cfg.EvalPairs {
		return t.heldOut[:t.cfg.EvalPairs]
	}
	return t.heldOut
}

// Measure implements train.Measurer. After the last step all held-out items are measured, in finish.
func (t *trainer) Measure(ctx context.Context, step int64, out *train.Outcome) error {
	if step == t.steps || !t.evals.Due(step) {
		return nil
	}
	o, _, err := t.evaluate(ctx, t.duringTraining())
	if err != nil {
		return err
	}
	maps.Copy(out.Metrics, o.metrics("eval_"))
	t.deps.Note("step %d: held out: %s", step, describe(rewardsOf(o)))
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

// evaluate measures held-out items without gradient, part by part so that a request to stop is heard. It also
// gives the log-probabilities of their rows.
func (t *trainer) evaluate(ctx context.Context, items []Item) (*objective, [][]float32, error) {
	o := newObjective(t.cfg, items)
	rows := rowsOf(items)
	if t.cfg.Loss == KTO {
		var err error
		if o.kl, err = t.estimateKL(ctx, t.heldOutStrangers[:len(rows)]); err != nil {
			return nil, nil, err
		}
	}
	sides := make([]int, len(items))
	for i, it := range items {
		sides[i] = len(it.rows())
	}
	pass := t.deps.PassOver("held-out preferences", sides)
	var logprobs [][]float32
	for _, part := range train.Micro(sequences(rows), chunk) {
		if t.deps.Stopper.Stopping() {
			return nil, nil, train.ErrInterrupted
		}
		out, err := train.Evaluate(ctx, t.deps.Learner, part, t.passTokens(), lm.Options{})
		if err != nil {
			return nil, nil, fmt.Errorf("held-out preferences: %w", err)
		}
		logprobs = append(logprobs, out.Logprobs...)
		pass.Read(len(logprobs))
	}
	at := 0
	for i, it := range items {
		o.add(it, logprobs[at:at+sides[i]])
		at += sides[i]
	}
	return o, logprobs, train.CheckFinite(t.state.Steps, "held-out loss", o.tally.Loss)
}

// finish measures all held-out preferences and writes the adapter.
func (t *trainer) finish(ctx context.Context) error {
	t.deps.Note("measuring all %d held-out preferences", len(t.heldOut))
	o, logprobs, err := t.evaluate(ctx, t.heldOut)
	if err != nil {
		return err
	}
	t.res.HeldOut = rewardsOf(o)
	t.deps.Note("held out: %s", describe(t.res.HeldOut))
	if a := t.res.HeldOut.Accuracy; *a.Lo <= 0.5 {
		t.alert("held-out accuracy of the implicit rewards %.3f is not clearly above chance (95 %% interval %.3f to "+
			"%.3f)", a.Mean, *a.Lo, *a.Hi)
	}
	if clean := t.clean(o.kl, logprobs); clean != nil {
		t.res.Clean = rewardsOf(clean)
	}
	return t.deps.SaveAdapter()
}

// clean is the measurement of the held-out items that share nothing with what is learned from; nil where that
// is all or none of them.
func (t *trainer) clean(kl float64, logprobs [][]float32) *objective {
	if t.deps.Clean == nil {
		return nil
	}
	var items []Item
	var theirs [][]float32
	for _, it := range t.heldOut {
		n := len(it.rows())
		if t.deps.Clean(t.deps.HeldOut[it.Index]) {
			items, theirs = append(items, it), append(theirs, logprobs[:n]...)
		}
		logprobs = logprobs[n:]
	}
	if len(items) == 0 || len(items) == len(t.heldOut) {
		return nil
	}
	o := newObjective(t.cfg, items)
	o.kl = kl
	for _, it := range items {
		n := len(it.rows())
		o.add(it, theirs[:n])
		theirs = theirs[n:]
	}
	return o
}

// alert warns, and keeps it for the result.
func (t *trainer) alert(format string, args ...any) {
	t.res.Alerts = append(t.res.Alerts, fmt.Sprintf(format, args...))
	t.deps.Warn(format, args...)
}

// rewardsOf says a measurement as the result does.
func rewardsOf(o *objective) *run.ImplicitRewards {
	t := &o.tally
	correct, ties, of := t.correct()
	lo, hi := stats.Wilson(correct, of, confidence)
	r := &run.ImplicitRewards{
		Accuracy: run.NewInterval(float64(correct)/float64(of), lo, hi, of), Ties: ties, Loss: t.Loss,
		Chosen: known(t.Chosen.Rewards), Rejected: known(t.Rejected.Rewards),
		LogpsChosen: known(t.Chosen.Logps), LogpsRejected: known(t.Rejected.Logps),
	}
	if m, ok := t.margin(); ok {
		r.Margin = &run.Interval{Mean: m, N: len(t.Margins)}
		if len(t.Margins) > 1 {
			ends := stats.MeanOf(t.Margins).Interval(confidence)
			r.Margin.Lo, r.Margin.Hi = &ends.Lo, &ends.Hi
		}
	}
	return r
}

func known(x []float64) *float64 {
	if len(x) == 0 {
		return nil
	}
	m := mean(x)
	return &m
}

// describe says it in a line.
func describe(r *run.ImplicitRewards) string {
	a := r.Accuracy
	s := fmt.Sprintf("accuracy %.4f (95 %% interval %.4f to %.4f), loss %.4f", a.Mean, *a.Lo, *a.Hi, r.Loss)
	if r.Margin != nil {
		s += fmt.Sprintf(", margin %.4f", r.Margin.Mean)
	}
	return s
}

// nothingLeft says why no train or no held-out preference is left, and what helps.
func nothingLeft(cfg Config, trained, heldOut run.PairCounts) string {
	var why []string
	for _, part := range []struct {
		name   string
		counts run.PairCounts
	}{{"train", trained}, {"held-out", heldOut}} {
		c := part.counts
		if c.Kept > 0 {
			continue
		}
		s := fmt.Sprintf("no %s preference is left of %d", part.name, c.In)
		for _, of := range []struct {
			n   int
			why string
		}{
			{c.Dropped, "are longer than max_length: raise it, or set overlong to truncate_left"},
			{c.NoAnswer, "have no answer left once cut: raise max_length, or set overlong to truncate_left"},
			{c.CutEqual, "have equal sides once cut: raise max_length, or set overlong to drop"},
			{c.Identical, "have the same tokens on both sides: there is nothing to prefer"},
			{c.Refused, "are refused by the model's chat template: name another with --template"},
		} {
			if of.n > 0 {
				s += fmt.Sprintf(": %d %s", of.n, of.why)
			}
		}
		why = append(why, fmt.Sprintf("%s (max_length %d, the longest side has %d tokens)", s, cfg.MaxLength,
			c.Longest))
	}
	return strings.Join(why, "; ")
}
