package traintest

import "steer/rl/train"

// Recorder is a train.Progress that remembers.
type Recorder struct {
	Steps []train.Status
	Notes []string
	// OnStep, where set, is called with every status: where a test asks to stop.
	OnStep func(train.Status)
}

// Step implements train.Progress.
func (r *Recorder) Step(s train.Status) {
	r.Steps = append(r.Steps, s)
	if r.OnStep != nil {
		r.OnStep(s)
	}
}

// Note implements train.Progress.
func (r *Recorder) Note(text string) { r.Notes = append(r.Notes, text) }
