package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"steer/cmd/steer/pipeline"
	"steer/internal/filehash"
	"steer/rl/train"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a mistake in how the command was called or configured: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// app is what all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	stopper  *train.Stopper
	hashes   *filehash.Cache // of models; nil in tests

	mu         sync.Mutex
	cancels    []context.CancelFunc
	interruptd bool
	// takesInterrupt is asked first; nil: nobody.
	takesInterrupt func() bool
}

func newApp(in io.Reader, out, err io.Writer) *app {
	return &app{in: in, out: out, err: err, stopper: train.NewStopper()}
}

// cancellable returns a context that the first Ctrl-C ends, for jobs without
// checkpoints (evaluation, scoring, generation).
func (a *app) cancellable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancels = append(a.cancels, cancel)
	return ctx, cancel
}

// onInterrupt lets f have every Ctrl-C before the program ends by it, until restore is
// called; f tells whether it was meant for it.
func (a *app) onInterrupt(f func() (taken bool)) (restore func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takesInterrupt = f
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.takesInterrupt = nil
	}
}

// taken offers a Ctrl-C to whoever wants it.
func (a *app) taken() bool {
	a.mu.Lock()
	f := a.takesInterrupt
	a.mu.Unlock()
	return f != nil && f()
}

func (a *app) interrupt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interruptd = true
	for _, cancel := range a.cancels {
		cancel()
	}
}

// console is where a stage shows itself.
func (a *app) console() pipeline.Console {
	f, ok := a.err.(*os.File)
	return pipeline.Console{
		Progress: train.NewProgress(a.err, ok && term.IsTerminal(int(f.Fd()))),
		Stopper:  a.stopper,
		Out:      a.out,
		Version:  version,
		Hashes:   a.hashes,
		Command:  append([]string{"steer"}, os.Args[1:]...),
	}
}

// exit prints an error and gives its exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return 0
	}
	a.mu.Lock()
	interrupted := a.interruptd
	a.mu.Unlock()
	var usage usageError
	switch {
	case errors.Is(err, train.ErrInterrupted):
		fmt.Fprintf(a.err, "steer: %v\n", err)
		return train.ExitInterrupted
	case interrupted && errors.Is(err, context.Canceled):
		fmt.Fprintln(a.err, "steer: interrupted")
		return train.ExitInterrupted
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "unknown flag"):
		fmt.Fprintf(a.err, "steer: %v\n", err)
		return exitUsage
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprintf(a.err, "steer: %v\nCheck the owner and mode of that file or folder.\n", err)
		return exitFailure
	}
	fmt.Fprintf(a.err, "steer: %v\n", err)
	return exitFailure
}
