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
// ErrUnknownFormat when nothing fits; a first row that cannot be read is an *Error that
// says why.
func Detect(path string) (Format, error) {
	f, err := Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, detectBytes))
	if err != nil {
		return "", fmt.Errorf("data: %s: %w", f.Path, err)
	}
	switch {
	case len(head) == 0:
		return "", fmt.Errorf("data: %s: %w: the file is empty", f.Path, ErrEmpty)
	case bytes.HasPrefix(head, []byte("PAR1")):
		return detectParquet(f.Path)
	case bytes.HasPrefix(head, bomUTF16LE), bytes.HasPrefix(head, bomUTF16BE):
		return "", fmt.Errorf("data: %s: %w: UTF-16: save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)", f.Path,
			ErrNotUTF8)
	}
	if what := instead(FormatAuto, head); what != "" {
		return "", fmt.Errorf("data: %s: %w: %s", f.Path, ErrUnknownFormat, what)
	}
	whole := len(head) < detectBytes
	head = bytes.TrimPrefix(head, bomUTF8)
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') && !bytes.HasPrefix(text, []byte("[[")) {
		format, err := detectJSON(f, text, 1+bytes.Count(head[:len(head)-len(text)], []byte("\n")), whole)
		if format != "" || err != nil {
			return format, err
		}
	}
	if format := detect(head, whole); format != "" {
		return format, nil
	}
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.Contains(bytes.TrimSuffix(first, []byte("\r")),
		[]byte("\r")) && !bytes.Contains(first, []byte{'"'}) {
		return "", &Error{Format: FormatAuto, Path: f.Path, Line: 1, Want: "lines that end in a line feed",
			Got: "single carriage returns in " + quote(string(first)), Mend: mendCR, Err: ErrMalformed}
	}
	if names := headerNames(head, whole); names != nil {
		return "", fmt.Errorf("data: %s: %w: a CSV file with the columns %q: conversations and pairs of your own are "+
			"read from JSON lines or parquet with fields of these names; formats are %s",
			f.Path, ErrUnknownFormat, names, formatList())
	}
	return "", fmt.Errorf("data: %s: %w: it starts with %s; formats are %s", f.Path, ErrUnknownFormat,
		quote(strings.ToValidUTF8(string(head[:min(len(head), 60)]), "�")), formatList())
}

func formatList() string { return strings.Join(Format("").Values()[1:], ", ") }

// detectJSON decides on the first row of JSON: text begins with it, or with the array that
// holds it, on a line of the file; more of the file is read where the row goes on.
func detectJSON(f *File, text []byte, line int, whole bool) (Format, error) {
	row, array := text, text[0] == '['
	if array {
		row = bytes.TrimLeft(text[1:], " \t\r\n")
		if len(row) == 0 || row[0] != '{' {
			return "", nil
		}
	}
	skipped := len(text) - len(row)
	first, _, err := strictjson.First(row)
	if errors.Is(err, io.ErrUnexpectedEOF) && !whole {
		more, readErr := io.ReadAll(io.LimitReader(f, MaxRecordBytes))
		if readErr != nil {
			return "", fmt.Errorf("data: %s: %w", f.Path, readErr)
		}
		text = slices.Concat(text, more)
		row = text[skipped:]
		if first, _, err = strictjson.First(row); errors.Is(err, io.ErrUnexpectedEOF) && len(row) >= MaxRecordBytes {
			return "", &Error{Format: FormatAuto, Path: f.Path, Line: line,
				Want: fmt.Sprintf("a row of at most %d bytes", MaxRecordBytes), Mend: "split the row", Err: ErrTooLarge}
		}
	}
	if err != nil {
		s := &source{format: TableJSONL, path: f.Path}
		if end := bytes.IndexByte(row, '\n'); end >= 0 && !array && errors.Is(err, io.ErrUnexpectedEOF) {
			row = row[:end+1]
		}
		return "", s.rowError(line+bytes.Count(text[:skipped], []byte("\n")), row, err)
	}
	var keys map[string]strictjson.Raw
	if err := strictjson.Unmarshal(first, &keys); err != nil {
		return "", err
	}
	if array && keys["toxicity_score"] != nil {
		return FormatSafeNLP, nil
	}
	if format := detectKeys(keys); format != "" {
		return format, nil
	}
	return "", fmt.Errorf("data: %s: %w: its first row has the keys %q; formats are %s", f.Path, ErrUnknownFormat,
		sortedKeys(keys), formatList())
}

