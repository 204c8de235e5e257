package task

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/jinja"
	"steer/internal/ordered"
	"steer/internal/pyfunc"
	"steer/rl/data"
)

// field is a value of the task file that is computed for every row: the name of a field
// of the data, a template, a whole number, or a fixed list.
type field struct {
	key      string
	line     int
	text     string
	template *jinja.Template // of text
	number   *int
	list     []string
	literal  bool // one word that is no field is text all the same
	function *pyfunc.Function
}

// readField reads what stands at a key.
func (s *source) readField(key string, n *yaml.Node) (field, error) {
	f := field{key: key, line: n.Line}
	switch {
	case n.Tag == functionTag:
		var err error
		f.function, err = s.function(key, n)
		return f, err
	case n.Kind == yaml.SequenceNode:
		list, ok := texts(n)
		if !ok {
			return f, s.fail(key, n.Line, "want a list of texts")
		}
		f.list = list
		return f, nil
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i+1].Kind != yaml.ScalarNode {
				return f, s.fail(key, n.Line, "want texts under the keys")
			}
			f.list = append(f.list, n.Content[i+1].Value)
		}
		return f, nil
	case n.Kind != yaml.ScalarNode:
		return f, s.fail(key, n.Line, "want a text, a number or a list")
	case n.Tag == "!!int":
		i, err := strconv.Atoi(n.Value)
		if err != nil {
			return f, s.fail(key, n.Line, "want a whole number, got %q", n.Value)
		}
		f.number = &i
		return f, nil
	}
	f.text = n.Value
	var err error
	if f.template, err = jinja.Compile(n.Value); err != nil {
		return f, s.fail(key, n.Line, "%v; see docs/tasks.md for what templates may hold", err)
	}
	return f, nil
}

func (t *Task) readFields(s *source, f *file) (err error) {
	t.hasChoice, t.hasID = given(&f.Choice), given(&f.ID)
	for _, k := range []struct {
		key      string
		n        *yaml.Node
		into     *field
		required bool
	}{
		{"doc_to_text", &f.Text, &t.text, t.Output != Rolling},
		{"doc_to_target", &f.Target, &t.target, true},
		{"doc_to_choice", &f.Choice, &t.choice, t.Output == MultipleChoice},
		{"description", &f.Description, &t.description, false},
		{"gen_prefix", &f.GenPrefix, &t.prefix, false},
		{"id", &f.ID, &t.id, false},
	} {
		there := k.n.Kind != 0 && k.n.Tag != "!!null"
		if !there && k.required {
			return s.fail(k.key, 0, "want the name of a field of the data or a template (output_type %s needs "+
				"it), got nothing", t.Output)
		}
		if there {
			if *k.into, err = s.readField(k.key, k.n); err != nil {
				return err
			}
			k.into.literal = k.key == "description" || k.key == "gen_prefix"
		}
	}
	if t.hasChoice && t.choice.number != nil {
		return s.fail("doc_to_choice", t.choice.line, "want a list of choices, got a number")
	}
	if t.text.list != nil {
		return s.fail("doc_to_text", t.text.line, "want a template or the name of a field, got a list")
	}
	if t.hasChoice && t.choice.list != nil && len(t.choice.list) < 2 {
		return s.fail("doc_to_choice", t.choice.line, "want at least two choices, got %d", len(t.choice.list))
	}
	return nil
}

// identifier is what a field of the data could be called.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// on computes the field on a row: int, text, or a list.
func (f *field) on(r *row) (any, error) {
	switch {
	case f.function != nil:
		v, err := f.function.Value(r.document())
		if err != nil {
			return nil, r.fail(f, "%v", err)
		}
		return v, nil
	case f.number != nil:
		return *f.number, nil
	case f.list != nil:
		out := make([]any, len(f.list))
		for i, s := range f.list {
			out[i] = s
		}
		return out, nil
	case f.template == nil:
		return "", nil
	case r.known[f.text]:
		v, ok := r.Fields.Get(f.text)
		if !ok {
			return nil, r.fail(f, "the row has no field %q, others have", f.text)
		}
		if err := unreadable(v); err != "" {
			return nil, r.fail(f, "%s", err)
		}
		return jinja.Normalize(v)
	case !f.literal && f.template.IsPlain() && identifier.MatchString(f.text):
		return nil, r.fail(f, "%q is no field of the data and no template; the fields are %s", f.text, r.names())
	}
	text, err := f.template.Render(r.vars())
	if err != nil {
		return nil, r.template(f, err)
	}
	return text, nil
}

// unreadable says why a value of the data cannot be used; "" if it can.
func unreadable(v any) string {
	switch x := v.(type) {
	case data.Unreadable:
		return string(x)
	case []any:
		for _, e := range x {
			if why := unreadable(e); why != "" {
				return why
			}
		}
	case *ordered.Map:
		for _, e := range x.All() {
			if why := unreadable(e); why != "" {
				return why
			}
		}
	}
	return ""
}

// listOn is on, where a list of texts is wanted: a template stands for the value of its
// one expression.
func (f *field) listOn(r *row) ([]string, error) {
	var v any
	var err error
	if f.function == nil && f.template != nil && !r.known[f.text] {
		if f.template.IsPlain() && identifier.MatchString(f.text) {
			return nil, r.fail(f, "%q is no field of the data and no template; the fields are %s", f.text, r.names())
		}
		if v, err = f.template.Value(r.vars()); err != nil {
			return nil, r.template(f, err)
		}
	} else if v, err = f.on(r); err != nil {
		return nil, err
	}
	items, ok := v.([]any)
	if !ok {
		return nil, r.fail(f, "want a list of texts, got %v", v)
	}
	out := make([]string, len(items))
	for i, e := range items {
		if out[i], ok = e.(string); !ok {
			return nil, r.fail(f, "want a list of texts, element %d is %v", i, e)
		}
	}
	return out, nil
}

// indexOr gives a rendered text of digits as a number, where choices make it an index.
func (t *Task) indexOr(v any) any {
	s, ok := v.(string)
	if !ok || !t.hasChoice || s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		return v
	}
	if i, err := strconv.Atoi(s); err == nil {
		return i
	}
	return v
}

// textOf is doc_to_text on a row: text, or the index of the right one of several
// contexts.
func (t *Task) textOf(f *form, r *row) (any, error) {
	v, err := f.text.on(r)
	if err != nil {
		return nil, err
	}
	if f.text.function == nil && !r.known[f.text.text] {
		v = t.indexOr(v)
	}
	switch v.(type) {
	case string, int:
		return v, nil
	}
	return nil, r.fail(&f.text, "want text, got %v", v)
}

// targetOf is doc_to_target on a row: an index, a text or a list of texts.
func (t *Task) targetOf(f *form, r *row) (any, error) {
	v, err := f.target.on(r)
	if err != nil {
		return nil, err
	}
	if f.target.template != nil && !r.known[f.target.text] {
		if s := v.(string); len(s) >= 2 && s[0] == '[' && s[len(s)-1] == ']' {
			if list, err := f.target.template.Value(r.vars()); err == nil {
				v = list
			}
		}
		v = t.indexOr(v)
	}
	switch x := v.(type) {
	case bool:
		if f.hasChoice {
			return map[bool]int{true: 1}[x], nil
		}
	case string, int:
		return v, nil
	case float64:
		if x == float64(int(x)) {
			return int(x), nil
		}
	case []any:
		if !slices.ContainsFunc(x, func(e any) bool { _, ok := e.(string); return !ok }) {
			return x, nil
		}
	}
	return nil, r.fail(&f.target, "want an index, a text or a list of texts, got %v", v)
}
