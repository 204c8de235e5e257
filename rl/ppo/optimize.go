package ppo

import (
	"context"
	"fmt"
	"time"

	"steer/ggml/lm"
	"steer/rl/train"
)

// Report says what a step did.
type Report struct {
	// Stats hold trl's names, "objective/kl", "ppo/loss/policy" and so on; see
	// docs/ppo.md. What is undefined (a variance of one token) is absent.
	Stats map[string]float64
	// GradNorms are the global norms before clipping of each update taken.
	GradNorms []float64
	// Epochs is the number of passes made; fewer than ppo_epochs after an early stop.
	Epochs int
	// Skipped counts groups whose loss the ratio threshold zeroed.
	Skipped int
	// FirstRatio is the ratio farthest from 1 on the first mini-batch.
	FirstRatio float64
	// KLCoef is the coefficient for the next step.
	KLCoef float64
}

// StepBatch is one whole step on given responses and scores: trl's PPOTrainer.step.
// It is [Prepare] followed by [Optimize], which is what the trainer runs too.
func StepBatch(ctx context.Context, c *Config, m Models, st *State, b Batch) (*Experience, *Report, error) {
	exp, err := Prepare(ctx, c, m, st, b)
	if err != nil {
		return nil, nil, fmt.Errorf("ppo: iteration %d: %w", st.Iteration+1, err)
	}
	report, err := Optimize(ctx, c, m, st, exp)
	if err != nil {
		return nil, nil, fmt.Errorf("ppo: iteration %d: %w", st.Iteration+1, err)
	}
	return exp, report, nil
}

// optimizer is the state of the updates of one step.
type optimizer struct {
	cfg    *Config
	policy lm.Learner
	exp    *Experience
	st     *State
	report *Report
	groups []Group
}

// Optimize does the updates (steps 7 and 8 of the loop), moves the KL coefficient and
// advances st by one iteration.
func Optimize(ctx context.Context, c *Config, m Models, st *State, exp *Experience) (*Report, error) {
	start := time.Now()
	o := &optimizer{cfg: c, policy: m.Policy, exp: exp, st: st, report: &Report{FirstRatio: 1}}

	// 7. Epochs of shuffled mini-batches.
	for epoch := range c.PPOEpochs {
		order := exp.permutation(epoch)
		if err := checkPermutation(order, c.RolloutBatchSize); err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		for k, episodes := range train.Micro(order, c.MiniBatchSize) {
			if err := o.newMiniBatch(epoch, k, episodes).update(ctx); err != nil {
				return nil, fmt.Errorf("epoch %d, mini-batch %d: %w", epoch, k, err)
			}
		}
		o.report.Epochs++
		// The last group only, as trl looks at the last mini-batch.
		last := o.groups[len(o.groups)-1].Stats["policy/policykl"]
		if c.EarlyStop && EpochKLExceeded(last, c.PolicyKLTarget) {
			break
		}
	}
	exp.seconds["optimize_step"] = time.Since(start).Seconds()

	start = time.Now()
	o.report.Stats = o.stats()
	exp.seconds["calc_stats"] = time.Since(start).Seconds()

	// 8. KL coefficient for the next iteration.
	if c.KLControl == KLAdaptive {
		st.KLCoef = NextKLCoef(st.KLCoef, exp.MeanKL, c.KLTarget, c.KLHorizon, c.RolloutBatchSize)
	}
	st.Iteration++
	o.report.KLCoef = st.KLCoef
	for name, s := range exp.seconds {
		o.report.Stats["time/ppo/"+name] = s
		o.report.Stats["time/ppo/total"] += s
	}
	return o.report, nil
}

// nominalStep counts updates as if none had been left out, so that the learning rate
// follows the iterations.
func (o *optimizer) nominalStep(epoch, k int) int64 {
	c := o.cfg
	return o.st.Iteration*c.updatesPerIteration() + int64(epoch)*int64(c.RolloutBatchSize/c.MiniBatchSize) + int64(k)
}

// rates are the hyper-parameters of one optimizer update.
func (o *optimizer) rates(epoch, k int) lm.Update {
	return o.cfg.Optim.At(o.nominalStep(epoch, k), o.cfg.Iterations*o.cfg.updatesPerIteration())
}

func checkPermutation(order []int, n int) error {
	seen := make([]bool, n)
	if len(order) != n {
		return fmt.Errorf("permutation of %d episodes: want %d", len(order), n)
	}
	for _, i := range order {
		if i < 0 || i >= n || seen[i] {
			return fmt.Errorf("permutation %v: want each of 0..%d once", order, n-1)
		}
		seen[i] = true
	}
	return nil
}
