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

	"steer/internal/experiment"
	"steer/internal/filehash"
	"steer/internal/jobs"
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

	global              globalFlags
	palette, outPalette palette // of err and out
	progress            train.Progress
	log                 *logFile // nil without --log-file

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
	a.log.write("asked to stop")
}

// console is where a stage shows itself.
func (a *app) console() jobs.Console {
	if a.progress == nil { // nothing was read from a command line
		a.progress = a.newProgress()
	}
	return jobs.Console{
		Progress: a.progress,
		Stopper:  a.stopper,
		Out:      a.out,
		Version:  version,
		Hashes:   a.hashes,
		Command:  append([]string{"steer"}, os.Args[1:]...),
	}
}

// exit prints an error and gives its exit code.
func (a *app) exit(err error) (code int) {
	defer func() { a.endLog(code) }()
	if err == nil {
		return 0
	}
	a.mu.Lock()
	interrupted := a.interruptd
	a.mu.Unlock()
	var usage usageError
	switch {
	case errors.Is(err, train.ErrInterrupted):
		a.say(err.Error())
		return train.ExitInterrupted
	case interrupted && errors.Is(err, context.Canceled):
		a.say("interrupted")
		return train.ExitInterrupted
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "unknown flag"):
		a.say(err.Error())
		return exitUsage
	case errors.Is(err, fs.ErrPermission):
		a.say(err.Error() + "\nCheck the owner and mode of that file or folder.")
		return exitFailure
	}
	text := err.Error()
	var told *experiment.SourcesError
	if sources := experiment.WithSources(err); !errors.As(err, &told) && errors.As(sources, &told) {
		for i, s := range told.Sets {
			text += fmt.Sprintf("\n%q fetches it, from %s", told.Command(i), s.Source())
		}
	}
	a.say(text)
	return exitFailure
}
