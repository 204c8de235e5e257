package rewards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/run"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	// Deps is what every trainer takes; the stage is "reward <theory>" where it has no name.
	train.Deps
	// Tokenizer is the base model's.
	Tokenizer lm.Tokenizer
	// References are token sequences (prompt and answer, encoded as the pairs are) whose
	// scores are normalised; empty: both sides of the held-out pairs.
	References [][]int32
}

// trainer is a run between two rounds of train.Loop; a round is an optimizer step.
type trainer struct {
	cfg     Config
	set     *Set
	deps    Deps
	encoder *Encoder
	train   []EncodedPair
	heldOut []EncodedPair
	order   *train.Order
	steps   int64
	evals   train.Every
	state   state
	// made is the adapter with its head; nil without Deps.AdapterOf.
	made *adapter.Adapter
	// mean and std are the head's; 0 without a normalisation.
	mean, std float32
	res       run.Reward
}

// state is what a checkpoint keeps besides the weights.
type state struct {
	Steps     int64    `json:"steps"`
	Watch     monitor  `json:"watch"`
	Tokens    int64    `json:"tokens"`
	LossFirst float64  `json:"loss_first"`
	Warnings  []string `json:"warnings"`
}

// Train trains a reward model to its last step, or on from the newest checkpoint of
// deps.Run, then evaluates and normalises it. The head has to be on the learner (see
// HeadInit.Weights). It returns train.ErrInterrupted when the stopper asked it to stop,
// and ErrIdentical when the scores turn out not to depend on the text.
func Train(ctx context.Context, cfg Config, set *Set, deps Deps) (run.Reward, error) {
	if err := cfg.Validate(); err != nil {
		return run.Reward{}, err
	}
	if deps.Learner == nil {
		return run.Reward{}, errors.New("rewards: no learner")
	}
	deps.Default("reward " + string(cfg.Theory))
	t, err := newTrainer(cfg, set, deps)
	if err != nil {
		return run.Reward{}, err
	}
	err = train.Loop(ctx, deps.Deps, train.LoopOptions{
		Rounds: t.steps, CheckpointEvery: cfg.CheckpointEvery, Items: cfg.MiniBatchSize,
	}, t)
	if err == nil {
		err = t.finish(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", deps.Stage, err)
		}
	}
	t.fill()
	return t.res, err
}

func newTrainer(cfg Config, set *Set, deps Deps) (*trainer, error) {
	t := &trainer{cfg: cfg, set: set, deps: deps}
	var err error
	if t.encoder, err = NewEncoder(cfg, deps.Tokenizer); err != nil {
		return nil, err
	}
	if t.train, t.res.TrainCounts, err = t.encoder.Pairs(set.Train.Pairs); err != nil {
		return nil, err
	}
	if t.heldOut, t.res.HeldOutCounts, err = t.encoder.Pairs(set.HeldOut.Pairs); err != nil {
		return nil, err
	}
	deps.Note("train pairs: %s", t.res.TrainCounts)
	deps.Note("held-out pairs: %s", t.res.HeldOutCounts)
	deps.Note("overlap: %s", set.Overlap)
	if len(t.train) == 0 || len(t.heldOut) == 0 {
		return nil, fmt.Errorf("%s: %s", deps.Stage, nothingLeft(cfg, t.res.TrainCounts, t.res.HeldOutCounts))
	}
	t.steps = cfg.Steps(len(t.train))
	for _, doubt := range cfg.Optim.Doubts(t.steps, "raise epochs or max_steps, or lower mini_batch_size") {
		deps.Note("%s", doubt)
	}
	t.order = train.NewOrder(len(t.train), !cfg.NoShuffle, cfg.Seed, "reward.shuffle")
	t.evals = train.Every{Every: cfg.EvalEvery, Rounds: t.steps}
	return t, nil
}

// nothingLeft says why no train or no held-out pair is left, and what helps.
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
		s := fmt.Sprintf("no %s pair is left of %d", part.name, c.In)
		if c.Dropped > 0 {
			s += fmt.Sprintf(": %d have a side of more than max_length %d tokens (the longest has %d): raise "+
				"max_length, or set overlong to truncate_left", c.Dropped, cfg.MaxLength, c.Longest)
		}
		if c.CutEqual > 0 {
			s += fmt.Sprintf(": %d are equal within the last %d tokens, to which sides are cut: they differ before "+
				"that: raise max_length (the longest side has %d tokens), or set overlong to drop",
				c.CutEqual, cfg.MaxLength, c.Longest)
		}
		if c.Identical > 0 {
			s += fmt.Sprintf(": %d have the same tokens on both sides: the model sees no difference between them",
				c.Identical)
		}
		why = append(why, s)
	}
	return strings.Join(why, "; ")
}

