package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"

	"steer/internal/ordered"
	"steer/internal/strictjson"
)

// maxArrayBytes bounds a file that is one JSON array and is read as a whole.
const maxArrayBytes = 1 << 30

// eachJSON calls row for every JSON row of a file and the line on which it begins. The
// rows may stand one a line, be laid out over several lines, be the elements of one array,
// or be those of a parquet file.
func eachJSON(format Format, path string, lim limits, row func(s *source, line int, text []byte) error) error {
	s, err := newSource(format, path, lim)
	if err != nil {
		return err
	}
	defer s.close()
	head, err := s.r.Peek(1 << 12)
	if err != nil && !errors.Is(err, io.EOF) {
		return s.fail(0, "", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return s.parquetRows(row)
	case bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("[")):
		err = s.arrayRows(row)
	default:
		err = s.lineRows(row)
	}
	if err == nil && s.rows == 0 {
		err = s.empty()
	}
	return err
}

// lineRows reads an object a line, or one over several lines.
func (s *source) lineRows(row func(s *source, line int, text []byte) error) error {
	for {
		text, err := s.nextLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if err := s.count(); err != nil {
			return err
		}
		line := s.line
		if text, err = s.wholeRow(text); err != nil {
			return err
		}
		if err := row(s, line, text); err != nil {
			return err
		}
	}
}

// wholeRow gives the row that begins with a line: that line, or, where an object does not
// end on it, the lines up to its end.
func (s *source) wholeRow(text []byte) ([]byte, error) {
	begin := s.line
	err := strictjson.Check(text)
	if err == nil {
		return text, nil
	}
	var open nesting
	open.read(text)
	if !errors.Is(err, io.ErrUnexpectedEOF) || open.inText || bytes.TrimSpace(text)[0] != '{' {
		return nil, s.jsonError(begin, text, err)
	}
	for open.depth > 0 && !open.inText {
		next, err := s.nextLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		open.read(next)
		text = append(append(text, '\n'), next...)
		if len(text) > s.lim.recordBytes {
			break
		}
	}
	if err = strictjson.Check(text); err == nil {
		return text, nil
	}
	if first, rest, _ := bytes.Cut(text, []byte("\n")); bytes.HasPrefix(bytes.TrimSpace(rest), []byte("{")) {
		// Another row follows, so this one is meant to end on its line, and does not.
		return nil, s.jsonError(begin, first, strictjson.Check(first))
	}
	if len(text) > s.lim.recordBytes && errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, s.tooLong(begin)
	}
	return nil, s.jsonError(begin, text, err)
}

func (s *source) tooLong(line int) error {
	return &Error{Format: s.format, Path: s.path, Line: line, Want: fmt.Sprintf("a row of at most %d bytes",
		s.lim.recordBytes), Mend: mendRow, Err: ErrTooLarge}
}

// nesting follows how deep in objects and lists a JSON text is.
type nesting struct {
	depth           int
	inText, escaped bool
}

func (n *nesting) read(text []byte) {
	for _, c := range text {
		switch {
		case n.escaped:
			n.escaped = false
		case n.inText && c == '\\':
			n.escaped = true
		case c == '"':
			n.inText = !n.inText
		case n.inText:
		case c == '{' || c == '[':
			n.depth++
		case c == '}' || c == ']':
			n.depth--
		}
	}
}

// arrayRows reads the rest of the source as one array.
func (s *source) arrayRows(row func(s *source, line int, text []byte) error) error {
	body, err := io.ReadAll(io.LimitReader(s.r, maxArrayBytes+1))
	if err != nil {
		return s.fail(0, "", err)
	}
	if len(body) > maxArrayBytes {
		return &Error{Format: s.format, Path: s.path, Want: fmt.Sprintf("at most %d bytes of one array", maxArrayBytes),
			Mend: "write a row a line (JSONL)", Err: ErrTooLarge}
	}
	if err := s.checkUTF8(1, body); err != nil {
		return err
	}
	line, counted := 1, 0
	err = strictjson.Array(body, func(at int, text strictjson.Raw) error {
		line += bytes.Count(body[counted:at], []byte("\n"))
		counted, s.line = at, line
		if len(text) > s.lim.recordBytes {
			return s.tooLong(line)
		}
		if err := s.count(); err != nil {
			return err
		}
		return row(s, line, text)
	})
	var broken *strictjson.Error
	if errors.As(err, &broken) {
		at := broken.Line(body)
		from := bytes.LastIndexByte(body[:min(broken.Offset, len(body))], '\n') + 1
		e := s.jsonError(1, body[from:], err).(*Error)
		e.Line, e.Want = at, "one array of JSON objects, or an object a line"
		if errors.Is(err, io.ErrUnexpectedEOF) {
			e.Mend = "the array does not end: fetch the file again"
		}
		return e
	}
	return err
}

