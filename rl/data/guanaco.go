package data

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

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
		turns = append(turns, Message{Role: role, Content: strings.TrimPrefix(rest[:end], " ")})
		rest = rest[end:]
	}
	return turns, nil
}

// ReadGuanacoParquet reads the parquet form of the guanaco subset: one string
// column "text" holding `<s>[INST] h [/INST] a </s>` once a turn. Line counts rows from 1.
func ReadGuanacoParquet(path string) ([]Conversation, error) {
	f, err := openParquet(path, FormatGuanacoParquet)
	if err != nil {
		var e *Error
		if other := lookalike(path, FormatGuanacoParquet); other != "" && errors.Is(err, ErrWrongFormat) &&
			errors.As(err, &e) {
			e.Mend = other
		}
		return nil, err
	}
	found := f.path
	fail := func(line int, want, got string, err error) error {
		return &Error{Format: FormatGuanacoParquet, Path: found, Line: line, Field: "text", Want: want, Got: got,
			Mend: "fetch the file again", Err: err}
	}
	texts, err := f.texts("text")
	if err != nil {
		return nil, fail(0, "", "", fmt.Errorf("%w: %w", ErrMalformed, err))
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

// texts reads one string column.
func (f *parquetFile) texts(column string) (out []string, err error) {
	defer f.recovered(&err)
	leaf, found := f.Schema().Lookup(column)
	if !found || leaf.Node.Type().Kind() != parquet.ByteArray {
		return nil, fmt.Errorf("no string column %q: the columns are %v", column, f.Schema().Columns())
	}
	total := 0
	add := func(v parquet.Value) error {
		switch {
		case v.IsNull():
			return fmt.Errorf("row %d: field %q is null", len(out)+1, column)
		case !utf8.Valid(v.ByteArray()):
			return fmt.Errorf("row %d: field %q: %w", len(out)+1, column, ErrNotUTF8)
		}
		if total += len(v.ByteArray()); total > MaxFileBytes {
			return fmt.Errorf("%w: unpacks to more than %d bytes", ErrTooLarge, MaxFileBytes)
		}
		out = append(out, string(v.ByteArray()))
		return nil
	}
	for _, group := range f.RowGroups() {
		if err := eachValue(group.ColumnChunks()[leaf.ColumnIndex].Pages(), add); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachValue calls f for the values of all pages, a few at a time: how many a page says it
// holds is not believed.
func eachValue(pages parquet.Pages, f func(parquet.Value) error) (err error) {
	defer func() { err = errors.Join(err, pages.Close()) }()
	var some [256]parquet.Value
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for values := page.Values(); ; {
			n, err := values.ReadValues(some[:])
			for _, v := range some[:n] {
				if err := f(v); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if n == 0 {
				return io.ErrNoProgress
			}
		}
		parquet.Release(page)
	}
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
		if sys, user, found := strings.Cut(human, sysShut); found && len(turns) == 0 &&
			strings.HasPrefix(sys, sysOpen) {
			turns = append(turns, Message{Role: RoleSystem, Content: sys[len(sysOpen):]})
			human = user
		}
		answer, next, _ := strings.Cut(after, shut)
		turns = append(turns, Message{Role: RoleUser, Content: human})
		turns = append(turns, Message{Role: RoleAssistant, Content: strings.TrimSuffix(strings.TrimPrefix(answer, " "),
			" ")})
		rest = next
	}
	if len(turns) == 0 {
		return nil, fmt.Errorf("%q and text", instr)
	}
	return turns, nil
}
