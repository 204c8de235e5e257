package data

import (
	"errors"
	"io"
	"strings"
)

// ReadText reads a whole file as UTF-8 text, byte for byte but for a byte order mark
// at its beginning.
func ReadText(path string) (string, error) {
	s, err := newSource(FormatText, path, defaultLimits())
	if err != nil {
		return "", err
	}
	defer s.close()
	body, err := io.ReadAll(s.r)
	if err != nil {
		return "", s.fail(0, "", err)
	}
	if err := s.checkUTF8(1, body); err != nil {
		return "", err
	}
	if strings.TrimSpace(string(body)) == "" {
		return "", &Error{Format: FormatText, Path: s.path, Want: "text", Got: "white space only",
			Mend: "name another file", Err: ErrEmpty}
	}
	return string(body), nil
}

// TextLine is one line of a text file.
type TextLine struct {
	Line int
	Text string
}

// ReadLines reads a text file line by line, blank lines left out and white space at the
// ends of lines cut off. The two characters "\n" inside a line become a line end: this
// is how the ToxiGen prompts ("- a\n- b\n-") are released.
func ReadLines(path string) ([]TextLine, error) {
	s, err := newSource(FormatText, path, defaultLimits())
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []TextLine
	for {
		text, err := s.nextText()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		out = append(out, TextLine{Line: s.line, Text: strings.ReplaceAll(text, `\n`, "\n")})
	}
	if len(out) == 0 {
		return nil, s.empty()
	}
	return out, nil
}
