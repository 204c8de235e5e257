package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"steer/internal/strictjson"
)

// record is one row of a shape, its fields by the names that steer knows.
type record struct {
	*source
	row    int // line on which it begins; of parquet, the row's number
	text   []byte
	fields rowKeys
	cells  map[string]int // of CSV: the line of each column
	opts   *rowOptions
}

// rowOptions are what the rows of a file are read with.
type rowOptions struct {
	shape   shape
	columns Columns
	drop    bool // unsupported keys are dropped
	notes   notes
	seen    *columnsSeen // nil where nobody asks
	rest    bool         // columns that are not read are kept
}

// columnsSeen counts the columns of a file.
type columnsSeen struct {
	shape  shape
	rows   map[string]int  // that say something, by known name
	unread map[string]bool // by the file's name
}

// used lists the columns that are read, and names those that are not.
func (c *columnsSeen) used(columns Columns) (used []ColumnUse, unread []string) {
	for _, name := range c.shape.columns() {
		if n := c.rows[name]; n > 0 && !c.unread[columns.in(name)] {
			use := ColumnUse{Name: name, Rows: n}
			if columns.in(name) != name {
				use.In = columns.in(name)
			}
			used = append(used, use)
		}
	}
	return used, slices.Sorted(maps.Keys(c.unread))
}

// leftOut is the error of a row that cannot stand without what is dropped.
type leftOut struct{ what string }

// Error says what the row holds.
func (l *leftOut) Error() string { return l.what }

// eachRecord calls row for every row of a source of one shape. Keys that no template can say are
// refused or, with DropUnsupported, dropped and counted; keys that are not read are counted.
func eachRecord(src Source, row func(r *record) error) ([]string, error) {
	form, ok := shapeOf(src.Format)
	if !ok {
		return nil, fmt.Errorf("data: %s: %w: %q", src.Path, ErrUnknownFormat, src.Format)
	}
	o := &rowOptions{shape: form, columns: src.Columns, drop: src.DropUnsupported, seen: src.seen,
		rest: src.rest}
	if o.seen != nil {
		o.seen.shape = form
	}
	kept, left := 0, ""
	err := o.each(src, func(r *record) error {
		err := r.check()
		if err == nil {
			err = row(r)
		}
		var out *leftOut
		if errors.As(err, &out) {
			left = out.what
			o.notes.add(r.row, "rows left out: "+out.what)
			return nil
		}
		kept++
		return err
	})
	if err == nil && kept == 0 && left != "" {
		err = &Error{Format: src.Format, Path: src.Path, Want: "a row that stands without what drop_unsupported drops",
			Got: left + " in each", Mend: "name another file", Err: ErrEmpty}
	}
	return o.notes.list(), err
}

// each reads rows from JSON, parquet, CSV or TSV.
func (o *rowOptions) each(src Source, row func(r *record) error) error {
	kind, comma, err := containerOf(src.Path)
	if err != nil {
		return err
	}
	if kind == TableCSV || kind == TableTSV {
		return o.eachCSV(src, comma, row)
	}
	return eachJSON(src.Format, src.Path, defaultLimits(), func(s *source, line int, text []byte) error {
		fields := map[string]strictjson.Raw{}
		if err := strictjson.Unmarshal(text, &fields); err != nil {
			return s.jsonError(line, text, err)
		}
		r := &record{source: s, row: line, text: text, opts: o}
		if s.rows == 1 {
			if err := r.columnsAre(sortedKeys(fields)); err != nil {
				return err
			}
		}
		r.fields = o.columns.rename(fields)
		return row(r)
	})
}

// containerOf tells in what way a file holds rows (TableJSONL stands for all JSON), and what divides columns
// of text.
func containerOf(path string) (kind Format, comma byte, err error) {
	f, err := Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	head := make([]byte, 1<<12)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", 0, fmt.Errorf("data: %s: %w", f.Path, err)
	}
	return sniffContainer(f.Path, head[:n]), commaOf(f.Path, head[:n]), nil
}

// sniffContainer decides on the beginning of a file, and, where that is neither JSON nor parquet, on its
// name.
func sniffContainer(path string, head []byte) Format {
	text := bytes.TrimLeft(bytes.TrimPrefix(head, bomUTF8), " \t\r\n")
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch ext := filepath.Ext(name); {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return TableParquet
	case len(text) == 0, text[0] == '{', text[0] == '[':
		return TableJSONL
	case ext == ".jsonl", ext == ".json", ext == ".ndjson":
		return TableJSONL // which it is not: the reader says why
	case ext == ".tsv":
		return TableTSV
	case ext == ".csv":
		return TableCSV
	}
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.ContainsRune(first, '\t') &&
		!bytes.ContainsRune(first, ',') {
		return TableTSV
	}
	return TableCSV
}

// commaOf is what divides the columns of a file that is CSV or TSV by its beginning: a tab, or what stands in
// its first line, a comma or, where there is none, a semicolon, as spreadsheets write it in many languages.
func commaOf(path string, head []byte) byte {
	first, _, _ := bytes.Cut(bytes.TrimPrefix(head, bomUTF8), []byte("\n"))
	switch {
	case sniffContainer(path, head) == TableTSV:
		return '\t'
	case bytes.ContainsRune(first, ';') && !bytes.ContainsAny(first, ",\t"):
		return ';'
	}
	return ','
}

// columnsAre checks that the columns which are mapped are there.
func (r *record) columnsAre(have []string) error {
	name, missing := r.opts.columns.missing(have)
	if !missing {
		return nil
	}
	return r.opts.columns.notThere(r.format, r.path, r.row, name, have)
}

