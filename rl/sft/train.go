package sft

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
	// Deps is what every trainer takes; the stage is "sft" where it has no name.
	train.Deps
	// Train is learned from, Eval is measured on; Eval may be empty.
	Train, Eval []data.Example
	// EOS is put between the examples with pack run_on; negative: nothing is.
	EOS int32
}

// trainer is a run between two rounds of train.Loop; a round is an optimizer step.
type trainer struct {
	cfg     Config
	deps    Deps
	train   []train.Item
	heldOut []train.Item
	order   *train.Order
	steps   int64
	evals   train.Every
	res     run.SFTSummary // what a checkpoint keeps besides the weights
}

// Train runs supervised fine-tuning to its last step, or on from the newest checkpoint
// of deps.Run. It returns train.ErrInterrupted, with the result so far, when the stopper
// asked it to stop. The trained adapter is adapter.gguf in the run folder; the learner
// holds its weights.
func Train(ctx context.Context, cfg Config, deps Deps) (run.SFTSummary, error) {
	if err := cfg.Validate(); err != nil {
		return run.SFTSummary{}, err
	}
	if deps.Learner == nil {
		return run.SFTSummary{}, errors.New("sft: no learner")
	}
	deps.Default("sft")
	t, err := newTrainer(cfg, deps)
	if err != nil {
		return run.SFTSummary{}, err
	}
	err = train.Loop(ctx, deps.Deps, train.LoopOptions{
		Rounds: t.steps, CheckpointEvery: cfg.CheckpointEvery, Items: cfg.MiniBatchSize,
	}, t)
	if err != nil {
		return t.res, err
	}
	if err := t.keep(); err != nil {
		return t.res, fmt.Errorf("%s: %w", deps.Stage, err)
	}
	return t.res, nil
}

func newTrainer(cfg Config, deps Deps) (*trainer, error) {
	t := &trainer{cfg: cfg, deps: deps}
	var err error
	var counts, evalCounts data.Counts
	if t.train, counts, err = cfg.prepare(deps.Train, deps.EOS, false); err != nil {
		return nil, fmt.Errorf("sft: training data: %w", err)
	}
	plan := Plan{Counts: counts, Items: len(t.train)}
	if err := plan.check(cfg); err != nil {
		return nil, err
	}
	deps.Note("training data: %s", counts)
	if len(deps.Eval) > 0 {
		if t.heldOut, evalCounts, err = cfg.prepare(deps.Eval, deps.EOS, true); err != nil {
			return nil, fmt.Errorf("sft: held-out data: %w", err)
		}
		if len(t.heldOut) == 0 {
			return nil, fmt.Errorf("sft: no held-out example is left: %s", evalCounts)
		}
		deps.Note("held-out data: %s", evalCounts)
	}
	t.res.Counts, t.res.EvalCounts = (*run.Counts)(&counts), (*run.Counts)(&evalCounts)
	t.res.DataSHA256 = fingerprint(t.train, t.heldOut)
	t.order, t.steps = cfg.order(len(t.train)), cfg.Steps(len(t.train))
	t.evals = train.Every{Every: cfg.EvalEvery, Rounds: t.steps}
	deps.Note("%s", cfg.describe(len(t.train), counts, t.steps))
	for _, doubt := range cfg.Optim.Doubts(t.steps, "raise epochs or max_steps, or lower mini_batch_size") {
		deps.Note("%s", doubt)
	}
	return t, nil
}

// describe says how long the run is, and what was settled by the size of the data.
func (c Config) describe(items int, counts data.Counts, steps int64) string {
	s := fmt.Sprintf("%d updates", steps)
	if c.MaxSteps == 0 {
		s += fmt.Sprintf(", %d passes over the data", c.Passes(items))
		if c.Epochs == 0 && c.Passes(items) > autoEpochs {
			s += fmt.Sprintf(" (epochs 0: as many as make %d updates, %d at most)", autoUpdates, mostEpochs)
		}
	}
	if warmup := c.Optim.Warmup(steps); warmup > 0 {
		s += fmt.Sprintf(", %d of them warm-up", warmup)
	}
	if c.Pack == PackAuto && counts.Blocks == 0 {
		s += "; few examples: not packed"
	}
	return s
}

// Round implements train.Trainer: one optimizer step, and before the first a look at the
// held-out examples.
func (t *trainer) Round(ctx context.Context, round int64) (train.Outcome, error) {
	if round == 0 && len(t.heldOut) > 0 {
		if err := t.evalBefore(ctx); err != nil {
			return train.Outcome{}, err
		}
	}
	return t.step(ctx, round)
}

// Measure implements train.Measurer.
func (t *trainer) Measure(ctx context.Context, done int64, out *train.Outcome) error {
	if len(t.heldOut) == 0 || !t.evals.Due(done) {
		return nil
	}
	e, err := t.evaluate(ctx)
	if err != nil {
		return err
	}
	maps.Copy(out.Metrics, metricsOf(e))
	out.Best = t.measured(done, e)
	t.deps.Note("step %d: %s", done, textLoss(e))
	return nil
}

