package main

import (
	"context"
	"io"
	"os"
	"sync"

	"steer/app/jobs"
	"steer/internal/filehash"
	"steer/rl/train"
)

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
