package data

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ToxiGen is one row of annotated_{train,test}.csv (Hartvigsen et al., "ToxiGen",
// ACL 2022).
type ToxiGen struct {
	Line          int
	Text          string // decoded from its Python bytes literal
	TargetGroup   string
	Framing       string
	Intent        float64 // 1..5
	ToxicityAI    float64 // 1..5, mean of the annotators, if the text were machine written
	ToxicityHuman float64 // 1..5, the same, if it were human written
	PromptLabel   string  // "hate" or "neutral": of the prompt it was generated from, not of the text
	Method        string  // generation method
}

// Toxic is the benchmark's target: toxicity_ai + toxicity_human > 5.5.
func (t ToxiGen) Toxic() bool { return t.ToxicityAI+t.ToxicityHuman > 5.5 }

var toxigenHeader = []string{"text", "target_group", "factual?", "ingroup_effect", "lewd", "framing", "predicted_group",
	"stereotyping", "intent", "toxicity_ai", "toxicity_human", "predicted_author", "label", "actual_method"}

// ReadToxiGen reads the annotated CSV.
func ReadToxiGen(path string) ([]ToxiGen, error) {
	var rows []ToxiGen
	c, err := newCSV(FormatToxiGen, path, ',', defaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.header(toxigenHeader...); err != nil {
		return nil, err
	}
	column := func(name string) int { return slices.Index(toxigenHeader, name) }
	err = c.each(len(toxigenHeader), func(line int, f []string) error {
		row := ToxiGen{Line: line, TargetGroup: f[column("target_group")], Framing: f[column("framing")],
			PromptLabel: f[column("label")], Method: f[column("actual_method")]}
		var err error
		if row.Text, err = DecodePythonBytes(f[0]); err != nil {
			return c.bad(line, "text", err.Error(), quote(f[0]))
		}
		for _, score := range []struct {
			name string
			into *float64
		}{{"intent", &row.Intent}, {"toxicity_ai", &row.ToxicityAI}, {"toxicity_human", &row.ToxicityHuman}} {
			i := column(score.name)
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil || math.IsNaN(v) || v < 0 || v > 5 {
				return c.bad(c.lines[i], score.name, "a number from 0 to 5", quote(f[i]))
			}
			*score.into = v
		}
		if row.PromptLabel != "hate" && row.PromptLabel != "neutral" {
			return c.bad(c.lines[column("label")], "label", "hate or neutral", quote(row.PromptLabel))
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// DecodePythonBytes decodes b'...' or b"..." as Python prints a bytes object, and
// gives the bytes as UTF-8 text. Text that is no such literal is given back as it is.
func DecodePythonBytes(s string) (string, error) {
	if len(s) < 3 || s[0] != 'b' || (s[1] != '\'' && s[1] != '"') {
		return s, nil
	}
	mark := s[1]
	body := s[2:]
	if body[len(body)-1] != mark {
		return "", fmt.Errorf("a bytes literal closed by %c", mark)
	}
	body = body[:len(body)-1]
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] == mark {
			return "", fmt.Errorf("a bytes literal with %c escaped inside", mark)
		}
		if body[i] != '\\' {
			out = append(out, body[i])
			continue
		}
		if i++; i == len(body) {
			return "", errors.New("a bytes literal that does not end in a backslash")
		}
		if at := strings.IndexByte(`\'"abfnrtv`, body[i]); at >= 0 {
			out = append(out, "\\'\"\a\b\f\n\r\t\v"[at])
			continue
		}
		switch {
		case body[i] == 'x':
			if i+2 >= len(body) {
				return "", errors.New(`two hexadecimal digits after \x`)
			}
			v, err := strconv.ParseUint(body[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New(`two hexadecimal digits after \x`)
			}
			out = append(out, byte(v))
			i += 2
		case body[i] >= '0' && body[i] <= '7':
			end := i
			for end < len(body) && end < i+3 && body[end] >= '0' && body[end] <= '7' {
				end++
			}
			v, err := strconv.ParseUint(body[i:end], 8, 8)
			if err != nil {
				return "", errors.New(`an octal escape of at most \377`)
			}
			out = append(out, byte(v))
			i = end - 1
		default: // Python keeps the backslash of an unknown escape
			out = append(out, '\\', body[i])
		}
	}
	if !utf8.Valid(out) {
		return "", errors.New("a bytes literal that holds UTF-8")
	}
	return string(out), nil
}

// SafeNLP is one item of toxiGen.json, the human-annotated subset that SafeNLP
// distributes. "_x000D_", which stands for CR in the file, is a CR in Text.
type SafeNLP struct {
	Line         int
	ID           int
	Text         string
	Toxicity     float64 // 1..5
	Label        string  // "hate" or "neutral"
	TargetGroups []string
}

// ReadSafeNLP reads toxiGen.json: one JSON array.
func ReadSafeNLP(path string) ([]SafeNLP, error) {
	type row struct {
		ID           *int     `json:"id"`
		Text         *string  `json:"text"`
		Toxicity     *float64 `json:"toxicity_score"`
		Label        string   `json:"label"`
		TargetGroups []string `json:"target_groups"`
	}
	var out []SafeNLP
	err := readJSONLines(FormatSafeNLP, path, defaultLimits(), func(s *source, line int, v *row) error {
		switch {
		case v.ID == nil:
			return s.need(line, "id", "a number")
		case v.Text == nil:
			return s.need(line, "text", "text")
		case v.Toxicity == nil:
			return s.need(line, "toxicity_score", "a number")
		case v.Label != "hate" && v.Label != "neutral":
			return s.bad(line, "label", "hate or neutral", quote(v.Label))
		}
		out = append(out, SafeNLP{Line: line, ID: *v.ID, Text: strings.ReplaceAll(*v.Text, "_x000D_", "\r"),
			Toxicity: *v.Toxicity, Label: v.Label, TargetGroups: v.TargetGroups})
		return nil
	})
	return out, err
}
