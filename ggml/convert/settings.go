package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
)

// settings are what a configuration file says. The first mistake in it is kept in err, so that many
// values can be read before it is looked at.
type settings struct {
	path   string
	values map[string]any
	err    error
}

const tiedKey = "tie_word_embeddings"

// readSettings reads config.json. What it says of the text model ("text_config") stands over the rest.
func readSettings(path string) (*settings, error) {
	values, err := readObject(path)
	if err != nil {
		return nil, err
	}
	tied, said := values[tiedKey]
	if text, ok := values["text_config"].(map[string]any); ok {
		for k, v := range text {
			values[k] = v
		}
	}
	if said { // of the whole model, which is what transformers ties
		values[tiedKey] = tied
	}
	return &settings{path: path, values: values}, nil
}

func readObject(path string) (map[string]any, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var values map[string]any
	if err := d.Decode(&values); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(raw[:min(int(syntax.Offset), len(raw))], []byte("\n"))
			return nil, fmt.Errorf("%s: line %d: %w", path, line, err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if values == nil {
		return nil, fmt.Errorf("%s: want a JSON object", path)
	}
	return values, nil
}

func (s *settings) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%s: %w", s.path, fmt.Errorf(format, args...))
	}
}

// has tells whether a key has a value other than null.
func (s *settings) has(key string) bool { return s.values[key] != nil }

// assume sets what transformers takes for keys that are not there.
func (s *settings) assume(defaults map[string]any) {
	for k, v := range defaults {
		if _, ok := s.values[k]; !ok {
			s.values[k] = v
		}
	}
}

// object is the settings within a key; none if there is no such key.
func (s *settings) object(key string) *settings {
	o := &settings{path: s.path + ": " + key, values: map[string]any{}}
	switch v := s.values[key].(type) {
	case nil:
	case map[string]any:
		o.values = v
	default:
		s.fail("%s: want an object, got %v", key, v)
	}
	return o
}

func (s *settings) number(key string) float64 {
	switch v := s.values[key].(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	case float64:
		return v
	case int:
		return float64(v)
	case nil:
		s.fail("%s is missing: want a number", key)
		return 0
	}
	s.fail("%s is %v: want a number", key, s.values[key])
	return 0
}

// count is a whole number of 1 or more.
func (s *settings) count(key string) int {
	f := s.number(key)
	if s.err == nil && (f < 1 || f > math.MaxInt32 || f != math.Trunc(f)) {
		s.fail("%s is %v: want a whole number from 1 on", key, s.values[key])
	}
	return int(f)
}

func (s *settings) flag(key string) bool {
	switch v := s.values[key].(type) {
	case bool:
		return v
	case nil:
		return false
	}
	s.fail("%s is %v: want true or false", key, s.values[key])
	return false
}

func (s *settings) text(key string) string {
	switch v := s.values[key].(type) {
	case string:
		return v
	case nil:
		return ""
	}
	s.fail("%s is %v: want a text", key, s.values[key])
	return ""
}

// texts is a list of texts; nil if there is none.
func (s *settings) texts(key string) []string {
	list, ok := s.values[key].([]any)
	if !ok {
		if s.has(key) {
			s.fail("%s is %v: want a list of texts", key, s.values[key])
		}
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		if out[i], ok = v.(string); !ok {
			s.fail("%s[%d] is %v: want a text", key, i, v)
		}
	}
	return out
}

// numbers is a list of numbers; nil if there is none.
func (s *settings) numbers(key string) []float64 {
	list, ok := s.values[key].([]any)
	if !ok {
		if s.has(key) {
			s.fail("%s is %v: want a list of numbers", key, s.values[key])
		}
		return nil
	}
	out := make([]float64, len(list))
	for i := range list {
		n := &settings{values: map[string]any{"": list[i]}}
		if out[i] = n.number(""); n.err != nil {
			s.fail("%s[%d] is %v: want a number", key, i, list[i])
		}
	}
	return out
}

// ids are the special tokens that the configuration names by a single number.
func (s *settings) ids() map[string]int {
	ids := map[string]int{}
	for key, v := range s.values {
		if n, ok := v.(json.Number); ok && strings.HasSuffix(key, "_token_id") {
			if id, err := n.Int64(); err == nil {
				ids[key] = int(id)
			}
		}
	}
	return ids
}
