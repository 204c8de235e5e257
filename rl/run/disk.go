package run

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrDiskFull: a write found no room. What was complete before is intact.
var ErrDiskFull = errors.New("disk full")

// DiskFull says of a write that found no room what it means: kept is what is on disk all the same.
// Other errors, and those that say so already, pass as they are.
func DiskFull(err error, kept string) error {
	if err == nil || errors.Is(err, ErrDiskFull) || !noRoom(err) {
		return err
	}
	return fmt.Errorf("%w: %w; nothing was lost: %s; make room and give the same command again",
		ErrDiskFull, err, kept)
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// explain adds what a failed write means for the run to its error.
func (r *Folder) explain(path string, err error) error {
	if err == nil {
		return nil
	}
	if noRoom(err) {
		return fmt.Errorf("%w writing %s (%w); nothing was lost: %s; make room and give the same command again",
			ErrDiskFull, path, err, r.LastCheckpoint())
	}
	return fmt.Errorf("writing %s: %w; %s", path, err, r.LastCheckpoint())
}

func (r *Folder) LastCheckpoint() string {
	if r.opt.Stage == StageEval {
		return "every finished measurement is kept"
	}
	steps, err := r.steps()
	if err != nil || len(steps) == 0 {
		return "there was no checkpoint yet"
	}
	return fmt.Sprintf("the last checkpoint is step %d", steps[0])
}
