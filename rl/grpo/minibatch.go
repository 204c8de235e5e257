package grpo

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/rollout"
	"steer/rl/train"
)

// miniBatch is one optimizer update in the making.
type miniBatch struct {
	*optimizer
	epoch, number int
	answers       []int // of the batch
	seqs          []lm.Sequence
	weights       []float64 // of a token of each
	rewarded      float64   // tokens whose entropy has a bonus
	// threshold is the entropy from which on a token has a policy loss.
	threshold float64
	loss      float64
	// ratios checks the first mini-batch of an iteration; nil for the others.
	ratios *rollout.RatioError
}

func (o *optimizer) newMiniBatch(epoch, number int, answers []int) *miniBatch {
	c := o.cfg
	b := &miniBatch{optimizer: o, epoch: epoch, number: number, answers: answers, threshold: math.Inf(-1)}
	lengths := make([]int, len(answers))
	for j, i := range answers {
		e := &o.exp.Episodes[i]
		s := rollout.Sequence(e.Tokens, e.Response)
		s.DropoutSeed = seed.Derive(c.Seed, "grpo.dropout", uint64(o.st.Iteration), uint64(epoch)+1, uint64(i))
		b.seqs = append(b.seqs, s)
		lengths[j] = o.exp.counted(c, i)
	}
	b.weights = c.LossType.Weights(lengths, c.MaxNewTokens, o.perBatch)
	if o.exp.entropy != nil {
		var all []float64
		for j, i := range answers {
			if lengths[j] > 0 {
				all = append(all, o.exp.entropy[i]...)
			}
		}
		b.threshold = Quantile(all, 1-c.TopEntropyQuantile)
	}
	for j, i := range answers {
		if lengths[j] > 0 {
			b.rewarded += float64(len(o.exp.old[i]) - count(b.left(i)))
		}
	}
	if epoch == 0 && number == 0 {
		b.ratios = &rollout.RatioError{Iteration: o.st.Iteration + 1, Tolerance: c.RatioTolerance,
			Outliers: c.RatioOutliers}
	}
	return b
}

// update takes the optimizer update.
func (b *miniBatch) update(ctx context.Context) error {
	c := b.cfg
	opt := lm.Options{
		Dropout: c.Dropout, Entropy: true, EntropyGradient: c.EntropyCoef > 0, Temperature: c.PassTemperature(),
	}

	// a. Forward and backward, in micro-batches.
	if err := train.Accumulate(ctx, b.policy, train.Micro(b.seqs, c.MicroBatchSize), opt, b.gradient); err != nil {
		return err
	}
	step := b.step(b.epoch, b.number) + 1
	if err := train.CheckFinite(step, "the loss", b.loss); err != nil {
		return err
	}
	b.losses = append(b.losses, b.loss)

	// b. The update.
	norm, err := train.Update(b.policy, b.rates(b.epoch, b.number), step, "the gradient norm")
	if err != nil {
		return err
	}
	b.gradNorms = append(b.gradNorms, norm)
	b.st.Updates++
	return nil
}

// gradient is that of a micro-batch, whose first answer is number at of the mini-batch; see [train.Accumulate].
func (b *miniBatch) gradient(at int, out *lm.Output) (lm.Gradient, error) {
	n := len(out.Logprobs)
	if at+n > len(b.seqs) || n == 0 {
		return lm.Gradient{}, fmt.Errorf("forward pass of at most %d sequences gave %d rows", len(b.seqs)-at, n)
	}
	seqs := b.seqs[at : at+n]
	if err := rollout.CheckOutput(out, seqs); err != nil {
		return lm.Gradient{}, err
	}
	targets := func(s lm.Sequence) int { return len(s.Targets) }
	if err := rollout.CheckRows("entropy", out.Entropy, seqs, targets); err != nil {
		return lm.Gradient{}, err
	}
	g := lm.Gradient{Logprobs: make([][]float32, n)}
	for i := range n {
		b.measure(out.Entropy[i])
		g.Logprobs[i] = b.answer(at+i, rollout.Widen(out.Logprobs[i]))
		if c := b.cfg.EntropyCoef; c > 0 {
			g.Entropy = append(g.Entropy, b.bonus(at+i, out.Entropy[i]))
		}
	}
	if at+n == len(b.seqs) && b.ratios != nil && b.ratios.Failed() {
		return lm.Gradient{}, b.ratios
	}
	return g, nil
}

// answer is the gradient of one answer with respect to its log-probabilities, [n_response].
func (b *miniBatch) answer(j int, logprobs []float64) []float32 {
	i, c, e := b.answers[j], b.cfg, b.exp
	if b.ratios != nil {
		b.watchRatio(i, logprobs)
	}
	a := Answer{
		New: logprobs, Old: e.old[i], Ref: e.ref[i], Advantages: e.advantages[i], Left: b.left(i),
		Masked: e.counted(c, i) == 0,
	}
	beta := c.Beta
	if c.KLIn != KLInLoss {
		beta = 0
	}
	terms := c.Loss.Terms(a, beta)
	b.done = append(b.done, terms)
	b.loss += b.weights[j] * terms.Loss
	grad := make([]float32, len(logprobs))
	for t, g := range terms.Grad {
		grad[t] = float32(b.weights[j] * g)
	}
	return grad
}

// left are the tokens of an answer without a policy loss; nil where all have one.
func (b *miniBatch) left(i int) []bool {
	if b.exp.entropy == nil {
		return nil
	}
	left := make([]bool, len(b.exp.entropy[i]))
	for t, h := range b.exp.entropy[i] {
		left[t] = h < b.threshold
	}
	return left
}

func count(flags []bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// bonus takes entropy_coef times the mean entropy of the mini-batch from the loss, and returns its
// gradient with respect
// to the entropies of an answer, [n_response].
func (b *miniBatch) bonus(j int, entropy []float32) []float32 {
	i := b.answers[j]
	grad := make([]float32, len(entropy))
	if b.exp.counted(b.cfg, i) == 0 {
		return grad
	}
	left := b.left(i)
	for t, h := range entropy {
		if left == nil || !left[t] {
			b.loss -= b.cfg.EntropyCoef * float64(h) / b.rewarded
			grad[t] = float32(-b.cfg.EntropyCoef / b.rewarded)
		}
	}
	return grad
}

// measure adds the entropies of an answer's tokens.
func (b *miniBatch) measure(entropy []float32) {
	for _, h := range entropy {
		b.entropy += float64(h)
	}
	b.tokens += len(entropy)
}

// watchRatio compares an answer of the first mini-batch with its old log-probabilities.
func (b *miniBatch) watchRatio(i int, logprobs []float64) {
	e := b.exp
	for t, lp := range logprobs {
		b.ratios.Add(rollout.BadToken{Episode: i, Token: t, ID: e.Episodes[i].Response[t], Old: e.old[i][t], New: lp})
		if r := math.Exp(lp - e.old[i][t]); math.Abs(r-1) > math.Abs(b.firstRatio-1) {
			b.firstRatio = r
		}
	}
}

// Quantile of numbers, with linear interpolation between neighbours, as torch.quantile.
func Quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return math.Inf(-1)
	}
	x = slices.Sorted(slices.Values(x))
	at := q * float64(len(x)-1)
	i := int(at)
	if i+1 == len(x) {
		return x[i]
	}
	return x[i] + (at-float64(i))*(x[i+1]-x[i])
}
