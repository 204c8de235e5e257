package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

var (
	bomUTF8    = []byte{0xef, 0xbb, 0xbf}
	bomUTF16LE = []byte{0xff, 0xfe}
	bomUTF16BE = []byte{0xfe, 0xff}
)

const mendCR = `the line ends are single carriage returns (\r): make them line feeds (tr '\r' '\n' < old > new)`

const mendUTF8 = "save the file as UTF-8 (iconv -f LATIN1 -t UTF-8)"

// source is a file being read as text: it knows where it is and makes errors.
type source struct {
	format Format
	path   string
	r      *bufio.Reader
	lim    limits
	line   int // 1-based number of the line last begun
	rows   int
	file   *File
}

func newSource(format Format, path string, lim limits) (*source, error) {
	f, err := openLimited(path, lim.fileBytes)
	if err != nil {
		return nil, err
	}
	s := &source{format: format, path: f.Path, file: f, lim: lim, r: bufio.NewReaderSize(f, 1<<16)}
	head, err := s.r.Peek(3)
	if len(head) == 0 {
		f.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, s.fail(0, "", err)
		}
		return nil, &Error{Format: format, Path: f.Path, Want: "data", Got: "an empty file",
			Mend: "fetch the file again", Err: ErrEmpty}
	}
	if bytes.HasPrefix(head, bomUTF16LE) || bytes.HasPrefix(head, bomUTF16BE) {
		f.Close()
		return nil, &Error{Format: format, Path: f.Path, Line: 1, Want: "UTF-8", Got: "UTF-16",
			Mend: "save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)", Err: ErrNotUTF8}
	}
	start, _ := s.r.Peek(insteadBytes) // fewer where the file is shorter; an error shows on reading
	if err := notInstead(format, f.Path, start); err != nil {
		f.Close()
		return nil, err
	}
	if bytes.HasPrefix(head, bomUTF8) {
		if _, err := s.r.Discard(len(bomUTF8)); err != nil {
			f.Close()
			return nil, s.fail(0, "", err)
		}
	}
	return s, nil
}

func (s *source) close() { s.file.Close() }

// fail wraps a read error.
func (s *source) fail(line int, field string, err error) error {
	return &Error{Format: s.format, Path: s.path, Line: line, Field: field, Err: err}
}

// bad reports a malformed value.
func (s *source) bad(line int, field, want, got string) error {
	return &Error{Format: s.format, Path: s.path, Line: line, Field: field, Want: want, Got: got, Mend: mendRow,
		Err: ErrMalformed}
}

// count guards the number of rows.
func (s *source) count() error {
	s.rows++
	if s.rows > s.lim.rows {
		return &Error{Format: s.format, Path: s.path, Line: s.line, Want: fmt.Sprintf("at most %d rows", s.lim.rows),
			Mend: "split the file", Err: ErrTooLarge}
	}
	return nil
}

// empty is the error of a file without a data row.
func (s *source) empty() error {
	return &Error{Format: s.format, Path: s.path, Want: "at least one data row", Got: "none",
		Mend: "fetch the file again", Err: ErrEmpty}
}

// checkUTF8 names the line and byte of the first bad sequence of a text that
// starts at line.
func (s *source) checkUTF8(line int, text []byte) error {
	if utf8.Valid(text) {
		return nil
	}
	at := 0
	for at < len(text) {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		if text[at] == '\n' {
			line++
		}
		at += n
	}
	return &Error{Format: s.format, Path: s.path, Line: line, Want: "UTF-8", Got: fmt.Sprintf("byte 0x%02x", text[at]),
		Mend: mendUTF8, Err: ErrNotUTF8}
}

// nextLine gives the next line without its line end; io.EOF at the end.
func (s *source) nextLine() ([]byte, error) {
	var line []byte
	s.line++
	for {
		part, err := s.r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > s.lim.recordBytes {
			return nil, &Error{Format: s.format, Path: s.path, Line: s.line,
				Want: fmt.Sprintf("a row of at most %d bytes", s.lim.recordBytes), Mend: mendRow, Err: ErrTooLarge}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(line) == 0 {
				return nil, io.EOF
			}
		case err != nil:
			return nil, s.fail(s.line, "", err)
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		return line, s.checkUTF8(s.line, line)
	}
}

// nextText is the next line that is not blank, without the white space at its ends, and
// counts it as a row. io.EOF after the last.
func (s *source) nextText() (string, error) {
	for {
		raw, err := s.nextLine()
		if err != nil {
			return "", err
		}
		if text := strings.TrimSpace(string(raw)); text != "" {
			return text, s.count()
		}
	}
}

// need reports a missing field of a JSON row; a row that lacks it because it
// belongs to another format is told so.
func (s *source) need(line int, field, want string) error {
	e := s.bad(line, field, want, "nothing").(*Error)
	if s.rows == 1 {
		if other := lookalike(s.path, s.format); other != "" {
			e.Mend, e.Err = other, ErrWrongFormat
		}
	}
	return e
}

func newBufferedReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }
