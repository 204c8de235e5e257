package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"
)

const (
	guanacoHuman     = "### Human:"
	guanacoAssistant = "### Assistant:"
)

// ReadGuanaco reads openassistant_best_replies_{train,eval}.jsonl.
func ReadGuanaco(path string) ([]Conversation, error) {
	type row struct {
		Text *string `json:"text"`
	}
	var out []Conversation
	err := readJSONLines(FormatGuanaco, path, defaultLimits(), func(s *source, line int, v *row) error {
		if v.Text == nil {
			return s.need(line, "text", `"### Human: ...### Assistant: ..."`)
		}
		turns, err := ParseGuanaco(*v.Text)
		if err != nil {
			return s.bad(line, "text", err.Error(), quote(*v.Text))
		}
		out = append(out, Conversation{Messages: turns, Source: s.path, Line: line})
		return nil
	})
	return out, err
}

// ParseGuanaco splits "### Human: h### Assistant: a### Human: ..." into turns.
// One blank after each marker belongs to the marker; the rest is kept, so the
// "guanaco" template gives the text back byte for byte.
func ParseGuanaco(text string) ([]Message, error) {
	if !strings.HasPrefix(text, guanacoHuman) {
		return nil, fmt.Errorf("text that starts with %q", guanacoHuman)
	}
	var turns []Message
	for rest := text; rest != ""; {
		role, marker := RoleUser, guanacoHuman
		if strings.HasPrefix(rest, guanacoAssistant) {
			role, marker = RoleAssistant, guanacoAssistant
		}
		rest = rest[len(marker):]
		end := len(rest)
		for _, m := range []string{guanacoHuman, guanacoAssistant} {
			if i := strings.Index(rest, m); i >= 0 && i < end {
				end = i
			}
		}
		turns = append(turns, Message{role, strings.TrimPrefix(rest[:end], " ")})
		rest = rest[end:]
	}
	return turns, nil
}

// ReadGuanacoParquet reads the parquet form of the guanaco subset: one string
// column "text" holding `<s>[INST] h [/INST] a </s>` once a turn. Line counts rows from 1.
func ReadGuanacoParquet(path string) ([]Conversation, error) {
	body, found, err := readAll(path, limits{fileBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	fail := func(line int, want, got string, err error) error {
		return &Error{Format: FormatGuanacoParquet, Path: found, Line: line, Field: "text", Want: want, Got: got, Mend: "fetch the file again", Err: err}
	}
	if len(body) == 0 {
		return nil, fail(0, "data", "an empty file", ErrEmpty)
	}
	if !bytes.HasPrefix(body, []byte("PAR1")) {
		e := fail(0, "a parquet file", quote(string(body[:min(len(body), 8)])), ErrWrongFormat).(*Error)
		if other := lookalike(path, FormatGuanacoParquet); other != "" {
			e.Mend = other
		}
		return nil, e
	}
	texts, err := parquetStrings(body, "text")
	if err != nil {
		return nil, fail(0, "", "", fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	if len(texts) == 0 {
		return nil, fail(0, "at least one row", "none", ErrEmpty)
	}
	out := make([]Conversation, 0, len(texts))
	for i, text := range texts {
		turns, err := ParseLlama2(text)
		if err != nil {
			return nil, fail(i+1, err.Error(), quote(text), ErrMalformed)
		}
		out = append(out, Conversation{Messages: turns, Source: found, Line: i + 1})
	}
	return out, nil
}

// parquetStrings reads one string column. The parquet library may panic on a
// damaged file; that is turned into an error here.
func parquetStrings(body []byte, column string) (out []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged parquet file: %v", p)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	leaf, found := f.Schema().Lookup(column)
	if !found || leaf.Node.Type().Kind() != parquet.ByteArray {
		return nil, fmt.Errorf("no string column %q: the columns are %v", column, f.Schema().Columns())
	}
	if f.NumRows() > MaxRows {
		return nil, fmt.Errorf("%w: %d rows", ErrTooLarge, f.NumRows())
	}
	total := 0
	for _, group := range f.RowGroups() {
		pages := group.ColumnChunks()[leaf.ColumnIndex].Pages()
		for {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				pages.Close()
				return nil, err
			}
			values := make([]parquet.Value, page.NumValues())
			n, err := page.Values().ReadValues(values)
			if err != nil && !errors.Is(err, io.EOF) {
				pages.Close()
				return nil, err
			}
			for _, v := range values[:n] {
				if v.IsNull() {
					pages.Close()
					return nil, fmt.Errorf("row %d: field %q is null", len(out)+1, column)
				}
				if total += len(v.ByteArray()); total > MaxFileBytes {
					pages.Close()
					return nil, fmt.Errorf("%w: unpacks to more than %d bytes", ErrTooLarge, MaxFileBytes)
				}
				out = append(out, string(v.ByteArray()))
			}
			parquet.Release(page)
		}
		if err := pages.Close(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ParseLlama2 splits `<s>[INST] h [/INST] a </s>` repeated into turns. One blank
// next to each marker belongs to the marker. A system message in <<SYS>> marks
// becomes the first turn.
func ParseLlama2(text string) ([]Message, error) {
	const (
		open, instr, end, shut = "<s>", "[INST]", "[/INST]", "</s>"
		sysOpen, sysShut       = "<<SYS>>\n", "\n<</SYS>>\n\n"
	)
	var turns []Message
	rest := strings.TrimSpace(text)
	for rest != "" {
		rest = strings.TrimLeft(strings.TrimPrefix(rest, open), " ")
		if !strings.HasPrefix(rest, instr) {
			return nil, fmt.Errorf("%q before every human turn", instr)
		}
		human, after, found := strings.Cut(rest[len(instr):], end)
		if !found {
			return nil, fmt.Errorf("%q after every human turn", end)
		}
		human = strings.TrimSuffix(strings.TrimPrefix(human, " "), " ")
		if sys, user, found := strings.Cut(human, sysShut); found && len(turns) == 0 && strings.HasPrefix(sys, sysOpen) {
			turns = append(turns, Message{RoleSystem, sys[len(sysOpen):]})
			human = user
		}
		answer, next, _ := strings.Cut(after, shut)
		turns = append(turns, Message{RoleUser, human})
		turns = append(turns, Message{RoleAssistant, strings.TrimSuffix(strings.TrimPrefix(answer, " "), " ")})
		rest = next
	}
	if len(turns) == 0 {
		return nil, fmt.Errorf("%q and text", instr)
	}
	return turns, nil
}
