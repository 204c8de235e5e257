package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"steer/internal/ordered"
	"steer/internal/strictjson"
)

// detectBytes is how much of a file Detect looks at; a longer first row is read to its
// end, up to MaxRecordBytes.
const detectBytes = 1 << 20

var winoBiasLine = regexp.MustCompile(`^\d+ .*\[[^\]]+\].*\[[^\]]+\]`)

// Detect recognises the format of a file by its first rows. The error wraps
// ErrUnknownFormat when nothing fits, and is an [*AmbiguousError] when several do; a first row that
// cannot be read is an *Error that says why.
func Detect(path string) (Format, error) {
	d, err := detectFile(path, nil)
	if err != nil {
		return "", err
	}
	format, _, err := d.choose(nil)
	return format, err
}

// detection is what a file was recognised as.
type detection struct {
	path     string
	readings []Format // at least one
	keys     rowKeys  // of the first row, where it has some
}

// only is the detection of a format that nothing else could be.
func only(path string, format Format) detection {
	return detection{path: path, readings: []Format{format}}
}

// detectFile recognises a file whose columns may have other names.
func detectFile(path string, columns Columns) (detection, error) {
	f, err := Open(path)
	if err != nil {
		return detection{}, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, detectBytes))
	if err != nil {
		return detection{}, fmt.Errorf("data: %s: %w", f.Path, err)
	}
	fail := func(err error, format string, args ...any) (detection, error) {
		return detection{}, fmt.Errorf("data: %s: %w: %s", f.Path, err, fmt.Sprintf(format, args...))
	}
	switch {
	case len(head) == 0:
		return fail(ErrEmpty, "the file is empty")
	case bytes.HasPrefix(head, []byte("PAR1")):
		return detectParquet(f.Path, columns)
	case bytes.HasPrefix(head, bomUTF16LE), bytes.HasPrefix(head, bomUTF16BE):
		return fail(ErrNotUTF8, "UTF-16: save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)")
	}
	if what := instead(FormatAuto, head); what != "" {
		return fail(ErrUnknownFormat, "%s", what)
	}
	whole := len(head) < detectBytes
	head = bytes.TrimPrefix(head, bomUTF8)
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') && !bytes.HasPrefix(text, []byte("[[")) {
		line := 1 + bytes.Count(head[:len(head)-len(text)], []byte("\n"))
		d, err := detectJSON(f, text, line, whole, columns)
		if len(d.readings) > 0 || err != nil {
			return d, err
		}
	}
	return detectText(f.Path, head, whole, columns)
}

// detectText recognises a file that is no JSON of objects: a release's, or CSV.
func detectText(path string, head []byte, whole bool, columns Columns) (detection, error) {
	fail := func(err error, format string, args ...any) (detection, error) {
		return detection{}, fmt.Errorf("data: %s: %w: %s", path, err, fmt.Sprintf(format, args...))
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	if format := detect(head); format != "" {
		return only(path, format), nil
	}
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return fail(ErrUnknownFormat, "it starts with %s; formats are %s", quote(string(text[:min(len(text), 60)])),
			formatList())
	}
	if d, names := detectCSV(path, head, whole, columns); d.readings != nil {
		return d, nil
	} else if name, missing := columns.missing(names); missing {
		return detection{}, columns.notThere(FormatAuto, path, 1, name, names)
	} else if columns != nil {
		return fail(ErrUnknownFormat, "as CSV its columns are %q; columns maps steer's names to these; %s", names,
			needsList())
	}
	if format := detectHeaderless(head, whole); format != "" {
		return only(path, format), nil
	}
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.Contains(bytes.TrimSuffix(first, []byte("\r")),
		[]byte("\r")) && !bytes.Contains(first, []byte{'"'}) {
		return detection{}, &Error{Format: FormatAuto, Path: path, Line: 1, Want: "lines that end in a line feed",
			Got: "single carriage returns in " + quote(string(first)), Mend: mendCR, Err: ErrMalformed}
	}
	if names := headerNames(head, whole); names != nil {
		return fail(ErrUnknownFormat, "a CSV file with the columns %q; %s", names, unknownColumns(names))
	}
	return fail(ErrUnknownFormat, "it starts with %s; formats are %s",
		quote(strings.ToValidUTF8(string(head[:min(len(head), 60)]), "�")), formatList())
}

// unknownColumns says what helps with columns that no shape has.
func unknownColumns(names []string) string {
	if s := suggestColumns(names); s != "" {
		return s
	}
	return "formats are " + formatList()
}

// needsList says which columns the shapes need.
func needsList() string {
	var out []string
	for _, s := range shapes {
		var needs []string
		for _, group := range s.needs {
			needs = append(needs, group[0])
		}
		out = append(out, fmt.Sprintf("%s needs %s", s.format, strings.Join(needs, ", ")))
	}
	return strings.Join(out, "; ")
}

