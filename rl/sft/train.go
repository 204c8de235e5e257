package sft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"steer/ggml/lm"
	"steer/internal/run"
	"steer/rl/data"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	train.Deps
	// Stage is shown in progress lines and errors; empty means "sft".
	Stage string
	// Train is learned from, Eval is measured on; Eval may be empty.
	Train, Eval []data.Example
	// EOS is put between the examples with pack run_on; negative: nothing is.
	EOS int32
}

// trainer is a run between two rounds of train.Loop; a round is an optimizer step.
type trainer struct {
	cfg    Config
	deps   Deps
	places []place
	eval   []place
	order  *order
	steps  int64
	res    run.SFTSummary // what a checkpoint keeps besides the weights
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
	if deps.Stage == "" {
		deps.Stage = "sft"
	}
	if deps.Meter == nil {
		deps.Meter = train.NewMeter()
	}
	t, err := newTrainer(cfg, deps)
	if err != nil {
		return run.SFTSummary{}, err
	}
	err = train.Loop(ctx, deps.Deps, train.LoopOptions{
		Stage: deps.Stage, Rounds: t.steps, CheckpointEvery: cfg.CheckpointEvery, Items: cfg.MiniBatchSize,
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
	if t.places, counts, err = cfg.prepare(deps.Train, deps.EOS, false); err != nil {
		return nil, fmt.Errorf("sft: training data: %w", err)
	}
	plan := Plan{Counts: counts, Places: len(t.places)}
	if err := plan.check(cfg); err != nil {
		return nil, err
	}
	deps.Note("%s: training data: %s", deps.Stage, counts)
	if len(deps.Eval) > 0 {
		if t.eval, evalCounts, err = cfg.prepare(deps.Eval, deps.EOS, true); err != nil {
			return nil, fmt.Errorf("sft: held-out data: %w", err)
		}
		if len(t.eval) == 0 {
			return nil, fmt.Errorf("sft: no held-out example is left: %s", evalCounts)
		}
		deps.Note("%s: held-out data: %s", deps.Stage, evalCounts)
	}
	t.res.Counts, t.res.EvalCounts = (*run.Counts)(&counts), (*run.Counts)(&evalCounts)
	t.res.DataSHA256 = hashOf(t.places, t.eval)
	t.order, t.steps = newOrder(cfg, t.places), cfg.Steps(len(t.places))
	deps.Note("%s: %s", deps.Stage, cfg.describe(len(t.places), counts, t.steps))
	for _, doubt := range cfg.Optim.Doubts(t.steps, "raise epochs or max_steps, or lower mini_batch_size") {
		deps.Note("%s: %s", deps.Stage, doubt)
	}
	return t, nil
}

// describe says how long the run is, and what was settled by the size of the data.
func (c Config) describe(places int, counts data.Counts, steps int64) string {
	s := fmt.Sprintf("%d updates", steps)
	if c.MaxSteps == 0 {
		s += fmt.Sprintf(", %d passes over the data", c.Passes(places))
		if c.Epochs == 0 && c.Passes(places) > autoEpochs {
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
	if round == 0 && len(t.eval) > 0 {
		if err := t.evalBefore(ctx); err != nil {
			return train.Outcome{}, err
		}
	}
	return t.step(ctx, round)
}

// dueInside tells whether the held-out examples are looked at after a step.
func (t *trainer) dueInside(done int64) bool {
	return len(t.eval) > 0 && (done == t.steps || t.cfg.EvalEvery > 0 && done%t.cfg.EvalEvery == 0)
}

// Measure implements train.Measurer.
func (t *trainer) Measure(ctx context.Context, done int64, out *train.Outcome) error {
	if !t.dueInside(done) {
		return nil
	}
	e, err := t.evaluate(ctx)
	if err != nil {
		return err
	}
	maps.Copy(out.Metrics, metricsOf(e))
	out.Best = t.measured(done, e)
	t.deps.Note("%s: step %d: held-out loss %.4f, perplexity %.3f, token accuracy %.4f", t.deps.Stage, done,
		e.Loss, e.Perplexity, e.Accuracy)
	return nil
}

// Unmeasured implements train.Forecaster.
func (t *trainer) Unmeasured(done int64) int64 {
	if done >= t.steps {
		return 0
	}
	looks := int64(1) // after the last step
	if every := t.cfg.EvalEvery; every > 0 {
		looks += (t.steps-1)/every - done/every
	}
	return looks * int64(len(t.eval))
}

// step is one optimizer step.
func (t *trainer) step(ctx context.Context, round int64) (train.Outcome, error) {
	// 1. The places of this step, in micro-batches.
	var places []place
	var tokens int64
	for _, i := range t.order.batch(round) {
		places = append(places, t.places[i])
		tokens += t.places[i].tokens()
	}
	micro := t.cfg.micro(places, round)
	n := count(micro)

	// 2. Forward and backward; the loss is divided once, by all counted tokens.
	var sum float64
	opt := lm.Options{Dropout: t.cfg.LoRA.Dropout > 0}
	err := train.Accumulate(ctx, t.deps.Learner, micro, opt, func(_ int, out *lm.Output) (lm.Gradient, error) {
		g := nll(out.Logprobs, n, &sum)
		return g, train.CheckFinite(round+1, "loss", sum)
	})
	if err != nil {
		return train.Outcome{}, err
	}
	loss := sum / float64(n)

	// 3. The update.
	update := t.cfg.Optim.At(round, t.steps)
	norm, err := t.deps.Learner.Update(update)
	if err != nil {
		return train.Outcome{}, err
	}
	if err := train.CheckFinite(round+1, "grad_norm", norm); err != nil {
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
			"loss": loss, "grad_norm": norm, "learning_rate": update.LR, "target_tokens": float64(n),
			"epoch": float64((round+1)*int64(t.cfg.MiniBatchSize)) / float64(len(t.places)),
		},
		Show:   []train.Value{{Name: "loss", Value: loss}, {Name: "grad", Value: norm}, {Name: "lr", Value: update.LR}},
		Tokens: tokens,
	}, nil
}

// evaluate looks at the held-out examples.
func (t *trainer) evaluate(ctx context.Context) (run.TextLoss, error) {
	pass := t.deps.Pass(t.deps.Stage, "held-out examples", len(t.eval))
	return evaluate(ctx, t.deps.Learner, t.eval, t.evalTokens(), func(done int) error {
		pass.Done(done)
		if done < len(t.eval) && t.deps.Stopper.Stopping() {
			return train.ErrInterrupted
		}
		return nil
	})
}

// evalTokens bounds an evaluation's forward pass as training's is.
func (t *trainer) evalTokens() int {
	if t.cfg.MicroBatchSize == 0 {
		return t.cfg.MicroBatchTokens
	}
	return t.cfg.MicroBatchSize * t.cfg.MaxTokens
}

func (t *trainer) evalBefore(ctx context.Context) error {
	e, err := t.evaluate(ctx)
	if err != nil {
		return err
	}
	t.res.EvalBefore = &e
	t.deps.Note("%s: before training: held-out loss %.4f, perplexity %.3f, token accuracy %.4f", t.deps.Stage, e.Loss, e.Perplexity, e.Accuracy)
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
		return fmt.Errorf("the data are not those the run began with (now: %s; then: %s): start over (fresh) or restore them",
			(*data.Counts)(now.Counts), (*data.Counts)(t.res.Counts))
	}
	return nil
}

// keep puts the chosen weights into the learner and writes them as the run's adapter.
func (t *trainer) keep() error {
	state, err := t.deps.Learner.State()
	if err != nil {
		return err
	}
	if t.cfg.Keep == KeepBest && t.res.EvalBest != nil && t.res.BestStep != t.res.Steps && t.deps.Run != nil {
		best, err := t.deps.Run.Best()
		if err != nil {
			return err
		}
		if best == nil || best.Step != t.res.BestStep {
			return fmt.Errorf("the best checkpoint, step %d, is gone: set keep to last, or start over (fresh)", t.res.BestStep)
		}
		if err := t.deps.Learner.SetState(best.Learner); err != nil {
			return err
		}
		state, t.res.KeptStep = best.Learner, best.Step
		t.deps.Note("%s: keeping the weights of step %d, held-out loss %.4f", t.deps.Stage, best.Step, t.res.EvalBest.Loss)
	}
	return t.saveAdapter(state)
}

func (t *trainer) saveAdapter(state *lm.State) error {
	if t.deps.Run == nil || t.deps.AdapterOf == nil {
		return nil
	}

	a, err := t.deps.AdapterOf(state)
	if err != nil {
		return fmt.Errorf("adapter: %w", err)
	}
	_, err = t.deps.Run.SaveAdapter(a)
	return err
}
