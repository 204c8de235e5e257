package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"steer/app/experiment"
	"steer/ggml/modelfile"
	"steer/internal/conf"
	"steer/internal/hub"
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

// configError marks mistakes in a configuration as wrong usage. A missing file is a failure, and so is a
// model that is not one to train.
func configError(err error) error {
	var c *conf.Error
	missing := errors.Is(err, fs.ErrNotExist) && !errors.As(err, &c)
	if err == nil || missing || errors.Is(err, modelfile.ErrUnsupported) {
		return err
	}
	return usage(err)
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
	var name *hub.NameError
	switch {
	case errors.Is(err, train.ErrInterrupted):
		a.say(err.Error())
		return train.ExitInterrupted
	case interrupted && errors.Is(err, context.Canceled):
		a.say("interrupted")
		return train.ExitInterrupted
	case errors.As(err, &usage), errors.As(err, &name), strings.HasPrefix(err.Error(), "unknown command"),
		strings.HasPrefix(err.Error(), "unknown flag"):
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