// Save implements train.Trainer.
func (t *trainer) Save() (any, error) { return t.state, nil }

// Restore implements train.Trainer.
func (t *trainer) Restore(raw json.RawMessage) error {
	t.state = state{}
	return json.Unmarshal(raw, &t.state)
}

// Round implements train.Trainer: one optimizer step.
func (t *trainer) Round(ctx context.Context, round int64) (train.Outcome, error) {
	step := round + 1

	// 1. The pairs of this step; each epoch has its own order.
	var pairs []EncodedPair
	for _, i := range t.order.Span(t.cfg.Positions(round, len(t.train), t.cfg.Epochs)) {
		pairs = append(pairs, t.train[i])
	}

	// 2. Micro-batches of whole pairs, chosen and rejected side by side, the head
	//    read at the last token of each.
	items, tokens := t.items(pairs, round)

	// 3. Forward; loss and its gradient with respect to the scores, divided once by
	//    the pairs of the whole mini-batch, whatever the micro-batches are.
	// 4. Backward.
	n := float64(len(pairs))
	batch := train.MiniBatch[batchStats]{
		Items: items, Split: t.cfg.Split, Options: lm.Options{Dropout: t.cfg.LoRA.Dropout > 0},
		Tally: func() *batchStats { return &batchStats{} },
		Gradient: func(b *batchStats, p train.ForwardPass) (lm.Gradient, error) {
			heads := p.Output.Heads
			g := lm.Gradient{Heads: make([][]float32, len(heads))}
			next := 0
			for _, pair := range pairs[p.Item : p.Item+len(p.Items)] {
				next += t.pairGradient(pair, heads[next:], g.Heads[next:], n, b)
			}
			return g, train.CheckFinite(step, "loss", b.Loss)
		},
	}
	b, err := batch.Accumulate(ctx, t.deps.Learner)
	if err != nil {
		return train.Outcome{}, err
	}

	// 5. The update.
	update := t.cfg.Optim.At(round, t.steps)
	norm, err := train.Update(t.deps.Learner, update, step, "grad_norm")
	if err != nil {
		return train.Outcome{}, err
	}

	// 6. Is it learning at all?
	if err := t.state.Watch.step(*b, update.LR > 0); err != nil {
		return train.Outcome{}, fmt.Errorf("step %d: %w", step, err)
	}
	if t.cfg.StuckAfter > 0 && step >= t.cfg.StuckAfter {
		if warning, stuck := t.state.Watch.stuck(); stuck {
			t.warn(fmt.Sprintf("step %d: %s", step, warning))
		}
	}

	// 7. What is to be known of it.
	if round == 0 {
		t.state.LossFirst = b.Loss / n
	}
	t.state.Steps = step
	t.state.Tokens += tokens
	out := train.Outcome{
		Step: step, Tokens: tokens,
		Metrics: map[string]float64{
			"loss": b.Loss / n, "accuracy": float64(b.Correct) / n, "margin": b.Diff / n, "grad_norm": norm,
			"chosen_mean": b.Chosen / n, "rejected_mean": b.Rejected / n, "learning_rate": update.LR,
			"epoch": t.cfg.Passed(step, len(t.train)),
		},
		Show: []train.Value{{Name: "loss", Value: b.Loss / n}, {Name: "acc", Value: float64(b.Correct) / n},
			{Name: "margin", Value: b.Diff / n}},
	}

	// 8. A look at held-out pairs, where one is due, is Measure's (the final one is in finish).
	return out, nil
}

// items lays pairs out as sequences, chosen before rejected, and counts their tokens. The dropout
// seeds are those of step, place and side, so that the split into passes changes nothing.
func (t *trainer) items(pairs []EncodedPair, round int64) (items []train.Item, tokens int64) {
	for i, p := range pairs {
		var item train.Item
		for side, ids := range [][]int32{p.Chosen, p.Rejected} {
			if ids == nil {
				continue
			}
			seq := scored(ids)
			seq.DropoutSeed = seed.Derive(t.cfg.Seed, "reward.dropout", uint64(round), uint64(i), uint64(side))
			item = append(item, seq)
		}
		items = append(items, item)
		tokens += item.Tokens()
	}
	return items, tokens
}

func (t *trainer) warn(text string) {
	t.state.Warnings = append(t.state.Warnings, text)
	t.deps.Warn("%s", text)
}
