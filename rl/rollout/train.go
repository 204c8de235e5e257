package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"steer/rl/mixture"
	"steer/rl/run"
	"steer/rl/train"
)

// errStopped: the run in this folder was ended by a guard.
var errStopped = errors.New("a guard has ended this run")

// trainer is a run between two rounds of train.Loop; a round is an iteration.
type trainer struct {
	set       Settings
	deps      Deps
	algorithm Algorithm
	mixture   *mixture.Mixture
	sampler   Sampler
	heldout   train.Every // how often held-out prompts are answered
	st        state
}

// state is what a checkpoint keeps besides the weights.
type state struct {
	Iteration int64             `json:"iteration"` // finished
	Cursor    int64             `json:"cursor"`    // prompts taken from the stream
	Health    guardState        `json:"health"`
	Mixture   mixture.State     `json:"mixture"`
	Result    run.PolicySummary `json:"result"`
	Alerts    []string          `json:"alerts,omitempty"`
	// Baseline are the scores held-out differences are taken to, and its rewards, [reward][prompt].
	Baseline        []float64   `json:"baseline,omitempty"`
	BaselineRewards [][]float64 `json:"baseline_rewards,omitempty"`
}

// Train runs an algorithm to its last iteration, or on from the newest checkpoint of deps.Run. It
// returns train.ErrInterrupted, with the state so far, when the stopper asked it to stop. A guard
// that ends the run is not an error: the result says why. The trained adapter is adapter.gguf in
// the run folder, the best one best.gguf.
func Train(ctx context.Context, set Settings, deps Deps, algorithm Algorithm) (run.PolicySummary, error) {
	m, err := mixture.New(set.Rewards, deps.Scorer.Names(), set.Weights)
	if err != nil {
		return run.PolicySummary{}, fmt.Errorf("%s: %w", set.Name, err)
	}
	deps.Default(set.Name)
	t := &trainer{
		set: set, deps: deps, algorithm: algorithm, mixture: m,
		sampler: Sampler{Sampling: set.Sampling, Seed: set.Seed, Generator: deps.Generator, Tokenizer: deps.Tokenizer,
			Stop: deps.stopTokens()},
		heldout: train.Every{Every: set.HeldoutEvery, Rounds: set.Iterations},
		st:      state{Result: run.NewPolicySummary(), Mixture: m.NewState()},
	}
	err = train.Loop(ctx, deps.Deps, train.LoopOptions{
		Rounds: set.Iterations, CheckpointEvery: set.CheckpointEvery, Items: set.Batch,
	}, t)
	if isOnly(err, train.ErrAlarm) || isOnly(err, errStopped) {
		err = nil // Result.StoppedBecause says it
	}
	t.st.Result.Alerts = t.st.Alerts
	if err != nil {
		return t.st.Result, err
	}
	if err := deps.SaveAdapter(); err != nil {
		return t.st.Result, fmt.Errorf("%s: %w", set.Name, err)
	}
	return t.st.Result, nil
}

// Round implements train.Trainer: one iteration.
func (t *trainer) Round(ctx context.Context, round int64) (train.Outcome, error) {
	if t.st.Result.StoppedBecause != "" {
		return train.Outcome{}, fmt.Errorf("%w: %s", errStopped, t.st.Result.StoppedBecause)
	}
	if err := t.startHeldout(ctx); err != nil {
		return train.Outcome{}, train.Intact(err)
	}
	out, err := t.iterate(ctx)
	if err != nil {
		return train.Outcome{}, fmt.Errorf("iteration %d: %w", round+1, err)
	}
	return out, nil
}

// Unmeasured implements train.Forecaster.
func (t *trainer) Unmeasured(done int64) int64 {
	return t.heldout.Left(done) * int64(len(t.deps.Heldout))
}

// saved is the trainer's part of a checkpoint.
type saved struct {
	state
	Algorithm json.RawMessage `json:"algorithm"`
}

// Save implements train.Trainer.
func (t *trainer) Save() (any, error) {
	own, err := json.Marshal(t.algorithm.State())
	return saved{t.st, own}, err
}

// Restore implements train.Trainer.
func (t *trainer) Restore(raw json.RawMessage) error {
	var s saved
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	if s.Algorithm == nil {
		return errors.New("it was written by an older version of this program: finish the run with that version, or " +
			"start it anew (--fresh)")
	}
	t.st = s.state
	return json.Unmarshal(s.Algorithm, t.algorithm.State())
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
