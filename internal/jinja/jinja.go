package jinja

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"steer/internal/ordered"
	"steer/internal/pystr"
)

// Error is a mistake in a template, or of a template on a document.
type Error struct {
	Line int // 1-based line of the template; 0 where it is not known
	Msg  string
}

// Error renders "template line N: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return "template: " + e.Msg
	}
	return fmt.Sprintf("template line %d: %s", e.Line, e.Msg)
}

func fail(at nodes.Node, format string, args ...any) error {
	return &Error{Line: lineOf(at), Msg: fmt.Sprintf(format, args...)}
}

// lineOf survives nodes without a position.
func lineOf(at nodes.Node) (line int) {
	defer func() { _ = recover() }()
	if at == nil {
		return 0
	}
	if t := at.Position(); t != nil {
		return t.Line
	}
	return 0
}

// Template is a compiled template; it may be used by several goroutines.
type Template struct{ body []nodes.Node }

// Compile parses a template. A trailing newline is kept, as lm-evaluation-harness keeps
// it.
func Compile(source string) (t *Template, err error) {
	defer func() { // the parser is a library over text of the user
		if p := recover(); p != nil {
			t, err = nil, &Error{Msg: fmt.Sprintf("not understood: %v", p)}
		}
	}()
	cfg := config.New()
	cfg.KeepTrailingNewline = true
	cfg.StrictUndefined = true
	root, err := parser.NewParser("template", tokens.LexAll(source, cfg), cfg, nil, statements{}).Parse()
	if err != nil {
		var at *parser.SyntaxError
		if errors.As(err, &at) {
			return nil, &Error{Line: at.Line, Msg: fmt.Sprintf("%s near %q", strings.TrimSuffix(at.Message, "."),
				at.Raw)}
		}
		return nil, &Error{Msg: err.Error()}
	}
	return &Template{body: root.Nodes}, nil
}

// Render gives the text of the template on variables.
func (t *Template) Render(vars map[string]any) (string, error) {
	m, err := t.run(vars, false)
	if err != nil {
		return "", err
	}
	return m.out.String(), nil
}

// Value gives the value of the one {{ expression }} that the template writes on these
// variables, where Python would read the text back by ast.literal_eval: the list of
// "{{ [a, b] }}", or of plain "['x', 'y']". Other text than white space is an error.
func (t *Template) Value(vars map[string]any) (any, error) {
	m, err := t.run(vars, true)
	if err != nil {
		return nil, err
	}
	switch text := strings.TrimSpace(m.out.String()); {
	case len(m.values) == 0 && text != "":
		plain, err := Compile("{{" + text + "}}")
		if err != nil {
			return nil, &Error{Msg: fmt.Sprintf("want {{ an expression }} or a list, got the text %q", text)}
		}
		return plain.Value(nil)
	case len(m.values) != 1 || text != "":
		return nil, &Error{Msg: fmt.Sprintf("want one {{ expression }} and nothing beside it, got %d and the text %q",
			len(m.values), text)}
	}
	return lists(m.values[0]), nil
}

// lists makes tuples lists, for callers to whom they are the same.
func lists(v any) any {
	switch x := v.(type) {
	case tuple:
		return lists([]any(x))
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = lists(x[i])
		}
		return out
	case *ordered.Map:
		out := ordered.New(x.Len())
		for k, e := range x.All() {
			out.Set(k, lists(e))
		}
		return out
	}
	return v
}

// IsPlain says that the template has no expression and no statement.
func (t *Template) IsPlain() bool {
	for _, n := range t.body {
		switch n.(type) {
		case nil, *nodes.Data, *nodes.Comment:
		default:
			return false
		}
	}
	return true
}

func (t *Template) run(vars map[string]any, keep bool) (m *machine, err error) {
	m = &machine{keep: keep}
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, &Error{Msg: fmt.Sprintf("not understood: %v", p)}
		}
	}()
	top := &scope{vars: make(map[string]any, len(vars))}
	for k, v := range vars {
		if top.vars[k], err = Normalize(v); err != nil {
			return nil, &Error{Msg: fmt.Sprintf("variable %q: %v", k, err)}
		}
	}
	return m, m.write(t.body, top)
}

// Unusable is a value that a template may hold, but not use: using it is an error that
// says why.
func Unusable(why string) any { return undefined(why) }

// Normalize brings a value into the forms that templates know; integers become int. Go's
// maps are refused: they have no order, and templates see a dict's.
func Normalize(v any) (any, error) {
	switch x := v.(type) {
	case nil, bool, int, float64, string, undefined:
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

// machine is one rendering.
type machine struct {
	out    strings.Builder
	keep   bool  // keep values instead of writing them
	values []any // of the {{ }} met
}

// scope holds the variables of a template or of one round of a loop.
type scope struct {
	vars   map[string]any
	parent *scope
}

func (s *scope) get(name string) (any, bool) {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// statement is a {% %} block.
type statement interface {
	run(*machine, *scope) error
}

// write renders nodes in order.
func (m *machine) write(body []nodes.Node, s *scope) error {
	for _, n := range body {
		switch n := n.(type) {
		case nil, *nodes.Comment:
		case *nodes.Data:
			m.out.WriteString(dataText(n))
		case *nodes.Output:
			v, err := conditional(n, n.Expression, n.Condition, n.Alternative, s)
			if err != nil {
				return err
			}
			if m.keep {
				m.values = append(m.values, v)
				continue
			}
			m.out.WriteString(str(v))
		case *nodes.ControlStructureBlock:
			st, ok := n.ControlStructure.(statement)
			if !ok {
				return fail(n, "{%% %s %%} is not supported", n.Name)
			}
			if err := st.run(m, s); err != nil {
				return err
			}
		default:
			return fail(n, "%T is not supported", n)
		}
	}
	return nil
}

// dataText applies white space control to the text between tags.
func dataText(n *nodes.Data) string {
	text := n.Data.Val
	if n.Trim.Left {
		text = strings.TrimLeftFunc(text, pystr.IsSpace)
	}
	if n.Trim.Right {
		text = strings.TrimRightFunc(text, pystr.IsSpace)
	}
	return text
}

// conditional evaluates "value if condition else alternative" and insists on a value.
func conditional(at nodes.Node, value, condition, alternative nodes.Expression, s *scope) (any, error) {
	if condition != nil {
		c, err := eval(condition, s)
		if err != nil {
			return nil, err
		}
		yes, err := truth(condition, c)
		if err != nil {
			return nil, err
		}
		switch {
		case !yes && alternative == nil:
			return nil, fail(at, "the condition does not hold and there is no else: Jinja leaves that undefined")
		case !yes:
			value = alternative
		}
	}
	v, err := eval(value, s)
	if err != nil {
		return nil, err
	}
	return v, defined(at, v)
}

// defined refuses undefined values, also inside lists and dicts.
func defined(at nodes.Node, v any) error {
	switch x := v.(type) {
	case undefined:
		return fail(at, "%s", string(x))
	case []any:
		for _, e := range x {
			if err := defined(at, e); err != nil {
				return err
			}
		}
	case tuple:
		return defined(at, []any(x))
	case *ordered.Map:
		for _, e := range x.All() {
			if err := defined(at, e); err != nil {
				return err
			}
		}
	}
	return nil
}