func formatList() string { return strings.Join(Format("").Values()[1:], ", ") }

// detectJSON decides on the first row of JSON: text begins with it, or with the array that
// holds it, on a line of the file; more of the file is read where the row goes on.
func detectJSON(f *File, text []byte, line int, whole bool, columns Columns) (detection, error) {
	row, array := text, text[0] == '['
	if array {
		row = bytes.TrimLeft(text[1:], " \t\r\n")
		if len(row) == 0 || row[0] != '{' {
			return detection{}, nil
		}
	}
	skipped := len(text) - len(row)
	first, _, err := strictjson.First(row)
	if errors.Is(err, io.ErrUnexpectedEOF) && !whole {
		more, readErr := io.ReadAll(io.LimitReader(f, MaxRecordBytes))
		if readErr != nil {
			return detection{}, fmt.Errorf("data: %s: %w", f.Path, readErr)
		}
		text = slices.Concat(text, more)
		row = text[skipped:]
		if first, _, err = strictjson.First(row); errors.Is(err, io.ErrUnexpectedEOF) && len(row) >= MaxRecordBytes {
			return detection{}, &Error{Format: FormatAuto, Path: f.Path, Line: line,
				Want: fmt.Sprintf("a row of at most %d bytes", MaxRecordBytes), Mend: "split the row", Err: ErrTooLarge}
		}
	}
	if err != nil {
		s := &source{format: TableJSONL, path: f.Path}
		if end := bytes.IndexByte(row, '\n'); end >= 0 && !array && errors.Is(err, io.ErrUnexpectedEOF) {
			row = row[:end+1]
		}
		return detection{}, s.rowError(line+bytes.Count(text[:skipped], []byte("\n")), row, err)
	}
	var keys map[string]strictjson.Raw
	if err := strictjson.Unmarshal(first, &keys); err != nil {
		return detection{}, err
	}
	if array && keys["toxicity_score"] != nil {
		return only(f.Path, FormatSafeNLP), nil
	}
	return detectRow(f.Path, "its first row has the keys", keys, columns)
}

// detectRow decides on the first row of a file; what introduces its keys in errors.
func detectRow(path, what string, fields map[string]strictjson.Raw, columns Columns) (detection, error) {
	names := sortedKeys(fields)
	if name, missing := columns.missing(names); missing {
		return detection{}, columns.notThere(FormatAuto, path, 1, name, names)
	}
	d := detection{path: path, keys: columns.rename(fields)}
	d.readings = detectKeys(d.keys)
	if d.readings != nil {
		return d, nil
	}
	if len(columns) > 0 {
		return d, fmt.Errorf("data: %s: %w: with columns %v, %s %q; %s", path, ErrUnknownFormat,
			map[string]string(columns), what, names, needsList())
	}
	return d, fmt.Errorf("data: %s: %w: %s %q; %s", path, ErrUnknownFormat, what, names, unknownColumns(names))
}

// detectParquet decides on the columns and the first row of a parquet file.
func detectParquet(path string, columns Columns) (detection, error) {
	f, err := openParquet(path, TableParquet)
	if err != nil {
		return detection{}, err
	}
	var d detection
	err = f.each(1, func(_ int, fields *ordered.Map) error {
		text, err := marshalJSON(fields)
		if err != nil {
			return f.fail(err)
		}
		var keys map[string]strictjson.Raw
		if err := strictjson.Unmarshal(text, &keys); err != nil {
			return f.fail(err)
		}
		value, _ := fields.Get("text")
		if s, ok := value.(string); ok && len(columns) == 0 && strings.HasPrefix(strings.TrimSpace(s), "<s>[INST]") {
			d = only(path, FormatGuanacoParquet)
			return nil
		}
		d, err = detectRow(path, "a parquet file with the columns", keys, columns)
		return err
	})
	return d, err
}

// detect decides on the head of a file that is no JSON of objects.
func detect(head []byte) Format {
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(text) == 0:
		return ""
	case bytes.HasPrefix(text, []byte("<?xml")) || bytes.HasPrefix(text, []byte("<collection")):
		if bytes.Contains(text, []byte("<schema>")) {
			return FormatWSC
		}
		return ""
	case text[0] == '[':
		if bytes.HasPrefix(bytes.TrimLeft(text[1:], " \t\r\n"), []byte("[")) {
			return FormatLabelCounts
		}
		return ""
	case text[0] == '{':
		return ""
	}
	return detectTable(head)
}

