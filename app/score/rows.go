package score

import (
	"errors"
	"fmt"
	"io"

	"steer/app/jsonlines"
	"steer/internal/strictjson"
	"steer/rl/data"
)

// Row is what is evaluated: one of a text, token ids, a prompt with its response (which alone counts),
// and a conversation (whose answers count).
type Row struct {
	Where    string // for errors: "answers.jsonl: line 3"
	Line     int    // of the input, from 1; a record has it
	Text     *string
	IDs      []int32
	Mask     []bool // of IDs; nil: all count
	Prompt   *string
	Response *string
	Messages []data.Message
}

// ReadRows reads JSON lines, or plain text lines; blank lines are passed over.
func ReadRows(r io.Reader, name string, plain bool) ([]Row, error) {
	var rows []Row
	err := jsonlines.Each(r, "score: "+name, func(line int, text []byte) error {
		row := Row{Where: fmt.Sprintf("%s: line %d", name, line), Line: line}
		if plain {
			s := string(text)
			row.Text = &s
		} else if err := row.parse(text); err != nil {
			return fmt.Errorf("score: %s: %w", row.Where, err)
		}
		rows = append(rows, row)
		return nil
	})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("score: %s: no rows: want at least one line", name)
	}
	return rows, err
}

// parse reads one JSON object. Keys that mean nothing here are passed over: data files
// carry more than is scored.
func (row *Row) parse(text []byte) error {
	var v struct {
		Text     *string        `json:"text"`
		IDs      []int64        `json:"ids"`
		Mask     []any          `json:"mask"`
		Prompt   *string        `json:"prompt"`
		Response *string        `json:"response"`
		Messages strictjson.Raw `json:"messages"`
	}
	if err := jsonlines.Unmarshal(text, &v); err != nil {
		return err
	}
	messages, err := jsonlines.Messages(v.Messages)
	if err != nil {
		return err
	}
	kinds := 0
	for _, there := range []bool{v.Text != nil, v.IDs != nil, v.Prompt != nil || v.Response != nil, messages != nil} {
		if there {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf(`want "text", or "ids", or "prompt" and "response", or "messages"; got %s`,
			jsonlines.Keys(text))
	case (v.Prompt == nil) != (v.Response == nil):
		return fmt.Errorf(`"prompt" and "response" belong together; got %s`, jsonlines.Keys(text))
	}
	row.Text, row.Prompt, row.Response, row.Messages = v.Text, v.Prompt, v.Response, messages
	if err := row.setIDs(v.IDs); err != nil {
		return err
	}
	return row.setMask(v.Mask)
}

func (row *Row) setIDs(ids []int64) error {
	if ids == nil {
		return nil
	}
	if len(ids) == 0 {
		return errors.New(`field "ids": want at least one token id, got an empty list`)
	}
	row.IDs = make([]int32, len(ids))
	for i, id := range ids {
		if id < 0 || id > 1<<30 {
			return fmt.Errorf(`field "ids[%d]": want a token id, got %d`, i, id)
		}
		row.IDs[i] = int32(id)
	}
	return nil
}

// setMask reads 0, 1, false, true for each id.
func (row *Row) setMask(mask []any) error {
	if mask == nil {
		return nil
	}
	if row.IDs == nil || len(mask) != len(row.IDs) {
		return fmt.Errorf(`field "mask": %d elements, want one for each of "ids" (%d)`, len(mask), len(row.IDs))
	}
	row.Mask = make([]bool, len(mask))
	for i, x := range mask {
		switch x {
		case true, 1.0:
			row.Mask[i] = true
		case false, 0.0:
		default:
			return fmt.Errorf(`field "mask[%d]": want 0 or 1, got %v`, i, x)
		}
	}
	return nil
}
