package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"steer/ggml/lm"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	// Deps is what every trainer takes; the stage is "dpo" where it has no name.
	train.Deps
	// Encoder puts preferences before the model.
	Encoder *Encoder
	// Reference is the policy that is not to be left.
	Reference Reference
	// Train is learned from, HeldOut measured on.
	Train, HeldOut []data.Pair
	// Clean tells held-out pairs that share nothing with what is learned from; nil: not known.
	Clean func(data.Pair) bool
}

// lossWindow is the number of steps whose mean loss is the result's.
const lossWindow = 50

// trainer is a run between two rounds of train.Loop; a round is an optimizer step.
type trainer struct {
	cfg     Config
	deps    Deps
	train   []Item
	heldOut []Item
	// strangers are KTO's answers to the prompts of others: of each step in training, and of the held-out part.
	strangers        [][]*Row
	heldOutStrangers []*Row
	order            *train.Order
	steps            int64
	evals            train.Every
	state            state
	res              run.DPOSummary
}

// state is what a checkpoint keeps besides the weights.
type state struct {
	Steps      int64     `json:"steps"`
	Tokens     int64     `json:"tokens"`
	LossFirst  float64   `json:"loss_first"`
	Losses     []float64 `json:"losses"` // of the last steps
	DataSHA256 string    `json:"data_sha256"`
}

// Train steers a policy to its last step, or on from the newest checkpoint of deps.Run, then measures it on the
// held-out preferences. It returns train.ErrInterrupted when the stopper asked it to stop. The trained adapter
// is adapter.gguf in the run folder; the learner holds its weights.
func Train(ctx context.Context, cfg Config, deps Deps) (run.DPOSummary, error) {
	if err := cfg.Validate(); err != nil {
		return run.DPOSummary{}, err
	}
	switch {
	case deps.Learner == nil:
		return run.DPOSummary{}, errors.New("dpo: no learner")
	case deps.Encoder == nil:
		return run.DPOSummary{}, errors.New("dpo: no encoder")
	case deps.Reference.Model == nil && !cfg.Loss.ReferenceFree():
		return run.DPOSummary{}, fmt.Errorf("dpo: loss %s needs a reference policy", cfg.Loss)
	}
	deps.Default("dpo")
	t, err := newTrainer(cfg, deps)
	if err != nil {
		return run.DPOSummary{}, err
	}
	if err := t.refer(ctx); err != nil {
		return t.res, fmt.Errorf("%s: %w", deps.Stage, err)
	}
	err = train.Loop(ctx, deps.Deps, train.LoopOptions{
		Rounds: t.steps, CheckpointEvery: cfg.CheckpointEvery, Items: cfg.MiniBatchSize,
	}, t)
	if err == nil {
		if err = t.finish(ctx); err != nil {
			err = fmt.Errorf("%s: %w", deps.Stage, err)
		}
	}
	t.fill()
	return t.res, err
}

func newTrainer(cfg Config, deps Deps) (*trainer, error) {
	t := &trainer{cfg: cfg, deps: deps}
	t.res.Loss = string(cfg.Loss)
	for _, part := range []struct {
		name   string
		pairs  []data.Pair
		into   *[]Item
		counts *run.PairCounts
	}{
		{"train", deps.Train, &t.train, &t.res.TrainCounts},
		{"held-out", deps.HeldOut, &t.heldOut, &t.res.HeldOutCounts},
	} {
		if err := cfg.checkPairs(part.pairs); err != nil {
			return nil, fmt.Errorf("%s: %s data: %w", deps.Stage, part.name, err)
		}
		var err error
		if *part.into, *part.counts, err = deps.Encoder.Items(part.pairs); err != nil {
			return nil, err
		}
		deps.Note("%s preferences: %s", part.name, *part.counts)
	}
	if len(t.train) == 0 || len(t.heldOut) == 0 {
		return nil, fmt.Errorf("%s: %s", deps.Stage, nothingLeft(cfg, t.res.TrainCounts, t.res.HeldOutCounts))
	}
	if cfg.LDAlpha != 1 {
		for _, it := range append(t.train[:len(t.train):len(t.train)], t.heldOut...) {
			it.share()
		}
	}
	if cfg.Loss.Unpaired() {
		t.train = apart(t.train)
	}
	if cfg.Loss == KTO && len(t.train) < 2 {
		return nil, fmt.Errorf("%s: kto wants at least two answers: its KL is estimated by answers to the prompts of "+
			"others", deps.Stage)
	}
	t.steps = cfg.Steps(len(t.train))
	for _, doubt := range cfg.Optim.Doubts(t.steps, "raise epochs or max_steps, or lower mini_batch_size") {
		deps.Note("%s", doubt)
	}
	t.order = train.NewOrder(len(t.train), !cfg.NoShuffle, cfg.Seed, "dpo.shuffle")
	t.evals = train.Every{Every: cfg.EvalEvery, Rounds: t.steps}
	t.state.DataSHA256 = fingerprint(t.train, t.heldOut)
	return t, nil
}

// checkPairs refuses answers that stand alone where the loss compares two.
func (c Config) checkPairs(pairs []data.Pair) error {
	if c.Loss.Unpaired() {
		return nil
	}
	for _, p := range pairs {
		if p.Missing != data.SideNone {
			return fmt.Errorf("%s: line %d: a single answer with a label, of which loss %s makes nothing: set loss to "+
				"kto, or pair the answers to one prompt (recipe: cross, zip or one)", p.Source, p.Line, c.Loss)
		}
	}
	return nil
}

// batch is the items of the step after step earlier ones; each epoch has its own order.
func (t *trainer) batch(step int64) (items []Item) {
	for _, i := range t.order.Span(t.cfg.Positions(step, len(t.train), t.cfg.Epochs)) {
		items = append(items, t.train[i])
	}
	return items
}

