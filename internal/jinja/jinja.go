package jinja

import (
	"fmt"
	"strings"
	"time"

	"steer/internal/ordered"
)

// Error is a mistake in a template, or of a template on a document.
type Error struct {
	Line, Col int // of the template, from 1; 0 where they are not known
	Msg       string
	// Raised: the template itself refused, by raise_exception(Msg).
	Raised bool
}

// Error renders "template line N, column M: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return "template: " + e.Msg
	}
	return fmt.Sprintf("template line %d, column %d: %s", e.Line, e.Col, e.Msg)
}

func fail(at pos, format string, args ...any) error {
	return &Error{Line: at.line, Col: at.col, Msg: fmt.Sprintf(format, args...)}
}

// Template is a compiled template; it may be used by several goroutines.
type Template struct {
	body    []statement
	chat    bool
	answers bool
}

// Compile parses the template of a benchmark task, strictly: an undefined name is an error as soon
// as it is used. A trailing newline is kept, as lm-evaluation-harness keeps it.
func Compile(source string) (*Template, error) { return compile(source, false) }

// CompileChat parses a chat template, set up as transformers sets Jinja up: trim_blocks and
// lstrip_blocks, the last line end left out, undefined names that print as nothing, loop controls,
// {% generation %}, raise_exception, strftime_now, and a tojson without HTML escapes.
func CompileChat(source string) (*Template, error) { return compile(source, true) }

func compile(source string, chat bool) (t *Template, err error) {
	tokens, err := lex(source, chat, !chat)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, chat: chat}
	defer func() {
		switch bad := recover().(type) {
		case nil:
		case *Error:
			t, err = nil, bad
		default: // the parser meets text of the user
			t, err = nil, &Error{Msg: fmt.Sprintf("not understood: %v", bad)}
		}
	}()
	body := p.statements(token{})
	return &Template{body: body, chat: chat, answers: p.answer}, nil
}

// Render gives the text of the template on variables.
func (t *Template) Render(vars map[string]any) (string, error) {
	m, err := t.run(vars, time.Time{}, false)
	if err != nil {
		return "", err
	}
	return m.out.text().s, nil
}

// Text is a text with where it is from: a number of the caller's, above 0, that it finds again in
// the pieces of a rendering.
type Text struct {
	S      string
	Source int
}

// Data is a value all of whose texts, keys of dicts among them, are from one source.
type Data struct {
	Value  any
	Source int
}

// Piece is a part of a rendering that is from one source; 0 is the template. Answer says that it was
// written inside {% generation %}.
type Piece struct {
	Text   string
	Source int
	Answer bool
}

// Pieces renders the template and tells what in it is from where: a text keeps its source through
// filters, methods and operators. now is what strftime_now formats; templates
// do not have it at the zero time, and some then write a date of their own. The pieces end to end are what
// Render gives.
func (t *Template) Pieces(vars map[string]any, now time.Time) ([]Piece, error) {
	m, err := t.run(vars, now, false)
	if err != nil {
		return nil, err
	}
	var out []Piece
	m.out.text().each(func(part string, k mark) { out = append(out, Piece{part, k.source, k.answer}) })
	return out, nil
}

// MarksAnswers says that the template has {% generation %} blocks.
func (t *Template) MarksAnswers() bool { return t.answers }

// Value gives the value of the one {{ expression }} that the template writes on these
// variables, where Python would read the text back by ast.literal_eval: the list of
// "{{ [a, b] }}", or of plain "['x', 'y']". Other text than white space is an error.
func (t *Template) Value(vars map[string]any) (any, error) {
	m, err := t.run(vars, time.Time{}, true)
	if err != nil {
		return nil, err
	}
	switch text := strings.TrimSpace(m.out.text().s); {
	case len(m.values) == 0 && text != "":
		var v any
		plain, err := Compile("{{" + text + "}}")
		if err == nil {
			v, err = plain.Value(nil)
		}
		if err != nil {
			return nil, &Error{Msg: fmt.Sprintf("want {{ an expression }} or a list, got the text %q", text)}
		}
		return v, nil
	case len(m.values) != 1 || text != "":
		return nil, &Error{Msg: fmt.Sprintf("want one {{ expression }} and nothing beside it, got %d and the text %q",
			len(m.values), text)}
	}
	return outside(m.values[0]), nil
}

