package printable

import (
	"strconv"
	"strings"
	"unicode"
)

// Text is at most n characters of a text on one line; characters that do not print are escaped as
// in Go, and "..." stands for what is cut.
func Text(s string, n int) string {
	var b strings.Builder
	for i, r := range []rune(s) {
		if i == n {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
