package ppo

import (
	"context"
	"fmt"
	"math"
	"time"

	"steer/ggml/lm"
	"steer/internal/seed"
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
			if err := o.miniBatch(ctx, epoch, k, episodes); err != nil {
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

// miniBatch takes one optimizer update on the given episodes.
func (o *optimizer) miniBatch(ctx context.Context, epoch, k int, episodes []int) error {
	c := o.cfg
	lengths := make([]int, len(episodes))
	seqs := make([]lm.Sequence, len(episodes))
	for j, e := range episodes {
		t := &o.exp.Trajectories[e]
		lengths[j] = len(t.Response)
		seqs[j] = sequence(t.Prompt, t.Response)
		seqs[j].DropoutSeed = seed.Derive(c.Seed, "ppo.dropout", uint64(o.st.Iteration), uint64(epoch)+1, uint64(e))
	}
	weights := c.LossMean.Weights(lengths, c.LossGroup)
	terms := make([]Terms, len(episodes))
	loss := LossConfig{Mean: c.LossMean, Group: c.LossGroup, ValueCoef: c.ValueCoef, RatioThreshold: c.RatioThreshold}
	check := &RatioError{Iteration: o.st.Iteration + 1, Tolerance: c.RatioTolerance, Outliers: c.RatioOutliers}
	first := epoch == 0 && k == 0
	opt := lm.Options{Dropout: c.Dropout, Entropy: true, Temperature: c.logprobTemperature()}

	gradient := func(at int, out *lm.Output) (lm.Gradient, error) {
		n := len(out.Logprobs)
		if at+n > len(seqs) || n == 0 {
			return lm.Gradient{}, fmt.Errorf("forward pass of at most %d sequences gave %d rows", len(seqs)-at, n)
		}
		if err := checkOutput(out, seqs[at:at+n]); err != nil {
			return lm.Gradient{}, err
		}
		if err := checkRows("entropy", out.Entropy, seqs[at:at+n], func(s lm.Sequence) int { return len(s.Targets) }); err != nil {
			return lm.Gradient{}, err
		}
		g := lm.Gradient{Logprobs: make([][]float32, n), Heads: make([][]float32, n)}
		for i := range n {
			j := at + i
			t := &o.exp.Trajectories[episodes[j]]
			newLogprobs := widen(out.Logprobs[i])
			if first {
				o.watchRatio(check, episodes[j], t, newLogprobs)
			}
			terms[j] = Terms{
				Policy:     PolicyLoss(newLogprobs, t.Logprobs, t.Advantages, c.ClipRange),
				Value:      ValueLoss(widen(out.Heads[i]), t.Values, t.Returns, c.ValueClipRange),
				Advantages: t.Advantages, Returns: t.Returns, OldValues: t.Values,
			}
			for _, h := range out.Entropy[i] {
				terms[j].Entropy += float64(h)
			}
		}
		for i := range n {
			j := at + i
			// Groups lie within a micro-batch (Validate), but for a single one, which is dropped below.
			size := c.LossMean.rows(len(seqs), c.LossGroup)
			begin := j / size * size
			skip := size < len(seqs) && RatioTooLarge(meanRatio(terms[begin:begin+size]), c.RatioThreshold)
			g.Logprobs[i], g.Heads[i] = terms[j].Gradient(weights[j], c.ValueCoef, skip)
			if row, bad := notFinite(g.Logprobs[i], g.Heads[i]); bad {
				// A ratio this large puts the mini-batch above any threshold; the
				// gradient is dropped below, but must not reach the engine.
				if c.RatioThreshold == 0 {
					return lm.Gradient{}, train.CheckFinite(o.nominalStep(epoch, k)+1, fmt.Sprintf("the gradient of token %d of episode %d", row, episodes[j]), math.Inf(1))
				}
				g.Logprobs[i], g.Heads[i] = nil, nil
			}
		}
		if first && c.RatioTolerance > 0 && float64(check.Bad) > check.Outliers*float64(check.Tokens) && at+n == len(seqs) {
			return lm.Gradient{}, check
		}
		return g, nil
	}
	if err := train.Accumulate(ctx, o.policy, train.Micro(seqs, c.MicroBatchSize), opt, gradient); err != nil {
		return err
	}

	groups := loss.Combine(terms)
	skipped := 0
	for _, g := range groups {
		if g.Skip {
			skipped++
		}
		if err := train.CheckFinite(o.nominalStep(epoch, k)+1, "the loss", g.Stats["loss/total"]); err != nil {
			return err
		}
	}
	o.groups = append(o.groups, groups...)
	o.report.Skipped += skipped
	if skipped == len(groups) {
		if err := o.policy.ZeroGrad(); err != nil {
			return err
		}
		if !c.UpdateWhenSkipped {
			return nil
		}
	}
	norm, err := train.Update(o.policy, o.update(epoch, k), o.nominalStep(epoch, k)+1, "the gradient norm")
	if err != nil {
		return err
	}
	o.report.GradNorms = append(o.report.GradNorms, norm)
	o.st.Updates++
	return nil
}

// watchRatio compares an episode of the first mini-batch with its old log-probabilities.
func (o *optimizer) watchRatio(check *RatioError, episode int, t *Trajectory, newLogprobs []float64) {
	for i, lp := range newLogprobs {
		check.add(BadToken{Episode: episode, Token: i, ID: t.Response[i], Old: t.Logprobs[i], New: lp})
		if r := math.Exp(lp - t.Logprobs[i]); math.Abs(r-1) > math.Abs(o.report.FirstRatio-1) {
			o.report.FirstRatio = r
		}
	}
}

// nominalStep counts updates as if none had been left out, so that the learning rate
// follows the iterations.
func (o *optimizer) nominalStep(epoch, k int) int64 {
	c := o.cfg
	return o.st.Iteration*c.updatesPerIteration() + int64(epoch)*int64(c.RolloutBatchSize/c.MiniBatchSize) + int64(k)
}

// update holds the hyper-parameters of one optimizer update.
func (o *optimizer) update(epoch, k int) lm.Update {
	return o.cfg.Optim.At(o.nominalStep(epoch, k), o.cfg.Iterations*o.cfg.updatesPerIteration())
}

func notFinite(rows ...[]float32) (index int, bad bool) {
	for _, row := range rows {
		for i, x := range row {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return i, true
			}
		}
	}
	return 0, false
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
