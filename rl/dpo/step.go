package dpo

import (
	"context"
	"fmt"
	"math"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/train"
)

// StepBatch is one optimizer step on items whose reference log-probabilities are known (see [Config.Refer]): what the
// trainer does in a round, without records. round counts from 0, of steps. It gives the loss, a mean over the items.
// KTO's reference point is 0 here.
func (c Config) StepBatch(
	ctx context.Context, policy lm.Learner, items []Item, round, steps int64,
) (loss float64, err error) {
	parts, _ := c.parts(items, round)
	done, err := c.stepBatch(ctx, policy, newObjective(c, items), items, parts, round, steps)
	if err != nil {
		return 0, err
	}
	return done.objective.tally.Loss, nil
}

// Refer asks a reference policy about the answers of items.
func (c Config) Refer(ctx context.Context, model lm.Evaluator, items []Item) error {
	var deps train.Deps
	deps.Default("dpo")
	return Reference{Model: model}.fill(ctx, deps, rowsOf(items), c.PassTokens(2*c.MaxLength))
}

// stepped is what a step came to.
type stepped struct {
	objective *objective
	norm      float64 // of the gradient, before clipping
	rate      float64 // learning rate
}

// stepBatch does the passes over a mini-batch, laid out as parts, and the update.
func (c Config) stepBatch(
	ctx context.Context, policy lm.Learner, o *objective, items []Item, parts []train.Item, round, steps int64,
) (s stepped, err error) {
	step := round + 1
	// 3. Forward; loss and its gradient with respect to the log-probabilities, divided once by the pairs of the
	//    whole mini-batch, whatever the micro-batches are.
	// 4. Backward.
	batch := train.MiniBatch[objective]{
		Items: parts, Split: c.Split, Options: lm.Options{Dropout: c.LoRA.Dropout > 0},
		Tally: func() *objective { return o.empty() },
		Gradient: func(o *objective, p train.ForwardPass) (g lm.Gradient, err error) {
			at := 0
			for _, it := range items[p.Item : p.Item+len(p.Items)] {
				rows := p.Output.Logprobs[at : at+len(it.rows())]
				if err := c.checkRatio(round, it, rows); err != nil {
					return g, err
				}
				g.Logprobs = append(g.Logprobs, o.add(it, rows)...)
				at += len(rows)
			}
			return g, train.CheckFinite(step, "loss", o.tally.Loss)
		},
	}
	if s.objective, err = batch.Accumulate(ctx, policy); err != nil {
		return s, err
	}

	// 5. The update.
	update := c.Optim.At(round, steps)
	s.rate = update.LR
	s.norm, err = train.Update(policy, update, step, "grad_norm")
	return s, err
}

// parts lays items out as sequences, chosen before rejected, and counts their tokens. The dropout seeds are
// those of step, place and side, so that the split into passes changes nothing.
func (c Config) parts(items []Item, round int64) (parts []train.Item, tokens int64) {
	parts = make([]train.Item, len(items))
	for i, it := range items {
		for side, r := range it.rows() {
			s := r.sequence()
			s.DropoutSeed = seed.Derive(c.Seed, "dpo.dropout", uint64(round), uint64(i), uint64(side))
			parts[i] = append(parts[i], s)
		}
		tokens += parts[i].Tokens()
	}
	return parts, tokens
}

// checkRatio wants, in the first step, a policy that is still its reference: nothing has been learned by then,
// so anything else is an error of the engine, or of what was kept of the reference.
func (c Config) checkRatio(round int64, it Item, logprobs [][]float32) error {
	if round > 0 || c.RatioTolerance == 0 || c.Loss.ReferenceFree() || c.LoRA.Dropout > 0 {
		return nil
	}
	for i, r := range it.rows() {
		off := (r.sum(logprobs[i]).total(1) - r.ref.total(1)) / float64(len(r.Targets))
		if math.Abs(off) > c.RatioTolerance {
			return fmt.Errorf("step 1: before anything was learned, an answer of %d tokens differs from what the "+
				"reference policy says of it by %g nats a token, ratio_tolerance is %g: the reference "+
				"log-probabilities are not those of this base and SFT adapter; start over (--fresh)",
				len(r.Targets), off, c.RatioTolerance)
		}
	}
	return nil
}
