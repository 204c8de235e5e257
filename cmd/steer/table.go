package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"steer/internal/bytesize"
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

// grouped prints an integer with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// bytesText prints a size exactly and for people.
func bytesText(n int64) string {
	if n < 1000 {
		return bytesize.Precise(n)
	}
	return fmt.Sprintf("%s bytes (%s)", grouped(n), bytesize.Precise(n))
}

// choose is yes or no, depending on c.
func choose(c bool, yes, no string) string {
	if c {
		return yes
	}
	return no
}
