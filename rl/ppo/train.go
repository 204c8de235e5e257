package ppo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"steer/rl/run"
	"steer/rl/train"
)

// errStopped: the run in this folder was ended by a guard.
var errStopped = errors.New("a guard has ended this run")

// trainer is a run between two rounds of train.Loop; a round is an iteration.
type trainer struct {
	cfg     Config
	deps    Deps
	models  Models
	sampler sampler
	heldout train.Every // how often held-out prompts are answered
	st      trainerState
}

// trainerState is what a checkpoint keeps besides the weights.
type trainerState struct {
	State
	Cursor int64          `json:"cursor"` // prompts taken from the stream
	Health guardState     `json:"health"`
	Result run.PPOSummary `json:"result"`
	// Baseline are the scores held-out differences are taken to.
	Baseline []float64 `json:"baseline,omitempty"`
}

// Train runs PPO to its last iteration, or on from the newest checkpoint of deps.Run. It
// returns train.ErrInterrupted, with the state so far, when the stopper asked it to
// stop. A guard that ends the run is not an error: the result says why. The trained
// adapter is adapter.gguf in the run folder, the best one best.gguf.
func Train(ctx context.Context, cfg Config, deps Deps) (run.PPOSummary, error) {
	if err := errors.Join(cfg.Validate(), deps.validate(&cfg)); err != nil {
		return run.PPOSummary{}, err
	}
	deps.Default("ppo")
	t := &trainer{
		cfg: cfg, deps: deps,
		models:  Models{Policy: deps.Learner, Reference: deps.Reference, FullKL: deps.FullKL},
		heldout: train.Every{Every: cfg.HeldoutEvery, Rounds: cfg.Iterations},
		st:      trainerState{State: NewState(&cfg), Result: run.NewPPOSummary()},
	}
	for _, doubt := range cfg.Optim.Doubts(cfg.Iterations*cfg.updatesPerIteration(), "raise iterations or ppo_epochs") {
		deps.Note("%s", doubt)
	}
	t.sampler = sampler{cfg: &t.cfg, generator: deps.Generator, tokenizer: deps.Tokenizer, stop: deps.stopTokens()}
	err := train.Loop(ctx, deps.Deps, train.LoopOptions{
		Rounds: cfg.Iterations, CheckpointEvery: cfg.CheckpointEvery, Items: cfg.RolloutBatchSize,
	}, t)
	if isOnly(err, train.ErrAlarm) || isOnly(err, errStopped) {
		err = nil // Result.StoppedBecause says it
	}
	if err != nil {
		return t.st.Result, err
	}
	if err := deps.SaveAdapter(); err != nil {
		return t.st.Result, fmt.Errorf("ppo: %w", err)
	}
	return t.st.Result, nil
}

// Round implements train.Trainer: one iteration.
func (t *trainer) Round(ctx context.Context, round int64) (train.Outcome, error) {
	if t.st.Result.StoppedBecause != "" {
		return train.Outcome{}, fmt.Errorf("%w: %s", errStopped, t.st.Result.StoppedBecause)
	}
	if err := t.startHeldout(ctx); err != nil {
		return train.Outcome{}, err
	}
	out, err := t.iterate(ctx)
	if err != nil {
		return train.Outcome{}, fmt.Errorf("iteration %d: %w", round+1, err)
	}
	return out, nil
}

// Unmeasured implements train.Forecaster. The prompts after the last iteration belong to it.
func (t *trainer) Unmeasured(done int64) int64 {
	return t.heldout.Left(done) * int64(len(t.deps.Heldout))
}

// Save implements train.Trainer.
func (t *trainer) Save() (any, error) { return &t.st, nil }

// Restore implements train.Trainer.
func (t *trainer) Restore(raw json.RawMessage) error {
	t.st = trainerState{}
	return json.Unmarshal(raw, &t.st)
}

// isOnly: err is target with words around it, not joined with another error (such as
// that of the checkpoint of an alarm).
func isOnly(err, target error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err == target {
			return true
		}
	}
	return false
}
