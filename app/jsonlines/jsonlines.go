package jsonlines

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"steer/internal/printable"
	"steer/internal/strictjson"
	"steer/rl/data"
)

// ErrNotJSON is wrapped where a line is no JSON at all: it may be plain text.
var ErrNotJSON = errors.New("want one JSON object a line")

// notJSON is a line that is no JSON.
type notJSON struct{ line []byte }

// Error implements error.
func (e notJSON) Error() string {
	return fmt.Sprintf("%v, got %q", ErrNotJSON, printable.Text(string(e.line), 40))
}

// Unwrap makes it an [ErrNotJSON].
func (e notJSON) Unwrap() error { return ErrNotJSON }

// IsPlainText tells a file of plain text by its name, packed or not.
func IsPlainText(path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst"), ".txt")
}

// Each calls f for every line that is not blank, without its line end. Lines are counted from 1, and
// have to be UTF-8. Errors start with name and tell the line; those of f are given back as they are.
func Each(r io.Reader, name string, f func(line int, text []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), data.MaxRecordBytes)
	n := 0
	for lines.Scan() && lines.Err() == nil { // the line at which reading fails is not whole
		n++
		text := lines.Bytes()
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if !utf8.Valid(text) {
			return fmt.Errorf("%s: line %d: %w: save it as UTF-8 (iconv -f LATIN1 -t UTF-8)", name, n, data.ErrNotUTF8)
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if err := f(n, text); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s: line %d: longer than %d bytes", name, n+1, data.MaxRecordBytes)
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Unmarshal fills v from the JSON object of a line; a line that is no JSON is an [ErrNotJSON].
func Unmarshal(text []byte, v any) error {
	err := strictjson.Unmarshal(text, v)
	var own *strictjson.Error
	if err == nil || errors.As(err, &own) && (own.Field != "" || bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))) {
		return err
	}
	return notJSON{bytes.Clone(text)}
}

// Messages reads the value of a field "messages"; nil where there is none.
func Messages(raw strictjson.Raw) ([]data.Message, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	return data.ParseMessages("messages", raw, nil)
}

// Keys lists the keys of a line's object as errors show them: quoted, in order, eight at most.
func Keys(text []byte) string {
	var keys map[string]strictjson.Raw
	_ = strictjson.Unmarshal(text, &keys) // it was valid before
	var names []string
	for k := range keys {
		names = append(names, fmt.Sprintf("%q", printable.Text(k, 40)))
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(names[:min(len(names), 8)], ", "), "none")
}
