package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"steer/rl/run"
)

// ErrAlarm: a trainer stopped itself because training has gone wrong in a way it
// watches for. There is a checkpoint; the message says what was seen.
var ErrAlarm = errors.New("stopped by an alarm")

// ErrIntact: a round or its measurement failed, and neither the learner nor the trainer's state had changed by then.
// [Loop] writes a checkpoint, so that nothing before it is lost. See [Intact].
var ErrIntact = errors.New("nothing was changed")

// Intact marks an error with ErrIntact; its text stays as it is.
func Intact(err error) error { return intact{err} }

type intact struct{ error }

// Unwrap gives the error itself, and ErrIntact.
func (e intact) Unwrap() []error { return []error{e.error, ErrIntact} }

// Outcome is what a trainer reports of one round.
type Outcome struct {
	// Step is the number of optimizer steps done so far; 0 means one a round.
	Step int64
	// Metrics are logged under Step, with "tokens_per_second" and "seconds" added.
	Metrics map[string]float64
	// Show is what the progress line prints, most important first.
	Show []Value
	// Tokens went through the model in this round.
	Tokens int64
	// Best asks for a checkpoint now that is kept as the best.
	Best bool
	// Alarm, where not empty, stops the run with a checkpoint and ErrAlarm; it is a
	// sentence that says what was seen and what to do.
	Alarm string
}

// Trainer does the rounds of a run; a [Measurer] and a [Forecaster] do more. A round is the
// smallest unit a checkpoint can stand between: an optimizer step, or a whole iteration of rollout and updates.
type Trainer interface {
	// Round does round number round (0 is the first). All its randomness must derive
	// from round, the configuration and what Save returns. ErrInterrupted says that it was
	// asked to stop before anything was done.
	Round(ctx context.Context, round int64) (Outcome, error)
	// Save returns the trainer's state, to be stored as JSON; nil if it has none.
	Save() (any, error)
	// Restore puts it back before the first round of a resumed run.
	Restore(json.RawMessage) error
}

// LoopOptions configures Loop.
type LoopOptions struct {
	// Rounds is how many there are.
	Rounds int64
	// CheckpointEvery so many rounds; 0: only at the end, and when stopped.
	CheckpointEvery int64
	// Items is how many a round learns from, for the time that passes will take as long as
	// none was timed; 0: not known.
	Items int
}

// loopState is the trainer part of a checkpoint written by Loop.
type loopState struct {
	Round   int64           `json:"round"` // rounds done
	State   json.RawMessage `json:"state"`
	Pending *pending        `json:"pending,omitempty"` // of the last of them, what is still to be measured
}

// Loop drives a trainer from the newest checkpoint of its run (or from the start) to
// the last round: metrics, progress, checkpoints, graceful stop. It returns
// ErrInterrupted after a stop, ErrAlarm after an alarm, both with a checkpoint, and an
// error of Round as it is, with the step it is safe to go on from; with a checkpoint, too, where
// the error is [ErrIntact].
func Loop(ctx context.Context, d Deps, o LoopOptions, t Trainer) error {
	d.Default(d.Stage)
	l := &loop{Deps: d, opt: o, t: t, savedRound: -1}
	if err := l.resume(); err != nil {
		return fmt.Errorf("%s: %w", d.Stage, err)
	}
	if err := l.run(ctx); err != nil {
		l.Note("stopped after step %d", l.step) // ends the updating line too
		return fmt.Errorf("%s: %w", d.Stage, err)
	}
	return nil
}

type loop struct {
	Deps
	opt         LoopOptions
	t           Trainer
	round, step int64 // done
	savedRound  int64 // of the newest checkpoint
	pending     *pending
}

// resume brings learner, trainer and run folder to the newest checkpoint.
func (l *loop) resume() error {
	if l.Run == nil {
		return nil
	}
	c, warnings, err := l.Run.Latest()
	for _, w := range warnings {
		l.Progress.Note("warning: " + w)
	}
	if err != nil {
		return err
	}
	if c != nil {
		var s loopState
		if err := json.Unmarshal(c.Trainer, &s); err != nil {
			return fmt.Errorf("checkpoint of step %d: trainer state: %w", c.Step, err)
		}
		if err := l.Learner.SetState(c.Learner); err != nil {
			return fmt.Errorf("checkpoint of step %d does not fit this model: %w", c.Step, err)
		}
		if err := l.t.Restore(s.State); err != nil {
			return fmt.Errorf("checkpoint of step %d: trainer state: %w", c.Step, err)
		}
		l.round, l.step, l.savedRound, l.pending = s.Round, c.Step, s.Round, s.Pending
		l.Note("going on after step %d", c.Step)
	}
	return l.Run.Rewind(c)
}

