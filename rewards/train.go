package rewards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/run"
	"steer/internal/seed"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	train.Deps
	// Stage is shown in progress lines and errors; empty means "reward <theory>".
	Stage string
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
	order   orderCache
	steps   int64
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
	Watch     watch    `json:"watch"`
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
	if deps.Stage == "" {
		deps.Stage = "reward " + string(cfg.Theory)
	}
	if deps.Meter == nil {
		deps.Meter = train.NewMeter()
	}
	t, err := newTrainer(cfg, set, deps)
	if err != nil {
		return run.Reward{}, err
	}
	err = train.Loop(ctx, deps.Deps, train.LoopOptions{
		Stage: deps.Stage, Rounds: t.steps, CheckpointEvery: cfg.CheckpointEvery, Items: cfg.MiniBatchSize,
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
	deps.Note("%s: train pairs: %s", deps.Stage, t.res.TrainCounts)
	deps.Note("%s: held-out pairs: %s", deps.Stage, t.res.HeldOutCounts)
	deps.Note("%s: overlap: %s", deps.Stage, set.Overlap)
	if len(t.train) == 0 || len(t.heldOut) == 0 {
		return nil, fmt.Errorf("%s: %s", deps.Stage, nothingLeft(cfg, t.res.TrainCounts, t.res.HeldOutCounts))
	}
	t.steps = cfg.Steps(len(t.train))
	for _, doubt := range cfg.Optim.Doubts(t.steps, "raise epochs or max_steps, or lower mini_batch_size") {
		deps.Note("%s: %s", deps.Stage, doubt)
	}
	t.order = orderCache{n: len(t.train), seed: cfg.Seed, fixed: cfg.NoShuffle, epoch: -1}
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
			s += fmt.Sprintf(": %d have a side of more than max_length %d tokens (the longest has %d): raise max_length, or set overlong to truncate_left", c.Dropped, cfg.MaxLength, c.Longest)
		}
		if c.CutEqual > 0 {
			s += fmt.Sprintf(": %d are equal within the last %d tokens, to which sides are cut: they differ before that: raise max_length (the longest side has %d tokens), or set overlong to drop",
				c.CutEqual, cfg.MaxLength, c.Longest)
		}
		if c.Identical > 0 {
			s += fmt.Sprintf(": %d have the same tokens on both sides: the model sees no difference between them", c.Identical)
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

// batchStats sums over the pairs of a mini-batch.
type batchStats struct {
	Pairs, Correct, Ties   int
	Loss, Logistic         float64 // with and without margin and centring
	Chosen, Rejected, Diff float64
}

// Round implements train.Trainer: one optimizer step.
func (t *trainer) Round(ctx context.Context, round int64) (train.Outcome, error) {
	step := round + 1

	// 1. The pairs of this step; each epoch has its own order.
	pairs := t.batch(round)

	// 2. Micro-batches of whole pairs, chosen and rejected side by side, the head
	//    read at the last token of each.
	micro, tokens := t.micro(pairs, round)

	// 3. Forward; loss and its gradient with respect to the scores, divided once by
	//    the pairs of the whole mini-batch, whatever the micro-batches are.
	// 4. Backward.
	var b batchStats
	n, next := float64(len(pairs)), 0
	opt := lm.Options{Dropout: t.cfg.LoRA.Dropout > 0}
	err := train.Accumulate(ctx, t.deps.Learner, micro, opt, func(_ int, out *lm.Output) (lm.Gradient, error) {
		g := lm.Gradient{Heads: make([][]float32, len(out.Heads))}
		for i := 0; i < len(out.Heads); next++ {
			i += t.pairGradient(pairs[next], out.Heads[i:], g.Heads[i:], n, &b)
		}
		return g, train.CheckFinite(step, "loss", b.Loss)
	})
	if err != nil {
		return train.Outcome{}, err
	}

	// 5. The update.
	update := t.cfg.Optim.At(round, t.steps)
	norm, err := t.deps.Learner.Update(update)
	if err != nil {
		return train.Outcome{}, err
	}
	if err := train.CheckFinite(step, "grad_norm", norm); err != nil {
		return train.Outcome{}, err
	}

	// 6. Is it learning at all?
	if err := t.state.Watch.step(b, update.LR > 0); err != nil {
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
			"epoch": float64(step*int64(t.cfg.MiniBatchSize)) / float64(len(t.train)),
		},
		Show: []train.Value{{Name: "loss", Value: b.Loss / n}, {Name: "acc", Value: float64(b.Correct) / n}, {Name: "margin", Value: b.Diff / n}},
	}

	// 8. A look at held-out pairs, where one is due, is Measure's (the final one is in finish).
	return out, nil
}

// pairGradient reads a pair's scores off the next heads, accounts for it and writes its
// gradient, divided by n; it says how many heads it took. A side that is missing scores
// 0: the loss is then -log sigmoid of the other side's score (with the sign of the side),
// which is the logistic loss of a classifier. A log-odds has no free constant, so nothing
// is centred.
func (t *trainer) pairGradient(p EncodedPair, heads, gradient [][]float32, n float64, b *batchStats) int {
	margin := t.cfg.Margin + p.Margin
	switch {
	case p.Rejected == nil:
		d, _ := b.add(float64(heads[0][0]), 0, margin, 0)
		gradient[0] = []float32{float32(d / n)}
		return 1
	case p.Chosen == nil:
		_, d := b.add(0, float64(heads[0][0]), margin, 0)
		gradient[0] = []float32{float32(d / n)}
		return 1
	}
	dc, dr := b.add(float64(heads[0][0]), float64(heads[1][0]), margin, t.cfg.Centre)
	gradient[0], gradient[1] = []float32{float32(dc / n)}, []float32{float32(dr / n)}
	return 2
}

// add accounts for a pair and gives the derivatives of its loss.
func (b *batchStats) add(chosen, rejected, margin, centre float64) (dChosen, dRejected float64) {
	loss, dc, dr := PairLoss(chosen, rejected, margin, centre)
	logistic, _, _ := PairLoss(chosen, rejected, 0, 0)
	b.Pairs++
	b.Loss += loss
	b.Logistic += logistic
	b.Chosen += chosen
	b.Rejected += rejected
	b.Diff += chosen - rejected
	switch {
	case chosen > rejected:
		b.Correct++
	case chosen == rejected:
		b.Ties++
	}
	return dc, dr
}

// batch gives the pairs of a step. The stream of pairs is epoch after epoch; a
// mini-batch may reach into the next one, only the last of a run may be smaller.
func (t *trainer) batch(round int64) []EncodedPair {
	n, mini := int64(len(t.train)), int64(t.cfg.MiniBatchSize)
	end := (round + 1) * mini
	if t.cfg.MaxSteps == 0 {
		end = min(end, t.cfg.Epochs*n)
	}
	var out []EncodedPair
	for p := round * mini; p < end; p++ {
		out = append(out, t.train[t.order.at(p)])
	}
	return out
}

// micro lays pairs out as sequences in micro-batches.
func (t *trainer) micro(pairs []EncodedPair, round int64) (parts [][]lm.Sequence, tokens int64) {
	var part []lm.Sequence
	held, size := 0, 0
	for i, p := range pairs {
		full := t.cfg.MicroBatchSize > 0 && held == t.cfg.MicroBatchSize ||
			t.cfg.MicroBatchSize == 0 && held > 0 && size+p.Tokens() > t.cfg.MicroBatchTokens
		if full {
			parts, part, held, size = append(parts, part), nil, 0, 0
		}
		for side, ids := range [][]int32{p.Chosen, p.Rejected} {
			if ids == nil {
				continue
			}
			seq := scored(ids)
			seq.DropoutSeed = seed.Derive(t.cfg.Seed, "reward.dropout", uint64(round), uint64(i), uint64(side))
			part = append(part, seq)
		}
		held++
		size += p.Tokens()
		tokens += int64(p.Tokens())
	}
	return append(parts, part), tokens
}

// orderCache gives the pair at a place of the endless stream of epochs.
type orderCache struct {
	n     int
	seed  uint64
	fixed bool
	epoch int64
	perm  []int
}

func (o *orderCache) at(place int64) int {
	epoch, within := place/int64(o.n), int(place%int64(o.n))
	if o.fixed {
		return within
	}
	if epoch != o.epoch {
		o.epoch, o.perm = epoch, seed.Permutation(o.n, o.seed, "reward.shuffle", uint64(epoch))
	}
	return o.perm[within]
}

// dueInside tells whether held-out pairs are looked at after a step.
func (t *trainer) dueInside(step int64) bool {
	return t.cfg.EvalEvery > 0 && step%t.cfg.EvalEvery == 0 && step < t.steps
}

// inside are the held-out pairs looked at during training: the first.
func (t *trainer) inside() []EncodedPair {
	if t.cfg.EvalPairs > 0 && len(t.heldOut) > t.cfg.EvalPairs {
		return t.heldOut[:t.cfg.EvalPairs]
	}
	return t.heldOut
}

// Measure implements train.Measurer.
func (t *trainer) Measure(ctx context.Context, step int64, out *train.Outcome) error {
	if !t.dueInside(step) {
		return nil
	}
	chosen, rejected, err := t.scores(ctx, t.inside())
	if err != nil {
		return err
	}
	a := AccuracyOf(chosen, rejected)
	out.Metrics["eval_loss"], out.Metrics["eval_accuracy"], out.Metrics["eval_margin"] = a.Loss, a.Accuracy, a.Margin
	t.deps.Note("%s: step %d: held out: %s", t.deps.Stage, step, a)
	return nil
}

// Unmeasured implements train.Forecaster.
func (t *trainer) Unmeasured(done int64) int64 {
	items := int64(len(t.heldOut)) // in finish
	if every := t.cfg.EvalEvery; every > 0 && done < t.steps {
		items += ((t.steps-1)/every - done/every) * int64(len(t.inside()))
	}
	return items
}

// scores gives the raw scores of both sides of pairs; a missing side scores 0.
func (t *trainer) scores(ctx context.Context, pairs []EncodedPair) (chosen, rejected []float32, err error) {
	sequences := make([][]int32, 0, 2*len(pairs))
	upTo := make([]int, 0, len(pairs)) // sequences of the pairs up to each
	for _, p := range pairs {
		for _, ids := range [][]int32{p.Chosen, p.Rejected} {
			if ids != nil {
				sequences = append(sequences, ids)
			}
		}
		upTo = append(upTo, len(sequences))
	}
	pass, done := t.deps.Pass(t.deps.Stage, "held-out pairs", len(pairs)), 0
	raw, err := t.raw(ctx, sequences, func(n int) {
		for done < len(pairs) && upTo[done] <= n {
			done++
		}
		pass.Done(done)
	})
	if err != nil {
		return nil, nil, err
	}
	take := func(ids []int32) (score float32) {
		if ids != nil {
			score, raw = raw[0], raw[1:]
		}
		return score
	}
	for _, p := range pairs {
		chosen = append(chosen, take(p.Chosen))
		rejected = append(rejected, take(p.Rejected))
	}
	return chosen, rejected, nil
}

// raw scores sequences, part by part so that a request to stop is heard; told is how many are done.
func (t *trainer) raw(ctx context.Context, sequences [][]int32, told func(done int)) ([]float32, error) {
	limit := t.cfg.MicroBatchTokens
	if limit == 0 {
		limit = 2 * t.cfg.MicroBatchSize * t.cfg.MaxLength
	}
	s := Scorer{Model: t.deps.Learner, BatchTokens: limit}
	var out []float32
	for _, part := range train.Micro(sequences, 64) {
		if t.deps.Stopper.Stopping() {
			return nil, train.ErrInterrupted
		}
		got, err := s.Raw(ctx, part)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
		told(len(out))
	}
	return out, nil
}

func (t *trainer) warn(text string) {
	t.state.Warnings = append(t.state.Warnings, text)
	t.deps.Note("%s: warning: %s", t.deps.Stage, text)
}
