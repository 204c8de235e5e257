package function

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"steer/internal/ordered"
	"steer/internal/printable"
	"steer/internal/strictjson"
	"steer/rl/data"
)

// ProtocolVersion is that of what programs and servers are asked; it stands in each question.
const ProtocolVersion = 1

// maxAnswerBytes bounds one answer.
const maxAnswerBytes = 1 << 20

// question is a sample as it is asked about.
type question struct {
	Protocol int            `json:"protocol"`
	ID       int64          `json:"id"`     // of the question, never the same twice
	Sample   string         `json:"sample"` // row of the data
	Prompt   string         `json:"prompt"`
	Messages []data.Message `json:"messages,omitempty"`
	Answer   string         `json:"answer"`
	Fields   map[string]any `json:"fields"`
}

// ask writes a question as one line of JSON, its line end included.
func ask(id int64, s *Sample, fields []string) ([]byte, error) {
	q := question{Protocol: ProtocolVersion, ID: id, Sample: s.ID, Prompt: s.Prompt, Messages: s.Messages,
		Answer: s.Answer, Fields: map[string]any{}}
	for name, value := range s.Fields {
		if len(fields) == 0 || slices.Contains(fields, name) {
			q.Fields[name] = plain(value)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // ends with a line end, and keeps one inside a text as \n
	enc.SetEscapeHTML(false)
	if err := enc.Encode(q); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// plain puts what encoding/json can write in place of maps that keep their order.
func plain(v any) any {
	switch x := v.(type) {
	case *ordered.Map:
		out := make(map[string]any, x.Len())
		for k, e := range x.All() {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = plain(e)
		}
		return out
	}
	return v
}

// reply is what a program or a server says of one sample.
type reply struct {
	id     int64
	hasID  bool
	scores []float64 // in the order of the names that are wanted; NaN: not scored
}

// wantOf says what an answer looks like.
func wantOf(names []string) string {
	if len(names) == 0 {
		return `an answer like {"id": 7, "score": 0.5}, or the number alone, or null where this reward does not ` +
			"score the sample"
	}
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%q: 0.5", n))
	}
	return fmt.Sprintf(`an answer like {"id": 7, "scores": {%s}}, or null where this reward does not score the sample`,
		strings.Join(parts, ", "))
}

// parseReply reads an answer; names are those of its scores, none where it is one score.
func parseReply(text []byte, names []string) (reply, error) {
	if err := strictjson.Check(text); err != nil {
		return reply{}, notJSON(text, err)
	}
	r := reply{scores: make([]float64, max(1, len(names)))}
	switch strictjson.Kind(text) {
	case '{':
		err := r.object(text, names)
		return r, err
	case 'n':
		r.unscored()
		return r, nil
	case '0':
		if len(names) > 0 {
			return r, fmt.Errorf("gave one number, %s, where %d named scores are wanted", show(text), len(names))
		}
		var err error
		r.scores[0], err = score("", text)
		return r, err
	}
	return r, fmt.Errorf("gave %s", strictjson.Describe(text))
}

// notJSON says in what way a text is no JSON.
func notJSON(text []byte, err error) error {
	for _, word := range []string{"NaN", "Infinity"} {
		if bytes.Contains(text, []byte(word)) {
			return fmt.Errorf("gave %s: %s is no number in JSON, and no score", show(text), word)
		}
	}
	var own *strictjson.Error
	if errors.As(err, &own) {
		return fmt.Errorf("gave %s, which is no JSON (%s)", show(text), own.Cause())
	}
	return fmt.Errorf("gave %s, which is no JSON", show(text))
}

func show(text []byte) string {
	return `"` + printable.Text(strings.ToValidUTF8(string(text), "\uFFFD"), 120) + `"`
}

func (r *reply) unscored() {
	for i := range r.scores {
		r.scores[i] = math.NaN()
	}
}

// object reads {"id": ..., "score": ...} or {"id": ..., "scores": {...}}. Other keys are the program's own.
func (r *reply) object(text []byte, names []string) error {
	var keys map[string]strictjson.Raw
	if err := strictjson.Unmarshal(text, &keys); err != nil {
		return err
	}
	if raw, ok := keys["id"]; ok {
		if err := strictjson.Unmarshal(raw, &r.id); err != nil {
			return fmt.Errorf("gave the id %s, which is not one that it was asked with: a whole number", show(raw))
		}
		r.hasID = true
	}
	one, hasOne := keys["score"]
	several, hasSeveral := keys["scores"]
	switch {
	case hasOne && hasSeveral:
		return fmt.Errorf(`gave both "score" and "scores": %s`, show(text))
	case !hasOne && !hasSeveral:
		return fmt.Errorf(`gave neither "score" nor "scores": %s`, show(text))
	case hasOne && len(names) > 0 && strictjson.Kind(one) != 'n':
		return fmt.Errorf(`gave one "score" where %d named scores are wanted: %s`, len(names), show(text))
	case hasSeveral && len(names) == 0:
		return fmt.Errorf(`gave named scores, which are not listed under "scores" of the reward: %s`, show(text))
	case hasSeveral:
		return r.named(several, names)
	case strictjson.Kind(one) == 'n':
		r.unscored()
		return nil
	}
	var err error
	r.scores[0], err = score("score", one)
	return err
}

// named reads {"correct": 1, "format": null}: each of the names, and no other.
func (r *reply) named(text strictjson.Raw, names []string) error {
	if strictjson.Kind(text) == 'n' {
		r.unscored()
		return nil
	}
	var scores map[string]strictjson.Raw
	if err := strictjson.Unmarshal(text, &scores); err != nil {
		return fmt.Errorf(`gave %s as "scores", which is no object of names and numbers`, show(text))
	}
	for _, name := range slices.Sorted(maps.Keys(scores)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("gave a score %q, which is not one of %q", name, names)
		}
	}
	for i, name := range names {
		raw, ok := scores[name]
		if !ok {
			return fmt.Errorf("gave no score %q", name)
		}
		if strictjson.Kind(raw) == 'n' {
			r.scores[i] = math.NaN()
			continue
		}
		var err error
		if r.scores[i], err = score(name, raw); err != nil {
			return err
		}
	}
	return nil
}

// score reads a number.
func score(name string, raw []byte) (float64, error) {
	what := "gave " + show(raw)
	if name != "" {
		what += fmt.Sprintf(" as %q", name)
	}
	if k := strictjson.Kind(raw); k == 't' || k == 'f' {
		return 0, fmt.Errorf("%s: write 1 for true and 0 for false", what)
	}
	var x float64
	if err := strictjson.Unmarshal(raw, &x); err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0, fmt.Errorf("%s, which is no finite number", what)
	}
	return x, nil
}
