package data

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Schema is one schema of WSCollection.xml (Davis, Morgenstern, Ortiz). White
// space is collapsed and trimmed in every part. The first 273 are WSC273.
type Schema struct {
	Line             int
	Txt1, Pron, Txt2 string
	Quote1, Quote2   string
	Answers          [2]string
	Correct          int // index into Answers
	Source           string
}

// ReadWSC reads WSCollection.xml. The file is declared ISO-8859-1.
func ReadWSC(path string) ([]Schema, error) {
	body, found, err := readAll(path, limits{fileBytes: 64 << 20})
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, &Error{Format: FormatWSC, Path: found, Want: "data", Got: "an empty file",
			Mend: "fetch the file again", Err: ErrEmpty}
	}
	if err := notInstead(FormatWSC, found, body); err != nil {
		return nil, err
	}
	type element struct {
		Text struct {
			Txt1 string `xml:"txt1"`
			Pron string `xml:"pron"`
			Txt2 string `xml:"txt2"`
		} `xml:"text"`
		Quote struct {
			Quote1 string `xml:"quote1"`
			Quote2 string `xml:"quote2"`
		} `xml:"quote"`
		Answers []string `xml:"answers>answer"`
		Correct string   `xml:"correctAnswer"`
		Source  string   `xml:"source"`
	}
	s := &source{format: FormatWSC, path: found}
	dec := xml.NewDecoder(bytes.NewReader(body))
	dec.CharsetReader = charset
	inCollection := false
	var out []Schema
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := dec.InputPos()
		if err != nil {
			e := &Error{Format: FormatWSC, Path: found, Line: line, Want: "XML", Mend: "fetch the file again",
				Err: fmt.Errorf("%w: %w", ErrMalformed, err)}
			if other := lookalike(path, FormatWSC); other != "" && len(out) == 0 {
				e.Mend, e.Err = other, ErrWrongFormat
			}
			return nil, e
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		if start.Name.Local == "collection" {
			inCollection = true
			continue
		}
		if !inCollection || start.Name.Local != "schema" {
			return nil, &Error{Format: FormatWSC, Path: found, Line: line, Want: "<collection> of <schema>",
				Got: "<" + start.Name.Local + ">", Mend: "name the right file", Err: ErrWrongFormat}
		}
		var v element
		if err := dec.DecodeElement(&v, &start); err != nil {
			return nil, &Error{Format: FormatWSC, Path: found, Line: line, Field: "schema", Want: "a whole <schema>",
				Mend: mendRow, Err: fmt.Errorf("%w: %w", ErrMalformed, err)}
		}
		w := Schema{Line: line, Txt1: collapse(v.Text.Txt1), Pron: collapse(v.Text.Pron), Txt2: collapse(v.Text.Txt2),
			Quote1: collapse(v.Quote.Quote1), Quote2: collapse(v.Quote.Quote2), Source: collapse(v.Source)}
		switch {
		case w.Pron == "":
			return nil, s.bad(line, "pron", "the pronoun", `""`)
		case len(v.Answers) != 2:
			return nil, s.bad(line, "answers", "two answers", fmt.Sprint(len(v.Answers)))
		}
		for i, a := range v.Answers {
			if w.Answers[i] = collapse(a); w.Answers[i] == "" {
				return nil, s.bad(line, fmt.Sprintf("answers[%d]", i), "text", `""`)
			}
		}
		switch strings.TrimSuffix(collapse(v.Correct), ".") {
		case "A":
		case "B":
			w.Correct = 1
		default:
			return nil, s.bad(line, "correctAnswer", "A or B", quote(v.Correct))
		}
		out = append(out, w)
	}
	if len(out) == 0 {
		return nil, s.empty()
	}
	return out, nil
}

// collapse makes every run of white space one blank and trims the ends.
func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }

// charset reads the encodings that the file may declare.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "iso-8859-1", "latin1", "us-ascii", "ascii":
		raw, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		runes := make([]rune, len(raw))
		for i, b := range raw {
			runes[i] = rune(b) // Latin-1 is the first 256 code points
		}
		return strings.NewReader(string(runes)), nil
	case "utf-8":
		return in, nil
	}
	return nil, fmt.Errorf("encoding %q: want ISO-8859-1 or UTF-8", label)
}

// Partial is one item in partial-evaluation form (Trinh & Le 2018): which context
// makes the continuation likelier.
type Partial struct {
	Line         int
	Contexts     []string // each with one answer put in place of the pronoun
	Continuation string
	Gold         int
}

// ReadPartial reads winograd_wsc.jsonl and winogrande.jsonl of llm-foundry.
func ReadPartial(path string) ([]Partial, error) {
	type row struct {
		Contexts     []string `json:"context_options"`
		Continuation *string  `json:"continuation"`
		Gold         *int     `json:"gold"`
	}
	var out []Partial
	err := readJSONLines(FormatPartial, path, defaultLimits(), func(s *source, line int, v *row) error {
		switch {
		case v.Contexts == nil:
			return s.need(line, "context_options", "a list of contexts")
		case len(v.Contexts) < 2:
			return s.bad(line, "context_options", "at least two contexts", fmt.Sprint(len(v.Contexts)))
		case v.Continuation == nil:
			return s.need(line, "continuation", "text")
		case v.Gold == nil:
			return s.need(line, "gold", "an index")
		case *v.Gold < 0 || *v.Gold >= len(v.Contexts):
			return s.bad(line, "gold", fmt.Sprintf("an index below %d", len(v.Contexts)), fmt.Sprint(*v.Gold))
		}
		out = append(out, Partial{Line: line, Contexts: v.Contexts, Continuation: *v.Continuation, Gold: *v.Gold})
		return nil
	})
	return out, err
}
