package grpo

import (
	"context"
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
}

// tally is what is counted of a mini-batch on the way.
type tally struct {
	loss    float64
	terms   []Terms // of each answer
	entropy float64 // sum over the tokens
	tokens  int
	// ratios checks the first mini-batch of an iteration; nil for the others. firstRatio is the farthest from 1.
	ratios     *rollout.RatioError
	firstRatio float64
}

// tally is an empty one.
func (b *miniBatch) tally() *tally {
	t := &tally{firstRatio: 1}
	if b.first() {
		t.ratios = &rollout.RatioError{Iteration: b.st.Iteration + 1, Tolerance: b.cfg.RatioTolerance,
			Outliers: b.cfg.RatioOutliers}
	}
	return t
}

// first tells whether nothing has been learned of the iteration yet.
func (b *miniBatch) first() bool { return b.epoch == 0 && b.number == 0 }

// keep adds what was counted of a mini-batch to the iteration's.
func (o *optimizer) keep(t *tally) {
	o.losses = append(o.losses, t.loss)
	o.done = append(o.done, t.terms...)
	o.entropy += t.entropy
	o.tokens += t.tokens
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
	return b
}

// update takes the optimizer update.
func (b *miniBatch) update(ctx context.Context) error {
	c := b.cfg

	// a. Forward and backward, in micro-batches.
	batch := train.MiniBatch[tally]{
		Items: train.Alone(b.seqs),
		Split: func(items []train.Item) [][]train.Item { return train.Micro(items, c.MicroBatchSize) },
		Options: lm.Options{
			Dropout: c.Dropout, Entropy: true, EntropyGradient: c.EntropyCoef > 0, Temperature: c.PassTemperature(),
		},
		Tally: b.tally, Gradient: b.gradient,
	}
	t, err := batch.Accumulate(ctx, b.policy)
	if err != nil {
		return err
	}
	step := b.step(b.epoch, b.number) + 1
	if err := train.CheckFinite(step, "the loss", t.loss); err != nil {
		return err
	}
	if b.first() {
		if t.ratios.Failed() {
			return t.ratios
		}
		b.firstRatio = t.firstRatio
	}
	b.keep(t)

	// b. The update.
	norm, err := train.Update(b.policy, b.rates(b.epoch, b.number), step, "the gradient norm")
	if err != nil {
		return err
	}
	b.gradNorms = append(b.gradNorms, norm)
	b.st.Updates++
	return nil
}

// gradient is that of a forward pass; see [train.MiniBatch].
func (b *miniBatch) gradient(t *tally, p train.ForwardPass) (g lm.Gradient, err error) {
	seqs := b.seqs[p.Sequence : p.Sequence+len(p.Items)]
	if err := rollout.CheckOutput(p.Output, seqs); err != nil {
		return g, err
	}
	targets := func(s lm.Sequence) int { return len(s.Targets) }
	if err := rollout.CheckRows("entropy", p.Output.Entropy, seqs, targets); err != nil {
		return g, err
	}
	for i := range seqs {
		entropy := p.Output.Entropy[i]
		t.measure(entropy)
		g.Logprobs = append(g.Logprobs, b.answer(t, p.Sequence+i, rollout.Widen(p.Output.Logprobs[i])))
		if b.cfg.EntropyCoef > 0 {
			g.Entropy = append(g.Entropy, b.bonus(t, p.Sequence+i, entropy))
		}
	}
	return g, nil
}

// answer is the gradient of one answer with respect to its log-probabilities, [n_response].
func (b *miniBatch) answer(t *tally, j int, logprobs []float64) []float32 {
	i, c, e := b.answers[j], b.cfg, b.exp
	if t.ratios != nil {
		b.watchRatio(t, i, logprobs)
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
	t.terms = append(t.terms, terms)
	t.loss += b.weights[j] * terms.Loss
	grad := make([]float32, len(logprobs))
	for k, g := range terms.Grad {
		grad[k] = float32(b.weights[j] * g)
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

// bonus takes an answer's share of entropy_coef times the mean entropy from the loss, and returns its gradient with
// respect to the entropies, [n_response].
func (b *miniBatch) bonus(t *tally, j int, entropy []float32) []float32 {
	i := b.answers[j]
	grad := make([]float32, len(entropy))
	if b.exp.counted(b.cfg, i) == 0 {
		return grad
	}
	left := b.left(i)
	for k, h := range entropy {
		if left == nil || !left[k] {
			t.loss -= b.cfg.EntropyCoef * float64(h) / b.rewarded
			grad[k] = float32(-b.cfg.EntropyCoef / b.rewarded)
		}
	}
	return grad
}

// measure adds the entropies of an answer's tokens.
func (t *tally) measure(entropy []float32) {
	for _, h := range entropy {
		t.entropy += float64(h)
	}
	t.tokens += len(entropy)
}

// watchRatio compares an answer of the first mini-batch with its old log-probabilities.
func (b *miniBatch) watchRatio(t *tally, i int, logprobs []float64) {
	e := b.exp
	for k, lp := range logprobs {
		t.ratios.Add(rollout.BadToken{Episode: i, Token: k, ID: e.Episodes[i].Response[k], Old: e.old[i][k], New: lp})
		if r := math.Exp(lp - e.old[i][k]); math.Abs(r-1) > math.Abs(t.firstRatio-1) {
			t.firstRatio = r
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
