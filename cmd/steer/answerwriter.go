package main

import (
	"fmt"
	"io"
)

// answerWriter writes an answer as it comes.
type answerWriter struct {
	w   io.Writer
	err error // of writing
}

// show writes more of the answer.
func (a *answerWriter) show(text string) error {
	_, a.err = io.WriteString(a.w, text)
	return a.err
}

// end ends the line of an answer that was made, or gives the error of making it with the command's name
// before it. An error of writing has none.
func (a *answerWriter) end(err error, command string) error {
	switch {
	case a.err != nil:
		return a.err
	case err != nil:
		return fmt.Errorf("%s: %w", command, err)
	}
	return a.show("\n")
}