// IsPlain says that the template has no expression and no statement.
func (t *Template) IsPlain() bool {
	for _, st := range t.body {
		if _, ok := st.(*dataStatement); !ok {
			return false
		}
	}
	return true
}

// Unusable is a value that a template may hold, but not use: using it is an error that
// says why.
func Unusable(why string) any { return unusable(why) }

// Normalize brings a value into the forms that templates know; integers become int. Go's
// maps are refused: they have no order, and templates see a dict's.
func Normalize(v any) (any, error) {
	switch x := v.(type) {
	case nil, bool, int, float64, string, unusable:
		return v, nil
	case int64:
		return int(x), nil
	case int32:
		return int(x), nil
	case float32:
		return float64(x), nil
	case []string:
		out := make([]any, len(x))
		for i := range x {
			out[i] = x[i]
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			var err error
			if out[i], err = Normalize(x[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *ordered.Map:
		out := ordered.New(x.Len())
		for k, e := range x.All() {
			v, err := Normalize(e)
			if err != nil {
				return nil, err
			}
			out.Set(k, v)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a template cannot hold a %T", v)
}

// run renders; keep keeps the values of {{ }} instead of writing them.
func (t *Template) run(vars map[string]any, now time.Time, keep bool) (m *machine, err error) {
	m = &machine{keep: keep, strict: !t.chat, now: now, out: &builder{}}
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, &Error{Msg: fmt.Sprintf("not understood: %v", p)}
		}
	}()
	top := &scope{vars: make(map[string]any, len(vars)), parent: &scope{vars: globals(t.chat, !now.IsZero())}}
	for k, v := range vars {
		if top.vars[k], err = inside(v, 0); err != nil {
			return nil, &Error{Msg: fmt.Sprintf("variable %q: %v", k, err)}
		}
	}
	return m, m.write(t.body, top)
}

// maxSteps bounds the expressions and statements of a rendering: what takes more does not end.
const maxSteps = 5_000_000

// machine is one rendering.
type machine struct {
	strict bool
	now    time.Time
	out    *builder
	steps  int
	depth  int   // macros that call each other
	keep   bool  // keep values instead of writing them
	values []any // of the {{ }} met
}

// spend counts work.
func (m *machine) spend(at pos, n int) error {
	if m.steps += n; m.steps > maxSteps {
		return fail(at, "more than %d steps: the template does not seem to end", maxSteps)
	}
	return nil
}

// scope holds the variables of a template, a block or one round of a loop.
type scope struct {
	vars   map[string]any
	parent *scope
}

func (s *scope) inner() *scope { return &scope{vars: map[string]any{}, parent: s} }

func (s *scope) get(name string) (any, bool) {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// write renders statements in order.
func (m *machine) write(body []statement, s *scope) error {
	for _, st := range body {
		if err := st.run(m, s); err != nil {
			return err
		}
	}
	return nil
}

// put appends a text to the rendering.
func (m *machine) put(at pos, t text) error {
	if m.out.len()+len(t.s) > maxText {
		return fail(at, "the rendering is longer than %d bytes", maxText)
	}
	m.out.write(t)
	return nil
}

// capture gives what statements write.
func (m *machine) capture(body []statement, s *scope) (text, error) {
	before, kept := m.out, m.keep
	m.out, m.keep = &builder{}, false
	defer func() { m.out, m.keep = before, kept }()
	err := m.write(body, s)
	return m.out.text(), err
}
