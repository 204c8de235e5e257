package main

import "io"

// headings shows text in which the first line of every block but the first, behind an empty line,
// is a heading.
type headings struct {
	w       io.Writer
	palette palette
	line    []byte // begun
	blank   bool   // the line before was empty
	begun   bool   // something was shown
}

// Write implements io.Writer.
func (h *headings) Write(text []byte) (int, error) {
	for _, c := range text {
		if h.line = append(h.line, c); c != '\n' {
			continue
		}
		line := string(h.line[:len(h.line)-1])
		h.line = h.line[:0]
		if h.blank && h.begun {
			line = h.palette.heading(line)
		}
		h.blank = line == ""
		h.begun = h.begun || line != ""
		if _, err := io.WriteString(h.w, line+"\n"); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}

// headed is standard output for text with headings.
func (a *app) headed() io.Writer {
	if !a.outPalette.on {
		return a.out
	}
	return &headings{w: a.out, palette: a.outPalette}
}
