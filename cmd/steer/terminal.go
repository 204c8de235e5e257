package main

import (
	"os"

	"golang.org/x/term"
)

// isTerminal tells whether somebody sits at the other end.
func isTerminal(x any) bool {
	f, ok := x.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