// check refuses, drops and counts the keys that are not text.
func (r *record) check() error {
	for _, key := range lossKeys {
		raw := r.fields[key]
		if raw == nil || isEmpty(raw) {
			continue
		}
		if one, ok := zeroOrOne(raw); !ok || !one {
			return r.wrong(wrong(key, "1", short(raw),
				`a row has no weight: give it to a message, {"role": ..., "content": ..., "`+key+`": 0}`))
		}
	}
	if err := r.opts.unsupported(r.row, "", "", r.fields); err != nil {
		return r.wrong(err)
	}
	known := slices.DeleteFunc(r.opts.shape.columns(), func(c string) bool { return slices.Contains(nested, c) })
	for _, key := range sortedKeys(r.fields) {
		if r.opts.seen != nil && !isEmpty(r.fields[key]) {
			r.opts.seen.rows[key]++
		}
		if refusedKeys[key] == "" && !slices.Contains(lossKeys, key) && !slices.Contains(known, key) &&
			!isEmpty(r.fields[key]) {
			r.unreadKey(strings.TrimPrefix(key, besideMark))
		}
	}
	return nil
}

// others are the columns of the row that its shape does not read, where they are kept; nil where not.
func (r *record) others() (map[string]any, error) {
	if !r.opts.rest {
		return nil, nil
	}
	out := map[string]any{}
	for key, raw := range r.fields {
		if key != "id" && slices.Contains(r.opts.shape.columns(), key) || isEmpty(raw) {
			continue
		}
		value, err := strictjson.Value(raw, func(number string) (any, error) { return number, nil })
		if err != nil {
			return nil, r.wrong(err)
		}
		out[strings.TrimPrefix(key, besideMark)] = value
	}
	return out, nil
}

func (r *record) unreadKey(key string) {
	if r.opts.rest {
		return // a reward may read it
	}
	if r.opts.seen != nil {
		r.opts.seen.unread[key] = true
	}
	r.opts.notes.unread(r.row, key)
}

// unsupported refuses or drops the keys of a row or of a message that no template can say; at is what
// stands before them in errors, kind in counts.
func (o *rowOptions) unsupported(line int, at, kind string, keys map[string]strictjson.Raw) error {
	if !o.drop {
		return checkKeys(at, keys)
	}
	for _, key := range sortedKeys(keys) {
		if refusedKeys[key] != "" && !isEmpty(keys[key]) {
			o.notes.add(line, fmt.Sprintf("times the key %q, dropped (drop_unsupported)", kind+key))
		}
	}
	return nil
}

// absent holds for a field that is not there, or null.
func (r *record) absent(name string) bool { return absent(r.fields[name]) }

// oneOf is the first of some fields that is there; having two of them is an error.
func (r *record) oneOf(names ...string) (name string, err error) {
	for _, n := range names {
		switch {
		case r.absent(n):
		case name != "":
			return "", r.bad(name, name+" or "+n+", not both", "both")
		default:
			name = n
		}
	}
	if name == "" {
		return "", r.need(names[0], "text")
	}
	return name, nil
}

// string reads a field that is text; "" where it is absent.
func (r *record) string(name string) (string, error) {
	if r.absent(name) {
		return "", nil
	}
	var s string
	if err := strictjson.Unmarshal(r.fields[name], &s); err != nil {
		return "", r.bad(name, "text", strictjson.Describe(r.fields[name]))
	}
	return s, nil
}

// need reports a field that is not there.
func (r *record) need(name, want string) error {
	e := r.bad(name, want, "nothing").(*Error)
	other := slices.DeleteFunc(readings(r.fields), func(f Format) bool { return f == FormatPrompts })
	switch i := slices.IndexFunc(other, func(f Format) bool { return f != r.format }); {
	case i < 0:
	case r.rows > 1:
		e.Mend = fmt.Sprintf("this row looks like %s: a file holds rows of one format, so divide it",
			other[i].Title())
	default:
		e.Mend = fmt.Sprintf("this looks like %s: set format: %s, or name the right file", other[i].Title(), other[i])
		e.Err = ErrWrongFormat
	}
	return e
}

// bad reports a malformed value of a field, "messages[0].content".
func (r *record) bad(field, want, got string) error {
	return r.source.bad(r.lineOf(field), r.inFile(field), want, got)
}

// wrong places an error of a value.
func (r *record) wrong(err error) error {
	var own *strictjson.Error
	if !errors.As(err, &own) {
		return err
	}
	at := *own
	at.Offset, at.Field = 0, r.inFile(own.Field)
	e := r.rowError(r.lineOf(own.Field), nil, &at)
	if refused := new(refusedError); errors.As(err, &refused) {
		e.(*Error).Mend += ", or set drop_unsupported: true (--drop-unsupported)"
	}
	return e
}

// inFile is a field under the name that the file has for it.
func (r *record) inFile(field string) string {
	name, rest := field, ""
	if i := strings.IndexAny(field, ".["); i >= 0 {
		name, rest = field[:i], field[i:]
	}
	return r.opts.columns.in(name) + rest
}

// lineOf is the line on which a field begins.
func (r *record) lineOf(field string) int {
	name := r.inFile(field)
	if i := strings.IndexAny(name, ".["); i >= 0 {
		name = name[:i]
	}
	if line, ok := r.cells[name]; ok {
		return line
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(r.text))
	if _, err := dec.ReadToken(); err != nil {
		return r.row
	}
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			break
		}
		if key.String() == name {
			return r.row + bytes.Count(r.text[:dec.InputOffset()], []byte("\n"))
		}
		if dec.SkipValue() != nil {
			break
		}
	}
	return r.row
}
