package data

import (
	"fmt"
	"strings"
)

// WinoGrande is one row of {train_*,dev}.jsonl (Sakaguchi et al., "WinoGrande", AAAI
// 2020).
type WinoGrande struct {
	Line     int
	ID       string
	Sentence string // with "_" where an option goes
	Options  [2]string
	Answer   int // index into Options
}

// ReadWinoGrande reads the official JSON Lines. Rows without an answer (test.jsonl) are an
// error: there is nothing to measure.
func ReadWinoGrande(path string) ([]WinoGrande, error) {
	type row struct {
		ID       string  `json:"qID"`
		Sentence *string `json:"sentence"`
		Option1  *string `json:"option1"`
		Option2  *string `json:"option2"`
		Answer   *string `json:"answer"`
	}
	var out []WinoGrande
	err := readJSONLines(FormatWinoGrande, path, defaultLimits(), func(s *source, line int, v *row) error {
		switch {
		case v.Sentence == nil:
			return s.need(line, "sentence", "text with a _ where an option goes")
		case v.Option1 == nil || v.Option2 == nil || *v.Option1 == "" || *v.Option2 == "":
			return s.need(line, "option1, option2", "two texts")
		case v.Answer == nil || *v.Answer == "":
			return s.bad(line, "answer", "1 or 2 (test.jsonl has no answers)", "nothing")
		case !strings.Contains(*v.Sentence, "_"):
			return s.bad(line, "sentence", "text with a _ where an option goes", quote(*v.Sentence))
		}
		w := WinoGrande{Line: line, ID: v.ID, Sentence: *v.Sentence, Options: [2]string{*v.Option1, *v.Option2}}
		switch *v.Answer {
		case "1":
		case "2":
			w.Answer = 1
		default:
			return s.bad(line, "answer", "1 or 2", quote(*v.Answer))
		}
		out = append(out, w)
		return nil
	})
	return out, err
}

// Partial gives the item in the form of partial evaluation, as lm-evaluation-harness's
// task winogrande does: each option in place of the blank, and the trimmed rest.
func (w WinoGrande) Partial() Partial {
	before, after, _ := strings.Cut(w.Sentence, "_")
	return Partial{Line: w.Line, Contexts: []string{before + w.Options[0], before + w.Options[1]},
		Continuation: strings.TrimSpace(after), Gold: w.Answer}
}

// ReadWinoGrandeItems reads WinoGrande in either of its forms: the official JSON Lines, or
// items in partial-evaluation form (llm-foundry's winogrande.jsonl).
func ReadWinoGrandeItems(path string) ([]Partial, error) {
	if format, err := Detect(path); err == nil && format == FormatPartial {
		return ReadPartial(path)
	}
	rows, err := ReadWinoGrande(path)
	if err != nil {
		return nil, err
	}
	out := make([]Partial, len(rows))
	for i, w := range rows {
		if out[i] = w.Partial(); out[i].Continuation == "" {
			return nil, &Error{Format: FormatWinoGrande, Path: path, Line: w.Line, Field: "sentence",
				Want: "text after the _", Got: fmt.Sprintf("%q", w.Sentence), Mend: mendRow, Err: ErrMalformed}
		}
	}
	return out, nil
}