// detectKeys knows rows by the keys of the first: those of a release, or the shapes that it may be of.
func detectKeys(keys rowKeys) []Format {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return keys[n] == nil })
	}
	begins := func(key, with string) bool {
		var s string
		return strictjson.Unmarshal(keys[key], &s) == nil && strings.HasPrefix(s, with)
	}
	out := readings(keys)
	if i := slices.Index(out, FormatPairs); i >= 0 && begins("chosen", hhHuman) && !has("prompt") {
		out[i] = FormatHH
	}
	if len(out) > 0 && !slices.Equal(out, []Format{FormatPrompts}) {
		return out
	}
	switch {
	case has("label_scores"):
		return []Format{FormatAnecdotes}
	case has("actions", "gold_label"):
		return []Format{FormatDilemmas}
	case has("sentence", "option1", "option2"):
		return []Format{FormatWinoGrande}
	case has("context_options", "continuation"):
		return []Format{FormatPartial}
	case has("text") && begins("text", guanacoHuman):
		return []Format{FormatGuanaco}
	}
	return out
}

// detectCSV knows CSV and TSV files by the names of their columns and their first record; names are those
// of the columns.
func detectCSV(path string, head []byte, whole bool, columns Columns) (d detection, names []string) {
	header := csvHead(head, commaOf(path, head), 1, whole)
	if len(header) == 0 {
		return d, nil
	}
	names = header[0]
	var fields rowKeys
	err := ErrMalformed
	if rows := csvHead(head, commaOf(path, head), 2, whole); len(rows) == 2 && len(rows[1]) == len(names) {
		fields, err = columns.cells(names, rows[1])
	}
	if err != nil { // the reader says what is wrong with the row: here the names of its columns count
		unread := map[string]strictjson.Raw{}
		for _, name := range names {
			unread[name] = strictjson.Raw(`"?"`)
		}
		fields = columns.rename(unread)
	}
	return detection{path: path, keys: fields, readings: readings(fields)}, names
}

// detectTable knows the CSV and TSV files of releases by their header.
func detectTable(head []byte) Format {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	line := strings.TrimSuffix(string(first), "\r")
	switch {
	case line == "label,scenario,excuse":
		return FormatDeontology
	case line == "label,input,is_short,edited":
		return FormatCommonsense
	case line == strings.Join(toxigenHeader, ","):
		return FormatToxiGen
	case line == "sentid\tsentence":
		return FormatWinogender
	case strings.HasPrefix(line, "occupation(0)\tother-participant(1)\t"):
		return FormatWinogenderTempl
	case strings.HasPrefix(line, "occupation\tbergsma_pct_female\t"):
		return FormatWinogenderStats
	case line == "label,scenario":
		if bytes.Contains(head, []byte(VirtueSeparator)) {
			return FormatVirtue
		}
		return FormatJustice
	case isCrowSHeader(line):
		return FormatCrowSPairs
	case winoBiasLine.MatchString(line):
		return FormatWinoBias
	}
	return ""
}

// detectHeaderless knows CSV files without a header by the number of columns of their first records.
func detectHeaderless(head []byte, whole bool) Format {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	if !utf8.Valid(first) {
		return ""
	}
	switch columns, _ := csvColumns(head, whole); {
	case slices.Equal(columns, []int{2}) && headerNames(head, whole) == nil:
		return FormatUtilitarianism
	case slices.Equal(columns, []int{1}) && head[0] == '"':
		return FormatCommonsenseAmbig
	}
	return ""
}

// headerNames gives the fields of the first record of a CSV file where all of them are single
// words, nil otherwise: scenarios are sentences, names of columns are not. Without this, a file with
// "instruction,output" on top would pass for pairs of scenarios without a header.
func headerNames(head []byte, whole bool) []string {
	columns, first := csvColumns(head, whole)
	if len(columns) != 1 || columns[0] < 2 {
		return nil
	}
	for _, name := range first {
		if !columnName.MatchString(strings.TrimSpace(name)) {
			return nil
		}
	}
	return first
}

var columnName = regexp.MustCompile(`^[\pL_][\pL\pN_.-]*$`)

// csvColumns gives the distinct column counts of the first records (at most 50), and the first
// record.
func csvColumns(head []byte, whole bool) (counts []int, first []string) {
	for _, fields := range csvHead(head, ',', 50, whole) {
		if first == nil {
			first = fields
		}
		if !slices.Contains(counts, len(fields)) {
			counts = append(counts, len(fields))
		}
	}
	return counts, first
}

// csvHead gives the first records of a file, nil if it is not well formed; whole says that head is all of
// it.
func csvHead(head []byte, comma byte, most int, whole bool) (records [][]string) {
	s := &source{format: FormatAuto, r: newBufferedReader(head), lim: defaultLimits(), line: 1}
	c := &csvReader{source: s, comma: comma}
	for len(records) < most {
		fields, err := c.next()
		if errors.Is(err, io.EOF) || err != nil && !whole && len(records) > 0 {
			break
		}
		if err != nil {
			return nil
		}
		if !whole && peekFails(c) {
			break // the last record may be cut short
		}
		records = append(records, slices.Clone(fields))
	}
	return records
}

func peekFails(c *csvReader) bool {
	_, err := c.r.Peek(1)
	return err != nil
}