// parquetRows gives the rows of a parquet file as JSON.
func (s *source) parquetRows(row func(s *source, line int, text []byte) error) error {
	f, err := openParquet(s.path, s.format)
	if err != nil {
		return err
	}
	return f.each(0, func(number int, fields *ordered.Map) error {
		s.line = number
		if err := s.count(); err != nil {
			return err
		}
		text, err := marshalJSON(fields)
		if err != nil {
			return s.fail(number, "", err)
		}
		return row(s, number, text)
	})
}

// marshalJSON writes the values of a Row as JSON, keys in their order.
func marshalJSON(v any) ([]byte, error) {
	switch x := v.(type) {
	case *ordered.Map:
		b := []byte{'{'}
		for k, e := range x.All() {
			if len(b) > 1 {
				b = append(b, ',')
			}
			key, err := json.Marshal(k)
			if err != nil {
				return nil, err
			}
			value, err := marshalJSON(e)
			if err != nil {
				return nil, err
			}
			b = append(append(append(b, key...), ':'), value...)
		}
		return append(b, '}'), nil
	case []any:
		b := []byte{'['}
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			value, err := marshalJSON(e)
			if err != nil {
				return nil, err
			}
			b = append(b, value...)
		}
		return append(b, ']'), nil
	}
	return json.Marshal(v)
}

// readJSONLines calls row for every row of a file, decoded into a fresh T. Keys match
// exactly, and a key that is given twice is an error; keys that T does not have are passed
// over, since releases add fields over time.
func readJSONLines[T any](format Format, path string, lim limits, row func(s *source, line int, v *T) error) error {
	return eachJSON(format, path, lim, func(s *source, line int, text []byte) error {
		v := new(T)
		if err := strictjson.Unmarshal(text, v); err != nil {
			return s.jsonError(line, text, err)
		}
		return row(s, line, v)
	})
}

// jsonError is rowError that also looks whether the file is of another format.
func (s *source) jsonError(line int, text []byte, err error) error {
	e := s.rowError(line, text, err)
	var own *Error
	first := bytes.TrimLeft(text, " \t\r\n")
	if errors.As(e, &own) && own.Field == "" && len(first) > 0 && first[0] != '{' {
		if other := lookalike(s.path, s.format); other != "" {
			own.Mend, own.Err = other, ErrWrongFormat
		}
	}
	return e
}

// rowError turns an error on a row that begins at line into one that names the field.
func (s *source) rowError(line int, text []byte, err error) error {
	var own *strictjson.Error
	if !errors.As(err, &own) {
		return s.fail(line, "", err)
	}
	e := &Error{Format: s.format, Path: s.path, Line: line + own.Line(text) - 1, Field: own.Field, Mend: mendRow,
		Err: ErrMalformed}
	if own.Mend != "" {
		e.Mend = own.Mend + ", or delete this row"
	}
	if errors.Is(own, strictjson.ErrType) && own.Field != "" {
		e.Want, e.Got = own.Want, own.Got
		return e
	}
	e.Err = fmt.Errorf("%w: %s", ErrMalformed, own.Cause())
	switch {
	case errors.Is(own, strictjson.ErrMore) && bytes.ContainsRune(text[:min(own.Offset+1, len(text))], '\r'):
		e.Want, e.Mend = "one JSON object a line", mendCR
	case errors.Is(own, io.ErrUnexpectedEOF):
		e.Field, e.Want, e.Got = "", "one JSON object a line",
			quote(strings.ToValidUTF8(string(text[:min(len(text), 300)]), "�"))
	case errors.Is(own, strictjson.ErrTwice), errors.Is(own, strictjson.ErrSurrogate):
	case errors.Is(own, strictjson.ErrUTF8):
		e.Err, e.Want, e.Got, e.Mend = ErrNotUTF8, "UTF-8", own.Got, mendUTF8
	default:
		e.Want, e.Got = "one JSON object a line", quote(strings.ToValidUTF8(string(text[:min(len(text), 300)]), "�"))
	}
	return e
}
