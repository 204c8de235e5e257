package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"steer/internal/crash"
	"steer/internal/filehash"
	"steer/rl/train"
)

func main() {
	os.Exit(execute(os.Args[1:]))
}

// execute executes a command line and returns the exit code: 0 done, 1 failed, 2 wrong
// usage, 130 interrupted with a checkpoint.
func execute(args []string) (code int) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	defer func() {
		// A panic is a bug of ours; whoever meets it gets a sentence, not a stack, unless asked for.
		if p := crash.Recovered(recover()); p != nil {
			if os.Getenv("STEER_DEBUG") != "" {
				fmt.Fprintf(os.Stderr, "%s\n", p.Stack) // of the goroutine where it happened
				panic(p)
			}
			fmt.Fprintf(os.Stderr, "steer: internal error: %v\nPlease report it; STEER_DEBUG=1 shows where. What was "+
				"checkpointed is intact.\n", p)
			code = 1
		}
	}()
	if dir, err := os.UserCacheDir(); err == nil { // without one, large files are read whenever their hash is needed
		a.hashes = filehash.NewCache(filepath.Join(dir, "steer", "sha256"))
	}
	a.watchSignals()
	root := newRootCommand(a)
	root.SetArgs(args)
	return a.exit(root.ExecuteContext(context.Background()))
}

// watchSignals turns the first Ctrl-C (or SIGTERM, or SIGHUP: the terminal or the connection is
// gone) into a request to stop after the step with a checkpoint, and leaves at once on the second.
// A second SIGHUP is none: the kernel and the shell each send one for the same hang-up. Where
// SIGHUP is ignored (nohup) it stays ignored.
func (a *app) watchSignals() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	// next waits for a signal to act on: an answer of a chat may take Ctrl-C for itself, and once
	// the program is ending a terminal that hangs up too is no wish to leave at once.
	next := func(ending bool) {
		for s := range signals {
			switch {
			case s == os.Interrupt && a.taken(), s == syscall.SIGHUP && ending:
			default:
				return
			}
		}
	}
	go func() {
		next(false)
		a.stopper.Request()
		a.interrupt()
		fmt.Fprintln(a.err,
			"\nstopping (a trainer ends its step and writes a checkpoint first); once more to leave at once")
		next(true)
		os.Exit(train.ExitInterrupted)
	}()
}
