package train

import (
	"fmt"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/run"
)

// Deps is what every trainer is given besides its configuration and data.
type Deps struct {
	// Stage is shown in progress lines and errors; a trainer has a name for "".
	Stage string
	// Learner is trained; its state at the start is the run's start.
	Learner lm.Learner
	// Run keeps checkpoints, metrics and samples; nil keeps nothing.
	Run *run.Folder
	// Progress shows how it goes; nil is Quiet.
	Progress Progress
	// Stopper asks to stop; nil never does.
	Stopper *Stopper
	// AdapterOf turns the learner's state into the adapter that checkpoints carry; nil
	// writes none.
	AdapterOf func(*lm.State) (*adapter.Adapter, error)
	// Meter times rounds and passes over held-out items; nil: Loop has its own. A trainer
	// that makes passes gives one to Loop and to its passes.
	Meter *Meter
}

// Default fills in what was left out: the name of the stage, a progress that shows nothing and a
// meter.
func (d *Deps) Default(stage string) {
	if d.Stage == "" {
		d.Stage = stage
	}
	if d.Progress == nil {
		d.Progress = Quiet{}
	}
	if d.Meter == nil {
		d.Meter = NewMeter()
	}
}

// Note prints a line of the stage, if there is anybody to see it.
func (d Deps) Note(format string, args ...any) {
	if d.Progress != nil {
		d.Progress.Note(d.Stage + ": " + fmt.Sprintf(format, args...))
	}
}

// Warn prints a line that says "warning", behind the name of the stage.
func (d Deps) Warn(format string, args ...any) { d.Note("warning: "+format, args...) }

// Log writes metrics, if there is a run folder.
func (d Deps) Log(step int64, values map[string]float64) error {
	if d.Run == nil {
		return nil
	}
	return d.Run.Metrics.Log(step, values)
}

// Adapter is the learner's weights as they are, in the form other programs load; nil without
// AdapterOf.
func (d Deps) Adapter() (*adapter.Adapter, error) {
	if d.AdapterOf == nil {
		return nil, nil
	}
	state, err := d.Learner.State()
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	a, err := d.AdapterOf(state)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	return a, nil
}

// SaveAdapter writes the learner's weights as the run's adapter, where there are a run folder and
// AdapterOf.
func (d Deps) SaveAdapter() error {
	if d.Run == nil || d.AdapterOf == nil {
		return nil
	}
	a, err := d.Adapter()
	if err != nil {
		return err
	}
	_, err = d.Run.SaveAdapter(a)
	return err
}
