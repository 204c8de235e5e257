package main

import (
	"io"
	"os"
	"strings"

	"steer/rl/train"
)

// colorMode says when output is coloured.
type colorMode string

// The modes.
const (
	colorAuto   colorMode = "auto" // on a terminal that is not TERM=dumb, unless NO_COLOR is set
	colorAlways colorMode = "always"
	colorNever  colorMode = "never"
)

// Values implements conf.Enum.
func (colorMode) Values() []string {
	return []string{string(colorAuto), string(colorAlways), string(colorNever)}
}

// palette colours what a stream shows; the zero palette colours nothing.
type palette struct{ on bool }

func newPalette(mode colorMode, w io.Writer) palette {
	switch mode {
	case colorAlways:
		return palette{true}
	case colorNever:
		return palette{}
	}
	// https://no-color.org: any value but the empty one asks for none.
	return palette{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// SGR sequences of ECMA-48.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"

	// Of steer data render: what is learned from, a special token, and both.
	learned     = "\x1b[32m"
	mark        = "\x1b[2;36m"
	learnedMark = "\x1b[1;32;4m"
)

func (p palette) paint(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return code + text + plain
}

func (p palette) heading(text string) string { return p.paint(bold, text) }
func (p palette) warning(text string) string { return p.paint(yellow, text) }
func (p palette) failure(text string) string { return p.paint(red, text) }

// note colours the word of a note that warns.
func (p palette) note(text string) string {
	if !p.on || !train.IsWarning(text) {
		return text
	}
	before, after, _ := strings.Cut(text, "warning:")
	return before + p.warning("warning:") + after
}
