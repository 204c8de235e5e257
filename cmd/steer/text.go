package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"steer/internal/bytesize"
)

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

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// relative shortens a path for people, where it lies below the working folder.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}
