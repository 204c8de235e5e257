package train

import (
	"errors"
	"sync"
)

// ErrInterrupted is returned by a trainer that was asked to stop and did so with a
// checkpoint: the same command goes on from there. A program that gets it exits with
// ExitInterrupted.
var ErrInterrupted = errors.New("stopped as asked; the same command goes on from the checkpoint")

// ExitInterrupted is the exit status of an interrupted run (128 + SIGINT).
const ExitInterrupted = 130

// Stopper carries a request to stop gracefully. The command turns the first Ctrl-C
// into Request, after which the trainer finishes the step, writes a checkpoint and
// returns ErrInterrupted. On the second it leaves at once with ExitInterrupted: what is
// on disk is whole at every moment, so nothing needs to be undone.
//
// A nil *Stopper never stops. All methods may be called from any goroutine.
type Stopper struct {
	once sync.Once
	ch   chan struct{}
}

// NewStopper returns a Stopper that was not asked yet.
func NewStopper() *Stopper { return &Stopper{ch: make(chan struct{})} }

// Request asks for the stop; later calls change nothing.
func (s *Stopper) Request() { s.once.Do(func() { close(s.ch) }) }

// Stop is closed once a stop is asked for.
func (s *Stopper) Stop() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.ch
}

// Stopping reports whether a stop was asked for.
func (s *Stopper) Stopping() bool {
	select {
	case <-s.Stop():
		return true
	default:
		return false
	}
}
