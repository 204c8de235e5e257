package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Table is a file of rows with named fields, read for what it is: the data of a user's
// own task.
type Table struct {
	Path   string // as found
	Format Format // one of TableFormats
	Rows   []Row
}

// Row is one row. Values are nil, bool, int, float64, string, []any and map[string]any.
type Row struct {
	Line   int // 1-based line where the row starts; of parquet, the row's number
	Fields map[string]any
}

// The formats of tables.
const (
	TableJSON    Format = "json"  // one array of objects
	TableJSONL   Format = "jsonl" // an object a line
	TableCSV     Format = "csv"   // with a header line
	TableTSV     Format = "tsv"
	TableParquet Format = "parquet"
)

// TableFormats lists them.
func TableFormats() []Format {
	return []Format{TableJSON, TableJSONL, TableCSV, TableTSV, TableParquet}
}

// ReadTable reads a table. An empty format, or "auto", goes by the ending of the file's
// name (before .gz and .zst); ".json" is read as one array or as an object a line,
// whichever it is.
//
// Fields of CSV and TSV are text, but for columns all of whose values are whole numbers
// (without leading zeros), all numbers, or all True and False: those become int, float64
// and bool, as the readers of Python's datasets make them.
func ReadTable(path string, format Format) (*Table, error) {
	found, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	if format == "" || format == FormatAuto {
		if format, err = tableFormat(found); err != nil {
			return nil, err
		}
	}
	t := &Table{Path: found, Format: format}
	switch format {
	case TableJSON, TableJSONL:
		t.Rows, err = readTableJSON(found, format)
	case TableCSV:
		t.Rows, err = readTableCSV(found, format, ',')
	case TableTSV:
		t.Rows, err = readTableCSV(found, format, '\t')
	case TableParquet:
		t.Rows, err = readTableParquet(found)
	default:
		return nil, fmt.Errorf("data: %s: format %q: want one of %v", found, format, TableFormats())
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func tableFormat(path string) (Format, error) {
	name := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
	ext := Format(strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), "."))
	switch {
	case ext == "ndjson":
		return TableJSONL, nil
	case slices.Contains(TableFormats(), ext):
		return ext, nil
	}
	return "", fmt.Errorf("data: %s: %w: the name ends in none of %v: name the format", path, ErrUnknownFormat, TableFormats())
}

// readTableJSON reads an array of objects, or an object a line.
func readTableJSON(path string, format Format) ([]Row, error) {
	s, err := newSource(format, path, defaultLimits())
	if err != nil {
		return nil, err
	}
	defer s.close()
	if format == TableJSON {
		head, err := s.r.Peek(1 << 12)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, s.fail(0, "", err)
		}
		if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("[")) {
			return s.jsonArray()
		}
	}
	var rows []Row
	for {
		text, err := s.nextLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if err := s.count(); err != nil {
			return nil, err
		}
		fields, err := decodeFields(json.NewDecoder(bytes.NewReader(text)), true)
		if err != nil {
			return nil, s.badRow(s.line, text, err)
		}
		rows = append(rows, Row{Line: s.line, Fields: fields})
	}
	if len(rows) == 0 {
		return nil, s.empty()
	}
	return rows, nil
}

func (s *source) badRow(line int, text []byte, err error) error {
	want := "a JSON object a line"
	if s.format == TableJSON {
		want = "an array of JSON objects, or an object a line"
	}
	return &Error{Format: s.format, Path: s.path, Line: line, Want: want, Got: quote(string(text)), Mend: mendRow, Err: fmt.Errorf("%w: %w", ErrMalformed, err)}
}

// jsonArray reads the rest of the source as one array.
func (s *source) jsonArray() ([]Row, error) {
	body, err := io.ReadAll(s.r)
	if err != nil {
		return nil, s.fail(0, "", err)
	}
	if err := s.checkUTF8(1, body); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return nil, s.badRow(1, body[:min(len(body), 80)], err)
	}
	line, counted := 1, 0
	var rows []Row
	for dec.More() {
		at := int(dec.InputOffset())
		at += len(body[at:]) - len(bytes.TrimLeft(body[at:], ", \t\r\n"))
		line += bytes.Count(body[counted:at], []byte("\n"))
		counted = at
		if err := s.count(); err != nil {
			return nil, err
		}
		fields, err := decodeFields(dec, false)
		if err != nil {
			return nil, s.badRow(line, body[at:min(len(body), at+80)], err)
		}
		rows = append(rows, Row{Line: line, Fields: fields})
	}
	if _, err := dec.Token(); err != nil {
		return nil, s.badRow(line, body[max(0, len(body)-40):], fmt.Errorf("the array does not end: %w", err))
	}
	if len(rows) == 0 {
		return nil, s.empty()
	}
	return rows, nil
}

// decodeFields reads one object; alone refuses anything after it.
func decodeFields(dec *json.Decoder, alone bool) (map[string]any, error) {
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("null is no object")
	}
	if alone {
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("more after the object")
		}
	}
	v, err := plainJSON(fields)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

// plainJSON makes numbers int where they are written without fraction and exponent.
func plainJSON(v any) (any, error) {
	var err error
	switch x := v.(type) {
	case json.Number:
		if !strings.ContainsAny(x.String(), ".eE") {
			if i, err := x.Int64(); err == nil {
				return int(i), nil
			}
		}
		return x.Float64()
	case []any:
		for i := range x {
			if x[i], err = plainJSON(x[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range x {
			if x[k], err = plainJSON(x[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