func (l *loop) run(ctx context.Context) error {
	l.Meter.Skip()
	if l.pending != nil { // an earlier process was asked to stop while it measured
		out, err := l.pending.outcome(l.step)
		if err != nil {
			return fmt.Errorf("checkpoint of step %d: %w", l.step, err)
		}
		l.Meter.back(l.pending.Seconds)
		if err := l.end(ctx, out); err != nil {
			return err
		}
	}
	for l.round < l.opt.Rounds {
		if l.Stopper.Stopping() {
			return l.stop(ErrInterrupted)
		}
		out, err := l.t.Round(ctx, l.round)
		if errors.Is(err, ErrInterrupted) {
			return l.stop(ErrInterrupted)
		}
		if errors.Is(err, ErrIntact) {
			return l.failed(errors.Join(err, l.checkpoint(false)))
		}
		if err != nil {
			return l.failed(err)
		}
		l.round++
		l.step = out.Step
		if out.Step == 0 {
			l.step = l.round
		}
		if err := l.end(ctx, out); err != nil {
			return err
		}
	}
	return l.checkpoint(false)
}

// end does what comes after a round: measuring, reporting, a checkpoint where one is due.
func (l *loop) end(ctx context.Context, out Outcome) error {
	left := l.opt.Rounds - l.round
	l.Meter.rest = l.Meter.expect(left, l.unmeasured(), l.opt.Items)
	if m, ok := l.t.(Measurer); ok {
		err := m.Measure(ctx, l.round, &out)
		if errors.Is(err, ErrInterrupted) {
			l.pending = pend(out, l.Meter.since())
			return l.stop(ErrInterrupted)
		}
		if errors.Is(err, ErrIntact) {
			l.pending = pend(out, l.Meter.since())
			return l.failed(errors.Join(err, l.checkpoint(false)))
		}
		if err != nil {
			return l.failed(err)
		}
	}
	l.pending = nil
	if err := l.report(out); err != nil {
		return err
	}
	if out.Alarm != "" {
		return l.stop(fmt.Errorf("%w: %s", ErrAlarm, out.Alarm))
	}
	due := l.opt.CheckpointEvery > 0 && l.round%l.opt.CheckpointEvery == 0
	if out.Best || due {
		if err := l.checkpoint(out.Best); err != nil {
			return err
		}
		l.Meter.Skip()
	}
	return nil
}

// unmeasured is how many held-out items will be looked at later on.
func (l *loop) unmeasured() int64 {
	if f, ok := l.t.(Forecaster); ok {
		return f.Unmeasured(l.round)
	}
	return 0
}

func (l *loop) report(out Outcome) error {
	left := l.opt.Rounds - l.round
	speed, seconds, _ := l.Meter.Step(out.Tokens, left)
	eta := l.Meter.expect(left, l.unmeasured(), l.opt.Items)
	metrics := map[string]float64{"tokens_per_second": speed, "seconds": seconds}
	for k, v := range out.Metrics {
		metrics[k] = v
	}
	l.Progress.Step(Status{
		Stage: l.Stage, Step: l.round, Total: l.opt.Rounds, Values: out.Show,
		TokensPerSecond: speed, ETA: eta,
	})
	return l.Log(l.step, metrics)
}

// stop ends the run early, with a checkpoint.
func (l *loop) stop(why error) error {
	if err := l.checkpoint(false); err != nil {
		return errors.Join(why, err)
	}
	return fmt.Errorf("after step %d: %w", l.step, why)
}

// failed says from where the run can go on after an error.
func (l *loop) failed(err error) error {
	if l.Run == nil {
		return err
	}
	return fmt.Errorf("%w; %s", err, l.Run.LastCheckpoint())
}

// checkpoint saves the state after the rounds done, once.
func (l *loop) checkpoint(best bool) error {
	if l.Run == nil || l.savedRound == l.round {
		return nil
	}
	c := run.Checkpoint{Step: l.step, Best: best}
	own, err := l.t.Save()
	if err != nil {
		return fmt.Errorf("checkpoint of step %d: %w", l.step, err)
	}
	s := loopState{Round: l.round, Pending: l.pending}
	if s.State, err = json.Marshal(own); err != nil {
		return fmt.Errorf("checkpoint of step %d: trainer state: %w", l.step, err)
	}
	if c.Trainer, err = json.Marshal(s); err != nil {
		return fmt.Errorf("checkpoint of step %d: trainer state: %w", l.step, err)
	}
	if c.Learner, err = l.Learner.State(); err != nil {
		return fmt.Errorf("checkpoint of step %d: %w", l.step, err)
	}
	if l.AdapterOf != nil {
		if c.Adapter, err = l.AdapterOf(c.Learner); err != nil {
			return fmt.Errorf("checkpoint of step %d: adapter: %w", l.step, err)
		}
	}
	if err := l.Run.Checkpoint(c); err != nil {
		return err
	}
	l.savedRound = l.round
	return nil
}
