package ggml

import (
	"slices"
)

// OpTime is the time that training steps spent in one kind of op.
type OpTime struct {
	Op      string // as in cgo/native/ops.h, or ggml's name
	Count   int64
	Seconds float64
}

// Profile switches the timing of every op of the model's training steps on or off and
// forgets what was measured. While it is on, nodes run one by one, which costs some
// microseconds each.
func (m *Model) Profile(on bool) error {
	return m.do(func() error { m.scratch.Profile(on); return nil })
}

// ProfileTimes is what was measured since profiling was switched on, longest first.
func (m *Model) ProfileTimes() ([]OpTime, error) {
	var out []OpTime
	err := m.do(func() error {
		for _, t := range m.scratch.ProfileTimes() {
			out = append(out, OpTime(t))
		}
		return nil
	})
	slices.SortFunc(out, func(a, b OpTime) int {
		switch {
		case a.Seconds > b.Seconds:
			return -1
		case a.Seconds < b.Seconds:
			return 1
		}
		return 0
	})
	return out, err
}
