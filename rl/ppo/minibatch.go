package ppo

import (
	"context"
	"fmt"
	"math"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/rollout"
	"steer/rl/train"
)

// miniBatch is one optimizer update in the making.
type miniBatch struct {
	*optimizer
	epoch, number int
	episodes      []int // of the rollout batch
	// seqs and weights (see [LossMean.Weights]) are those of the episodes.
	seqs    []lm.Sequence
	weights []float64
}

// tally is what is counted of a mini-batch on the way.
type tally struct {
	terms []Terms // of the episodes, as far as the forward passes have come
	// ratios checks the first mini-batch of an iteration; nil for the others. firstRatio is the farthest from 1.
	ratios     *rollout.RatioError
	firstRatio float64
}

// tally is an empty one.
func (b *miniBatch) tally() *tally {
	t := &tally{terms: make([]Terms, len(b.episodes)), firstRatio: 1}
	if b.first() {
		t.ratios = &rollout.RatioError{
			Iteration: b.st.Iteration + 1, Tolerance: b.cfg.RatioTolerance, Outliers: b.cfg.RatioOutliers,
		}
	}
	return t
}

// first tells whether nothing has been learned of the iteration yet.
func (b *miniBatch) first() bool { return b.epoch == 0 && b.number == 0 }

func (o *optimizer) newMiniBatch(epoch, number int, episodes []int) *miniBatch {
	c := o.cfg
	b := &miniBatch{
		optimizer: o, epoch: epoch, number: number, episodes: episodes,
		seqs: make([]lm.Sequence, len(episodes)),
	}
	lengths := make([]int, len(episodes))
	for j, e := range episodes {
		t := &o.exp.Trajectories[e]
		lengths[j] = len(t.Response)
		b.seqs[j] = withValues(rollout.Sequence(t.Prompt, t.Response))
		b.seqs[j].DropoutSeed = seed.Derive(c.Seed, "ppo.dropout", uint64(o.st.Iteration), uint64(epoch)+1, uint64(e))
	}
	b.weights = c.LossMean.Weights(lengths, c.LossGroup)
	return b
}

// step is the number of the update, counted from 1, as if none had been left out.
func (b *miniBatch) step() int64 { return b.nominalStep(b.epoch, b.number) + 1 }

// update takes the optimizer update.
func (b *miniBatch) update(ctx context.Context) error {
	c := b.cfg

	// a. Forward and backward, in micro-batches.
	batch := train.MiniBatch[tally]{
		Items:   train.Alone(b.seqs),
		Split:   func(items []train.Item) [][]train.Item { return train.Micro(items, c.MicroBatchSize) },
		Options: lm.Options{Dropout: c.Dropout, Entropy: true, Temperature: c.PassTemperature()},
		Tally:   b.tally, Gradient: b.gradient,
	}
	t, err := batch.Accumulate(ctx, b.policy)
	if err != nil {
		return err
	}
	if b.first() {
		if t.ratios.Failed() {
			return t.ratios
		}
		b.report.FirstRatio = t.firstRatio
	}

	// b. The loss of each group; what the ratio threshold zeroed has no gradient.
	loss := LossConfig{Mean: c.LossMean, Group: c.LossGroup, ValueCoef: c.ValueCoef, RatioThreshold: c.RatioThreshold}
	groups := loss.Combine(t.terms)
	skipped := 0
	for _, g := range groups {
		if g.Skip {
			skipped++
		}
		if err := train.CheckFinite(b.step(), "the loss", g.Stats["loss/total"]); err != nil {
			return err
		}
	}
	b.groups = append(b.groups, groups...)
	b.report.Skipped += skipped
	if skipped == len(groups) {
		if err := b.policy.ZeroGrad(); err != nil {
			return err
		}
		if !c.UpdateWhenSkipped {
			return nil
		}
	}

	// c. The update.
	norm, err := train.Update(b.policy, b.rates(b.epoch, b.number), b.step(), "the gradient norm")
	if err != nil {
		return err
	}
	b.report.GradNorms = append(b.report.GradNorms, norm)
	b.st.Updates++
	return nil
}

// gradient is that of a forward pass; see [train.MiniBatch].
func (b *miniBatch) gradient(t *tally, p train.ForwardPass) (lm.Gradient, error) {
	out, at, n := p.Output, p.Sequence, len(p.Items)
	seqs := b.seqs[at : at+n]
	if err := rollout.CheckOutput(out, seqs); err != nil {
		return lm.Gradient{}, err
	}
	targets := func(s lm.Sequence) int { return len(s.Targets) }
	if err := rollout.CheckRows("entropy", out.Entropy, seqs, targets); err != nil {
		return lm.Gradient{}, err
	}
	for i := range n {
		b.lossTerms(t, at+i, out, i)
	}
	g := lm.Gradient{Logprobs: make([][]float32, n), Heads: make([][]float32, n)}
	for i := range n {
		var err error
		if g.Logprobs[i], g.Heads[i], err = b.responseGradient(t, at+i); err != nil {
			return lm.Gradient{}, err
		}
	}
	return g, nil
}

// lossTerms computes the loss terms of episode j of the mini-batch from row i of a forward pass.
func (b *miniBatch) lossTerms(tally *tally, j int, out *lm.Output, i int) {
	t := &b.exp.Trajectories[b.episodes[j]]
	newLogprobs := rollout.Widen(out.Logprobs[i])
	if tally.ratios != nil {
		tally.watchRatio(b.episodes[j], t, newLogprobs)
	}
	tally.terms[j] = Terms{
		Policy:     PolicyLoss(newLogprobs, t.Logprobs, t.Advantages, b.cfg.ClipRange),
		Value:      ValueLoss(rollout.Widen(out.Heads[i]), t.Values, t.Returns, b.cfg.ValueClipRange),
		Advantages: t.Advantages, Returns: t.Returns, OldValues: t.Values,
	}
	for _, h := range out.Entropy[i] {
		tally.terms[j].Entropy += float64(h)
	}
}

// responseGradient is the gradient with respect to the log-probabilities and values of episode j,
// [n_response] each.
func (b *miniBatch) responseGradient(t *tally, j int) (logprobs, values []float32, err error) {
	c := b.cfg
	// Groups lie within a micro-batch (Validate), but for a single one, which update drops.
	size := c.LossMean.rows(len(b.seqs), c.LossGroup)
	begin := j / size * size
	skip := size < len(b.seqs) && RatioTooLarge(meanRatio(t.terms[begin:begin+size]), c.RatioThreshold)
	logprobs, values = t.terms[j].Gradient(b.weights[j], c.ValueCoef, skip)
	token, bad := notFinite(logprobs, values)
	if !bad {
		return logprobs, values, nil
	}
	// A ratio this large puts the mini-batch above any threshold; update drops the gradient, but it
	// must not reach the engine.
	if c.RatioThreshold == 0 {
		return nil, nil, train.CheckFinite(b.step(),
			fmt.Sprintf("the gradient of token %d of episode %d", token, b.episodes[j]), math.Inf(1))
	}
	return nil, nil, nil
}

// watchRatio compares an episode of the first mini-batch with its old log-probabilities.
func (tally *tally) watchRatio(episode int, t *Trajectory, newLogprobs []float64) {
	for i, lp := range newLogprobs {
		tally.ratios.Add(rollout.BadToken{Episode: episode, Token: i, ID: t.Response[i], Old: t.Logprobs[i], New: lp})
		if r := math.Exp(lp - t.Logprobs[i]); math.Abs(r-1) > math.Abs(tally.firstRatio-1) {
			tally.firstRatio = r
		}
	}
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