// Unmeasured implements train.Forecaster.
func (t *trainer) Unmeasured(done int64) int64 { return t.evals.Left(done) * int64(len(t.heldOut)) }

// step is one optimizer step.
func (t *trainer) step(ctx context.Context, round int64) (train.Outcome, error) {
	// 1. The items of this step.
	var items []train.Item
	var tokens int64
	n := len(t.train)
	for _, i := range t.order.Span(t.cfg.Positions(round, n, t.cfg.Passes(n))) {
		items = append(items, t.train[i])
		tokens += t.train[i].Tokens()
	}
	parts := t.cfg.parts(items, round)
	counted := count(parts)

	// 2. Forward and backward; the loss is divided once, by all counted tokens.
	batch := train.MiniBatch[float64]{
		Items: parts, Split: t.cfg.Split, Options: lm.Options{Dropout: t.cfg.LoRA.Dropout > 0},
		Tally: func() *float64 { return new(float64) },
		Gradient: func(sum *float64, p train.ForwardPass) (lm.Gradient, error) {
			g := nll(p.Output.Logprobs, counted, sum)
			return g, train.CheckFinite(round+1, "loss", *sum)
		},
	}
	sum, err := batch.Accumulate(ctx, t.deps.Learner)
	if err != nil {
		return train.Outcome{}, err
	}
	loss := *sum / float64(counted)

	// 3. The update.
	update := t.cfg.Optim.At(round, t.steps)
	norm, err := train.Update(t.deps.Learner, update, round+1, "grad_norm")
	if err != nil {
		return train.Outcome{}, err
	}

	// 4. What is to be known of it.
	if round == 0 {
		t.res.LossFirst = loss
	}
	t.res.Steps, t.res.Loss, t.res.KeptStep = round+1, loss, round+1
	t.res.Tokens += tokens
	return train.Outcome{
		Step: round + 1,
		Metrics: map[string]float64{
			"loss": loss, "grad_norm": norm, "learning_rate": update.LR, "target_tokens": float64(counted),
			"epoch": t.cfg.Passed(round+1, n),
		},
		Show:   []train.Value{{Name: "loss", Value: loss}, {Name: "grad", Value: norm}, {Name: "lr", Value: update.LR}},
		Tokens: tokens,
	}, nil
}

// evaluate looks at the held-out examples.
func (t *trainer) evaluate(ctx context.Context) (run.TextLoss, error) {
	sequences := make([]int, len(t.heldOut))
	for i, item := range t.heldOut {
		sequences[i] = len(item)
	}
	pass := t.deps.PassOver("held-out examples", sequences)
	return evaluate(ctx, t.deps.Learner, t.heldOut, t.cfg.PassTokens(t.cfg.MaxTokens), func(read int) error {
		if pass.Read(read) < len(t.heldOut) && t.deps.Stopper.Stopping() {
			return train.ErrInterrupted
		}
		return nil
	})
}

func (t *trainer) evalBefore(ctx context.Context) error {
	e, err := t.evaluate(ctx)
	if err != nil {
		return err
	}
	t.res.EvalBefore = &e
	t.deps.Note("before training: %s", textLoss(e))
	return t.deps.Log(0, metricsOf(e))
}

// measured notes an evaluation and reports whether it is the best so far.
func (t *trainer) measured(step int64, e run.TextLoss) bool {
	t.res.EvalLast = &e
	if t.res.EvalBest != nil && e.Loss >= t.res.EvalBest.Loss {
		return false
	}
	t.res.EvalBest, t.res.BestStep = &e, step
	return true
}

// Save implements train.Trainer.
func (t *trainer) Save() (any, error) { return &t.res, nil }

// Restore implements train.Trainer.
func (t *trainer) Restore(raw json.RawMessage) error {
	now := t.res
	t.res = run.SFTSummary{}
	if err := json.Unmarshal(raw, &t.res); err != nil {
		return err
	}
	if t.res.DataSHA256 != now.DataSHA256 {
		return fmt.Errorf("the data are not those the run began with (now: %s; then: %s): start over (fresh) or "+
			"restore them",
			(*data.Counts)(now.Counts), (*data.Counts)(t.res.Counts))
	}
	return nil
}

// keep puts the chosen weights into the learner and writes them as the run's adapter.
func (t *trainer) keep() error {
	if t.cfg.Keep == KeepBest && t.res.EvalBest != nil && t.res.BestStep != t.res.Steps && t.deps.Run != nil {
		best, err := t.deps.Run.Best()
		if err != nil {
			return err
		}
		if best == nil || best.Step != t.res.BestStep {
			return fmt.Errorf("the best checkpoint, step %d, is gone: set keep to last, or start over (fresh)",
				t.res.BestStep)
		}
		if err := t.deps.Learner.SetState(best.Learner); err != nil {
			return err
		}
		t.res.KeptStep = best.Step
		t.deps.Note("keeping the weights of step %d, held-out loss %.4f", best.Step, t.res.EvalBest.Loss)
	}
	return t.deps.SaveAdapter()
}
