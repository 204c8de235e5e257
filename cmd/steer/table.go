package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// tableColumns is the widest line of a table.
const tableColumns = 80

// table prints names and values in two columns; long values go on below themselves.
type table struct{ rows [][2]string }

func (t *table) add(name, format string, args ...any) {
	t.rows = append(t.rows, [2]string{name, fmt.Sprintf(format, args...)})
}

func (t *table) write(w io.Writer) error {
	width := 0
	for _, r := range t.rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	var b strings.Builder
	for _, r := range t.rows {
		name := r[0]
		for _, line := range wrap(r[1], tableColumns-width-2) {
			fmt.Fprintf(&b, "%s%s  %s\n", name, strings.Repeat(" ", width-utf8.RuneCountInString(name)), line)
			name = ""
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap cuts a text into lines of at most width characters, between words where it can.
func wrap(s string, width int) []string {
	var lines []string
	rest := []rune(s)
	for len(rest) > width {
		at := width
		for at > 0 && rest[at] != ' ' {
			at--
		}
		if at == 0 { // one long word
			lines, rest = append(lines, string(rest[:width])), rest[width:]
			continue
		}
		lines, rest = append(lines, string(rest[:at])), rest[at+1:]
	}
	return append(lines, string(rest))
}
