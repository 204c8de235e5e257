package train

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrDiskFull: a write found no room. What was complete before is intact.
var ErrDiskFull = errors.New("disk full")

// explain adds what a failed write means for the run to its error.
func (r *Run) explain(path string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w writing %s (%w); nothing was lost: %s; make room and give the same command again",
			ErrDiskFull, path, err, r.lastCheckpoint())
	}
	return fmt.Errorf("writing %s: %w; %s", path, err, r.lastCheckpoint())
}

func (r *Run) lastCheckpoint() string {
	steps, err := r.steps()
	if err != nil || len(steps) == 0 {
		return "there was no checkpoint yet"
	}
	return fmt.Sprintf("the last checkpoint is step %d", steps[0])
}
