package data

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"steer/internal/ordered"
	"steer/internal/strictjson"
)

// Table is a file of rows with named fields, read for what it is: the data of a user's
// own task.
type Table struct {
	Path   string // as found
	Format Format // one of TableFormats
	Rows   []Row
}

// Row is one row. Values are nil, bool, int, float64, string, []any, *ordered.Map and
// Unreadable.
type Row struct {
	Line   int          // 1-based line where the row starts; of parquet, the row's number
	Fields *ordered.Map // in the order of the file
}

// The formats of tables.
const (
	TableJSON    Format = "json"  // one array of objects, or objects one after another
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
// name (before .gz and .zst). JSON is read as one array, as an object a line, or as
// objects laid out over several lines, whichever it is.
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
	return "", fmt.Errorf("data: %s: %w: the name ends in none of %v: name the format", path, ErrUnknownFormat,
		TableFormats())
}

// readTableJSON reads an array of objects, objects laid out over lines, or one a line.
func readTableJSON(path string, format Format) ([]Row, error) {
	var rows []Row
	err := eachJSON(format, path, defaultLimits(), func(s *source, line int, text []byte) error {
		v, err := strictjson.Value(text, func(number string) (any, error) {
			return Unreadable(fmt.Sprintf("%s is a whole number beyond 64 bits: write it as text", quote(number))), nil
		})
		if err != nil {
			return s.jsonError(line, text, err)
		}
		fields, ok := v.(*ordered.Map)
		if !ok {
			return s.bad(line, "", "an array of JSON objects, or an object a line", strictjson.Describe(text)+": "+
				quote(string(text)))
		}
		rows = append(rows, Row{Line: line, Fields: fields})
		return nil
	})
	return rows, err
}