// refer asks the reference policy about every answer of the run, KTO's to the prompts of others among them.
func (t *trainer) refer(ctx context.Context) error {
	if t.cfg.Loss.ReferenceFree() {
		return nil
	}
	var rows []*Row
	for _, it := range append(t.train[:len(t.train):len(t.train)], t.heldOut...) {
		rows = append(rows, it.rows()...)
	}
	if t.cfg.Loss == KTO {
		for step := range t.steps {
			t.strangers = append(t.strangers, t.stepStrangers(step))
			rows = append(rows, t.strangers[step]...)
		}
		t.heldOutStrangers = rotated(rowsOf(t.heldOut), t.cfg.MaxLength)
		rows = append(rows, t.heldOutStrangers...)
	}
	return t.deps.Reference.fill(ctx, t.deps.Deps, rows, t.passTokens())
}

// stepStrangers are the answers to the prompts of others of a step. A last step of one answer takes that of the
// step before: its own would say nothing of the KL.
func (t *trainer) stepStrangers(step int64) []*Row {
	rows := rowsOf(t.batch(step))
	if len(rows) > 1 {
		return rotated(rows, t.cfg.MaxLength)
	}
	before := rowsOf(t.batch(max(step-1, 0)))
	return rotated([]*Row{rows[0], before[len(before)-1]}, t.cfg.MaxLength)[:1]
}

// rowsOf are the answers of items.
func rowsOf(items []Item) (rows []*Row) {
	for _, it := range items {
		rows = append(rows, it.rows()...)
	}
	return rows
}

// passTokens bounds a pass without gradient.
func (t *trainer) passTokens() int { return t.cfg.PassTokens(2 * t.cfg.MaxLength) }

// Round implements train.Trainer: one optimizer step.
func (t *trainer) Round(ctx context.Context, round int64) (train.Outcome, error) {
	step := round + 1

	// 1. The preferences of this step; passes take whole pairs.
	items := t.batch(round)
	parts, tokens := t.cfg.parts(items, round)
	o := newObjective(t.cfg, items)

	// 2. How far the policy is from the reference, by answers to the prompts of others; no gradient goes there.
	if t.cfg.Loss == KTO {
		var err error
		if o.kl, err = t.estimateKL(ctx, t.strangers[round]); err != nil {
			return train.Outcome{}, err
		}
	}

	// 3. to 5. Forward, loss, backward, update.
	done, err := t.cfg.stepBatch(ctx, t.deps.Learner, o, items, parts, round, t.steps)
	if err != nil {
		return train.Outcome{}, err
	}
	o = done.objective

	// 6. What is to be known of it. Held-out preferences, where they are due, are Measure's.
	t.note(step, tokens, o.tally.Loss)
	metrics := o.metrics("")
	maps.Copy(metrics, map[string]float64{
		"grad_norm": done.norm, "learning_rate": done.rate, "epoch": t.cfg.Passed(step, len(t.train)),
	})
	return train.Outcome{Step: step, Tokens: tokens, Metrics: metrics, Show: show(metrics)}, nil
}

// metrics are the numbers of a mini-batch, or of held-out preferences.
func (o *objective) metrics(prefix string) map[string]float64 {
	m := o.tally.metrics(prefix)
	if o.cfg.Loss == KTO {
		m[prefix+"kl"] = o.kl
	}
	if o.cfg.sftWeight() > 0 {
		m[prefix+"nll_loss"] = o.tally.NLL
	}
	return m
}

// show is what the progress line prints.
func show(metrics map[string]float64) (values []train.Value) {
	for _, v := range [][2]string{{"loss", "loss"}, {"acc", "rewards/accuracies"}, {"margin", "rewards/margins"}} {
		if x, ok := metrics[v[1]]; ok {
			values = append(values, train.Value{Name: v[0], Value: x})
		}
	}
	return values
}

// estimateKL is KTO's reference point of a batch.
func (t *trainer) estimateKL(ctx context.Context, strangers []*Row) (float64, error) {
	out, err := train.Evaluate(ctx, t.deps.Learner, sequences(strangers), t.passTokens(), lm.Options{})
	if err != nil {
		return 0, fmt.Errorf("kl: %w", err)
	}
	ratios := make([]float64, len(strangers))
	for i, r := range strangers {
		ratios[i] = r.sum(out.Logprobs[i]).total(1) - r.ref.total(1)
	}
	return EstimateKL(ratios), nil
}

// note keeps what the result will say.
func (t *trainer) note(step, tokens int64, loss float64) {
	if step == 1 {
		t.state.LossFirst = loss
	}
	t.state.Steps = step
	t.state.Tokens += tokens
	t.state.Losses = append(t.state.Losses, loss)
	if n := len(t.state.Losses); n > lossWindow {
		t.state.Losses = t.state.Losses[n-lossWindow:]
	}
}

// Save implements train.Trainer.
func (t *trainer) Save() (any, error) { return t.state, nil }

// Restore implements train.Trainer.
func (t *trainer) Restore(raw json.RawMessage) error {
	now := t.state.DataSHA256
	t.state = state{}
	if err := json.Unmarshal(raw, &t.state); err != nil {
		return err
	}
	if t.state.DataSHA256 != now {
		return errors.New("the data are not those the run began with: start over (--fresh) or restore them")
	}
	return nil
}

// fill copies what is known at any time into the result.
func (t *trainer) fill() {
	r := &t.res
	r.DataSHA256, r.Steps, r.Tokens = t.state.DataSHA256, t.state.Steps, t.state.Tokens
	r.LossFirst = t.state.LossFirst
	if len(t.state.Losses) > 0 {
		r.LossLast = mean(t.state.Losses)
	}
}
