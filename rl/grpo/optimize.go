package grpo

import (
	"context"
	"fmt"
	"time"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/rollout"
	"steer/rl/train"
)

// optimizer is the state of the updates of one iteration.
type optimizer struct {
	*algorithm
	perBatch   float64 // mean tokens of a mini-batch
	done       []Terms // of every answer of every mini-batch
	losses     []float64
	gradNorms  []float64
	entropy    float64 // sum over tokens that were predicted
	tokens     int
	firstRatio float64
}

// Optimize implements [rollout.Algorithm].
func (a *algorithm) Optimize(ctx context.Context) (rollout.Report, error) {
	start := time.Now()
	c := a.cfg
	o := &optimizer{algorithm: a, firstRatio: 1}
	for i := range a.exp.Episodes {
		o.perBatch += float64(a.exp.counted(c, i)) * float64(c.MiniBatchSize) / float64(c.answers())
	}

	// Epochs of shuffled mini-batches.
	for epoch := range c.Epochs {
		order := seed.Permutation(c.answers(), c.Seed, "grpo.minibatch", uint64(a.st.Iteration), uint64(epoch))
		for k, answers := range train.Micro(order, c.MiniBatchSize) {
			if err := o.newMiniBatch(epoch, k, answers).update(ctx); err != nil {
				return rollout.Report{}, fmt.Errorf("epoch %d, mini-batch %d: %w", epoch, k, err)
			}
		}
	}
	stats := o.stats()
	stats["time/grpo/optimize_step"] = time.Since(start).Seconds()
	stats["time/grpo/total"] = stats["time/grpo/optimize_step"]
	a.st.Iteration++
	return rollout.Report{
		Stats: stats, Loss: stats["loss"], Entropy: stats["entropy"], Epochs: c.Epochs, Updates: a.st.Updates,
		KLCoef: c.Beta,
	}, nil
}

// counted is how many tokens of an answer count.
func (e *experience) counted(c *Config, i int) int {
	if c.MaskTruncated && !e.Episodes[i].Ended {
		return 0
	}
	return len(e.Episodes[i].Response)
}

// step counts updates from 0, as if none had been left out.
func (o *optimizer) step(epoch, k int) int64 {
	c := o.cfg
	return o.st.Iteration*c.updatesPerIteration() + int64(epoch)*int64(c.answers()/c.MiniBatchSize) + int64(k)
}

// rates are the hyper-parameters of one optimizer update.
func (o *optimizer) rates(epoch, k int) lm.Update {
	return o.cfg.Optim.At(o.step(epoch, k), o.cfg.Iterations*o.cfg.updatesPerIteration())
}
