package rollout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"steer/internal/stats"
)

// collected is a batch as it was sampled and scored.
type collected struct {
	Batch
	raw     [][]float64 // rewards without the penalty, [reward][episode], of all that was sampled
	utility []float64   // what the episodes are worth by themselves, less the penalty
	// equal: all scores are one, which is first.
	equal bool
	first float64
	taken int64 // prompts of the stream
	// resampled counts rounds of sampling after the first, dropped their groups without use.
	resampled, dropped           int
	rolloutSeconds, scoreSeconds float64
}

// collect samples and scores the batch of an iteration. Groups whose answers are all worth the same are left out as
// long as there are rounds to replace them; if there are none left, they fill the batch.
func (t *trainer) collect(ctx context.Context) (*collected, error) {
	c := &collected{Batch: Batch{Iteration: t.st.Iteration, Weights: t.mixture.Weights(&t.st.Mixture)}}
	var spare []*collected // single groups without use, to fill up with
	for round := 0; ; round++ {
		need := (t.set.Batch - len(c.Episodes)) / t.set.Group
		part, err := t.sample(ctx, c.taken, need)
		if err != nil {
			return nil, err
		}
		c.note(part)
		if t.set.Resample.Rounds == 0 {
			c.add(part)
			break
		}
		for _, group := range part.groups(t.set.Group) {
			if equalScores(group.Scores) {
				spare = append(spare, group)
			} else {
				c.add(group)
			}
		}
		if len(c.Episodes) == t.set.Batch || round == t.set.Resample.Rounds {
			c.resampled, c.dropped = round, len(spare)
			for i := 0; len(c.Episodes) < t.set.Batch; i++ {
				c.add(spare[i])
				c.dropped--
			}
			break
		}
	}
	return c, nil
}

// sample answers the next prompts of the stream, taken of them being used already.
func (t *trainer) sample(ctx context.Context, taken int64, prompts int) (*collected, error) {
	picked := pickPrompts(t.deps.Prompts, t.set.Seed, t.set.Name+".prompts", t.st.Cursor+taken, prompts)
	c := &collected{taken: int64(prompts)}
	asked := make([]Prompt, 0, prompts*t.set.Group)
	for _, p := range picked {
		for range t.set.Group {
			asked = append(asked, p)
		}
	}
	start := time.Now()
	var err error
	c.Episodes, err = t.sampler.Sample(ctx, asked, t.set.Name+".rollout", uint64(t.st.Iteration),
		int(taken)*t.set.Group)
	if err != nil {
		return nil, fmt.Errorf("rollout: %w", err)
	}
	c.rolloutSeconds = seconds(start)
	start = time.Now()
	if c.raw, err = score(ctx, t.deps.Scorer, c.Episodes, t.set.MaxScore); err != nil {
		return nil, err
	}
	if err := t.combine(c); err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	c.scoreSeconds = seconds(start)
	return c, nil
}

// combine makes scores of rewards, less the penalty of answers without an end.
func (t *trainer) combine(c *collected) (err error) {
	if c.Scores, err = t.mixture.Combine(&t.st.Mixture, c.raw); err != nil {
		return err
	}
	c.utility = t.mixture.Utility(c.raw)
	c.equal, c.first = t.set.MaxScore > 0 && equalScores(c.Scores), c.Scores[0]
	for _, row := range c.raw {
		c.Rewards = append(c.Rewards, slices.Clone(row))
	}
	for i := range c.Episodes {
		penalty := t.penalty(&c.Episodes[i])
		c.Scores[i] -= penalty
		c.utility[i] -= penalty
		for _, row := range c.Rewards {
			row[i] -= penalty
		}
	}
	return nil
}

// penalty is what an episode's length costs.
func (t *trainer) penalty(e *Episode) float64 {
	p := 0.0
	if !e.Ended {
		p = t.set.MissingEOSPenalty
	}
	if t.set.Penalty != nil {
		p += t.set.Penalty(e)
	}
	return p
}

// note counts what a round of sampling took, and keeps all its rewards for the constraints.
func (c *collected) note(part *collected) {
	if c.raw == nil {
		c.raw = make([][]float64, len(part.raw))
		c.equal, c.first = part.equal, part.first
	}
	for k := range part.raw {
		c.raw[k] = append(c.raw[k], part.raw[k]...)
	}
	c.equal = c.equal && part.equal && equalScores([]float64{c.first, part.first})
	c.taken += part.taken
	c.rolloutSeconds += part.rolloutSeconds
	c.scoreSeconds += part.scoreSeconds
}

// add takes episodes into the batch.
func (c *collected) add(part *collected) {
	c.Episodes = append(c.Episodes, part.Episodes...)
	c.Scores = append(c.Scores, part.Scores...)
	c.utility = append(c.utility, part.utility...)
	if c.Rewards == nil {
		c.Rewards = make([][]float64, len(part.Rewards))
	}
	for k := range part.Rewards {
		c.Rewards[k] = append(c.Rewards[k], part.Rewards[k]...)
	}
}

// groups cuts episodes into those of one prompt each.
func (c *collected) groups(size int) (out []*collected) {
	for at := 0; at < len(c.Episodes); at += size {
		g := &collected{Batch: Batch{Episodes: c.Episodes[at : at+size], Scores: c.Scores[at : at+size]},
			utility: c.utility[at : at+size]}
		for _, row := range c.Rewards {
			g.Rewards = append(g.Rewards, row[at:at+size])
		}
		out = append(out, g)
	}
	return out
}

// warnEqual says before the first update that there is nothing to learn.
func (t *trainer) warnEqual(c *collected) {
	if c.equal && t.st.Iteration == 0 {
		t.deps.Progress.Note(fmt.Sprintf("warning: %s: all %d scores of the first batch are %.6g: the reward "+
			"model tells no answer from another",
			t.deps.Stage, len(c.Scores), c.first))
	}
}

// errUnjudged: an algorithm needs a score for every episode.
var errUnjudged = errors.New("no reward judges it")

// Judged wants a score for every episode.
func (b *Batch) Judged() error {
	if i := slices.IndexFunc(b.Scores, math.IsNaN); i >= 0 {
		return fmt.Errorf("episode %d (prompt %s): %w", i, b.Episodes[i].ID, errUnjudged)
	}
	return nil
}

// mean of numbers.
func mean(x []float64) float64 { return sum(x) / float64(len(x)) }

// momentsOf is the mean and spread of what is not missing.
func momentsOf(x []float64) stats.Mean {
	return stats.MeanOf(slices.DeleteFunc(slices.Clone(x), math.IsNaN))
}
