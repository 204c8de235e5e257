package ggml

// OpTime is the time that training steps spent in one kind of op.
type OpTime struct {
	Op      string // as in cgo/native/ops.h, or ggml's name
	Count   int64
	Seconds float64
}

// Profile switches the timing of every op of the model's training steps on or off and
// forgets what was measured. The native layer times none yet.
func (m *Model) Profile(bool) error { return m.do(func() error { return nil }) }

// ProfileTimes is what was measured since profiling was switched on, longest first.
func (m *Model) ProfileTimes() ([]OpTime, error) { return nil, m.do(func() error { return nil }) }
