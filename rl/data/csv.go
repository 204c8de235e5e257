package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// csvReader reads RFC 4180 records. It differs from encoding/csv on purpose: a
// CRLF inside a quoted field stays a CRLF (encoding/csv makes it LF, which
// would change what a tokenizer sees), and records are bounded in size.
type csvReader struct {
	*source
	comma byte
	start int // line on which the last record started
	lines []int
}

func newCSV(format Format, path string, comma byte, lim limits) (*csvReader, error) {
	s, err := newSource(format, path, lim)
	if err != nil {
		return nil, err
	}
	s.line = 1
	return &csvReader{source: s, comma: comma}, nil
}

// next gives the next record, or io.EOF. c.start is the line it starts on and
// c.lines[i] the line field i starts on. Blank lines between records are skipped.
func (c *csvReader) next() ([]string, error) {
	for {
		record, err := c.record()
		if err != nil {
			return nil, err
		}
		if len(record) == 1 && record[0] == "" {
			continue
		}
		return record, nil
	}
}

func (c *csvReader) record() ([]string, error) {
	if _, err := c.r.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, c.fail(c.line, "", err)
	}
	c.start, c.lines = c.line, c.lines[:0]
	var fields []string
	size := 0
	for {
		c.lines = append(c.lines, c.line)
		at := c.line
		text, last, err := c.field(&size)
		if err != nil {
			return nil, err
		}
		if err := c.checkUTF8(at, text); err != nil {
			return nil, err
		}
		fields = append(fields, string(text))
		if last {
			return fields, nil
		}
	}
}

// The places a field can be in.
const (
	atStart  = iota // nothing read yet: a quote opens a quoted field
	inBare          // unquoted text
	inQuotes        // between quotes
	closed          // after the closing quote: only a separator may follow
)

// field reads one field and its separator; last says that the record ends.
func (c *csvReader) field(size *int) (text []byte, last bool, err error) {
	begin, state := c.line, atStart
	for {
		b, err := c.r.ReadByte()
		if errors.Is(err, io.EOF) {
			if state == inQuotes {
				return nil, false, c.bad(begin, "", "a closing quote", "the end of the file")
			}
			return text, true, nil
		}
		if err != nil {
			return nil, false, c.fail(c.line, "", err)
		}
		if *size++; *size > c.lim.recordBytes {
			return nil, false, &Error{Format: c.format, Path: c.path, Line: begin,
				Want: fmt.Sprintf("a record of at most %d bytes", c.lim.recordBytes),
				Mend: "look for an unclosed quote near this line", Err: ErrTooLarge}
		}
		switch {
		case state == inQuotes && b == '"' && peekIs(c.r, '"'):
			if _, err := c.r.Discard(1); err != nil {
				return nil, false, c.fail(c.line, "", err)
			}
			text = append(text, '"')
		case state == inQuotes && b == '"':
			state = closed
		case state == inQuotes:
			if b == '\n' {
				c.line++
			}
			text = append(text, b)
		case b == c.comma:
			return text, false, nil
		case b == '\n':
			c.line++
			return text, true, nil
		case b == '\r' && peekIs(c.r, '\n'):
			// the CR of a CRLF that ends the record
		case b == '\r' && state != inQuotes:
			return nil, false, &Error{Format: c.format, Path: c.path, Line: c.line,
				Want: "lines that end in a line feed, and carriage returns only inside quotes",
				Got:  "a single carriage return after " + quote(string(text)), Mend: mendCR, Err: ErrMalformed}
		case state == atStart && b == '"':
			state = inQuotes
		case b == '"' || state == closed:
			return nil, false, c.bad(c.line, "", "quotes only around a whole field, and doubled inside it",
				quote(string(append(text, b))))
		default:
			state = inBare
			text = append(text, b)
		}
	}
}

func peekIs(r *bufio.Reader, want byte) bool {
	next, err := r.Peek(1)
	return err == nil && next[0] == want
}

// header reads the first record and checks it against want, exactly.
func (c *csvReader) header(want ...string) error {
	got, err := c.next()
	if errors.Is(err, io.EOF) {
		return c.empty()
	}
	if err != nil {
		return err
	}
	if slices.Equal(got, want) {
		return nil
	}
	e := &Error{Format: c.format, Path: c.path, Line: c.start, Field: "header",
		Want: quote(strings.Join(want, string(c.comma))), Got: quote(strings.Join(got, string(c.comma))),
		Mend: "put back the header line of the release", Err: ErrWrongFormat}
	if other := lookalike(c.path, c.format); other != "" {
		e.Mend = other
	}
	return e
}

// each calls row for every record, having checked its number of fields.
func (c *csvReader) each(columns int, row func(line int, fields []string) error) error {
	for {
		fields, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := c.count(); err != nil {
			return err
		}
		if len(fields) != columns {
			e := &Error{Format: c.format, Path: c.path, Line: c.start, Want: fmt.Sprintf("%d columns", columns),
				Got: fmt.Sprint(len(fields)), Mend: mendRow, Err: ErrMalformed}
			if c.rows == 1 {
				if other := lookalike(c.path, c.format); other != "" {
					e.Mend, e.Err = other, ErrWrongFormat
				}
			}
			return e
		}
		if err := row(c.start, fields); err != nil {
			return err
		}
	}
	if c.rows == 0 {
		return c.empty()
	}
	return nil
}

// binary reads a 0/1 label from field i of the last record.
func (c *csvReader) binary(fields []string, i int, name string) (int, error) {
	switch fields[i] {
	case "0":
		return 0, nil
	case "1":
		return 1, nil
	}
	return 0, c.bad(c.lines[i], name, "0 or 1", quote(fields[i]))
}

// text insists that field i is not blank.
func (c *csvReader) text(fields []string, i int, name string) (string, error) {
	if strings.TrimSpace(fields[i]) == "" {
		return "", c.bad(c.lines[i], name, "text", quote(fields[i]))
	}
	return fields[i], nil
}
