package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"steer/rl/data"
)

// scoreRow is one input of steer score: a text, token ids, or a conversation.
type scoreRow struct {
	where    string // for errors: "answers.jsonl: line 3"
	line     int
	text     *string
	ids      []int32
	mask     []bool // of ids; nil: all count
	prompt   *string
	response *string
	messages []data.Message
}

// textRows makes rows of the texts of a command line; flag begins errors.
func textRows(flag string, texts []string) ([]scoreRow, error) {
	var rows []scoreRow
	for i := range texts {
		if !utf8.ValidString(texts[i]) {
			return nil, fmt.Errorf("%s %d: not UTF-8: convert it", flag, i+1)
		}
		rows = append(rows, scoreRow{where: fmt.Sprintf("--text %d", i+1), line: i + 1, text: &texts[i]})
	}
	return rows, nil
}

// isText tells a file of plain text by its name.
func isText(path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst"), ".txt")
}

// readRows reads JSON lines, or plain text lines; blank lines are passed over.
func readRows(r io.Reader, name string, plain bool) ([]scoreRow, error) {
	var rows []scoreRow
	err := eachLine(r, "score: "+name, func(line int, text []byte) error {
		row := scoreRow{where: fmt.Sprintf("%s: line %d", name, line), line: line}
		if plain {
			s := string(text)
			row.text = &s
		} else if err := row.parse(text); err != nil {
			return fmt.Errorf("score: %s: %w", row.where, err)
		}
		rows = append(rows, row)
		return nil
	})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("score: %s: no rows: want at least one line", name)
	}
	return rows, err
}

// eachLine calls f for every line that is not blank, without its line end. Errors
// start with name and tell the line.
func eachLine(r io.Reader, name string, f func(line int, text []byte) error) error {
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

// parse reads one JSON object. Keys that mean nothing here are passed over: data files
// carry more than is scored.
func (row *scoreRow) parse(text []byte) error {
	var v struct {
		Text     *string        `json:"text"`
		IDs      []int64        `json:"ids"`
		Mask     []any          `json:"mask"`
		Prompt   *string        `json:"prompt"`
		Response *string        `json:"response"`
		Messages []data.Message `json:"messages"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) && typed.Field != "" {
			return fmt.Errorf("field %q: want %s, got a JSON %s", typed.Field, jsonWords(typed.Type), typed.Value)
		}
		return fmt.Errorf("want one JSON object a line, got %q (plain text needs --lines)", printable(string(text), 40))
	}
	kinds := 0
	for _, there := range []bool{v.Text != nil, v.IDs != nil, v.Prompt != nil || v.Response != nil, v.Messages != nil} {
		if there {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf(`want "text", or "ids", or "prompt" and "response", or "messages"; got %s`, keysOf(text))
	case (v.Prompt == nil) != (v.Response == nil):
		return fmt.Errorf(`"prompt" and "response" belong together; got %s`, keysOf(text))
	}
	for i, m := range v.Messages {
		if m.Role != data.RoleUser && m.Role != data.RoleAssistant && (m.Role != data.RoleSystem || i > 0) {
			return fmt.Errorf(`field "messages[%d].role": want system (first only), user or assistant, got %q`, i, m.Role)
		}
	}
	row.text, row.prompt, row.response, row.messages = v.Text, v.Prompt, v.Response, v.Messages
	if err := row.setIDs(v.IDs); err != nil {
		return err
	}
	return row.setMask(v.Mask)
}

// jsonWords names what a field holds in JSON's terms.
func jsonWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

func keysOf(text []byte) string {
	var keys map[string]json.RawMessage
	_ = json.Unmarshal(text, &keys) // it was valid before
	var names []string
	for k := range keys {
		names = append(names, fmt.Sprintf("%q", printable(k, 40)))
	}
	slices.Sort(names)
	return orNone(strings.Join(names[:min(len(names), 8)], ", "))
}

func (row *scoreRow) setIDs(ids []int64) error {
	if ids == nil {
		return nil
	}
	if len(ids) == 0 {
		return errors.New(`field "ids": want at least one token id, got an empty list`)
	}
	row.ids = make([]int32, len(ids))
	for i, id := range ids {
		if id < 0 || id > 1<<30 {
			return fmt.Errorf(`field "ids[%d]": want a token id, got %d`, i, id)
		}
		row.ids[i] = int32(id)
	}
	return nil
}

// setMask reads 0, 1, false, true for each id.
func (row *scoreRow) setMask(mask []any) error {
	if mask == nil {
		return nil
	}
	if row.ids == nil || len(mask) != len(row.ids) {
		return fmt.Errorf(`field "mask": %d elements, want one for each of "ids" (%d)`, len(mask), len(row.ids))
	}
	row.mask = make([]bool, len(mask))
	for i, x := range mask {
		switch x {
		case true, 1.0:
			row.mask[i] = true
		case false, 0.0:
		default:
			return fmt.Errorf(`field "mask[%d]": want 0 or 1, got %v`, i, x)
		}
	}
	return nil
}