// detectParquet decides on the columns and the first row of a parquet file.
func detectParquet(path string) (Format, error) {
	f, err := openParquet(path, TableParquet)
	if err != nil {
		return "", err
	}
	var format Format
	var names []string
	err = f.each(1, func(_ int, fields *ordered.Map) error {
		text, err := marshalJSON(fields)
		if err != nil {
			return f.fail(err)
		}
		var keys map[string]strictjson.Raw
		if err := strictjson.Unmarshal(text, &keys); err != nil {
			return f.fail(err)
		}
		if _, there := fields.Get("text"); there {
			value, _ := fields.Get("text")
			if s, ok := value.(string); ok && strings.HasPrefix(strings.TrimSpace(s), "<s>[INST]") {
				format = FormatGuanacoParquet
				return nil
			}
		}
		format, names = detectKeys(keys), fields.Keys()
		return nil
	})
	if err != nil {
		return "", err
	}
	if format == "" {
		return "", fmt.Errorf("data: %s: %w: a parquet file with the columns %q; formats are %s", path,
			ErrUnknownFormat, names, formatList())
	}
	return format, nil
}

// detect decides on the head of a file that is no JSON of objects; whole says that head is
// all of it.
func detect(head []byte, whole bool) Format {
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
	return detectTable(head, whole)
}

// detectKeys knows rows of JSON by the keys of the first.
func detectKeys(keys map[string]strictjson.Raw) Format {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return keys[n] == nil })
	}
	begins := func(key, with string) bool {
		var s string
		return strictjson.Unmarshal(keys[key], &s) == nil && strings.HasPrefix(s, with)
	}
	switch {
	case has("chosen_ids", "rejected_ids"):
		return FormatTokenPairs
	case has("chosen", "rejected"):
		if begins("chosen", hhHuman) && !has("prompt") {
			return FormatHH
		}
		return FormatPairs
	case has("ids"):
		return FormatTokens
	case has("messages"):
		return FormatChat
	case has("conversations"):
		return FormatShareGPT
	case has("prompt", "completion"), has("prompt", "response"):
		return FormatCompletion
	case has("instruction", "output"):
		return FormatAlpaca
	case has("label_scores"):
		return FormatAnecdotes
	case has("actions", "gold_label"):
		return FormatDilemmas
	case has("sentence", "option1", "option2"):
		return FormatWinoGrande
	case has("context_options", "continuation"):
		return FormatPartial
	case has("text") && begins("text", guanacoHuman):
		return FormatGuanaco
	}
	return ""
}

// detectTable knows CSV and TSV files by their header, and files without one by
// the number of columns of their first records.
func detectTable(head []byte, whole bool) Format {
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
	case !utf8.ValidString(line):
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
	s := &source{format: FormatAuto, r: newBufferedReader(head), lim: defaultLimits(), line: 1}
	c := &csvReader{source: s, comma: ','}
	for records := 0; records < 50; records++ {
		fields, err := c.next()
		if errors.Is(err, io.EOF) || err != nil && !whole && records > 0 {
			break
		}
		if err != nil {
			return nil, nil
		}
		if !whole && peekFails(c) {
			break // the last record may be cut short
		}
		if records == 0 {
			first = slices.Clone(fields)
		}
		if !slices.Contains(counts, len(fields)) {
			counts = append(counts, len(fields))
		}
	}
	return counts, first
}

func peekFails(c *csvReader) bool {
	_, err := c.r.Peek(1)
	return err != nil
}
