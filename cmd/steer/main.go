// Command steer steers language models by ethics, and measures honestly whether it worked.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"steer/internal/crash"
	"steer/rl/train"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run executes a command line and returns the exit code: 0 done, 1 failed, 2 wrong
// usage, 130 interrupted with a checkpoint.
func run(args []string) (code int) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	defer func() {
		// A panic is a bug of ours; whoever meets it gets a sentence, not a stack, unless asked for.
		if p := crash.Recovered(recover()); p != nil {
			if os.Getenv("STEER_DEBUG") != "" {
				fmt.Fprintf(os.Stderr, "%s\n", p.Stack) // of the goroutine where it happened
				panic(p)
			}
			fmt.Fprintf(os.Stderr, "steer: internal error: %v\nPlease report it; STEER_DEBUG=1 shows where. What was checkpointed is intact.\n", p)
			code = 1
		}
	}()
	a.watchSignals()
	root := newRootCommand(a)
	root.SetArgs(args)
	return a.exit(root.ExecuteContext(context.Background()))
}

// watchSignals turns the first Ctrl-C (or SIGTERM) into a request to stop after the
// step with a checkpoint, and leaves at once on the second.
func (a *app) watchSignals() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		a.stopper.Request()
		a.interrupt()
		fmt.Fprintln(a.err, "\nstopping (a trainer ends its step and writes a checkpoint first); once more to leave at once")
		<-signals
		os.Exit(train.ExitInterrupted)
	}()
}
