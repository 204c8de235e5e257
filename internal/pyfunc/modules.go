package pyfunc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/internal/pyre"
)

// module is one that can be imported, with what is known of it.
type module struct {
	name    string
	members map[string]any
}

// modules are those that are known. typing and datasets stand in annotations; what datasets makes
// tables of is in dataset.go.
var modules map[string]map[string]any

func init() {
	fn := func(name string, call func(m *machine, c arguments) (any, error)) *builtin {
		return &builtin{name, call}
	}
	annotation := &builtin{"an annotation", func(*machine, arguments) (any, error) {
		return nil, errors.New("an annotation cannot be called")
	}}
	types := map[string]any{}
	for _, id := range []string{"Any", "Callable", "Dict", "Iterable", "List", "Literal", "Mapping", "Optional",
		"Sequence", "Set", "Tuple", "Union", "TYPE_CHECKING"} {
		types[id] = annotation
	}
	types["TYPE_CHECKING"] = false
	modules = map[string]map[string]any{
		"typing": types, "collections.abc": types, "__future__": {"annotations": nil},
		"re": {
			"sub": fn("sub", reSub), "findall": fn("findall", reFindAll), "search": fn("search", reSearch),
			"match": fn("match", reMatch), "fullmatch": fn("fullmatch", reFullMatch), "split": fn("split", reSplit),
			"compile": fn("compile", reCompile), "escape": fn("escape", reEscape),
			"IGNORECASE": 2, "I": 2, "MULTILINE": 8, "M": 8, "DOTALL": 16, "S": 16, "UNICODE": 32, "U": 32,
			"VERBOSE": 64, "X": 64,
		},
		"ast":  {"literal_eval": fn("literal_eval", literalEval)},
		"json": {"loads": fn("loads", jsonLoads)},
		"string": {
			"ascii_lowercase": "abcdefghijklmnopqrstuvwxyz", "ascii_uppercase": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			"ascii_letters": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "digits": "0123456789",
			"punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
		},
		"functools": {"partial": fn("partial", partial)},
		"itertools": {
			"zip_longest": fn("zip_longest", func(_ *machine, c arguments) (any, error) { return zip(c, true) }),
			"chain":       fn("chain", chain),
		},
		"copy": {
			"deepcopy": fn("deepcopy", func(_ *machine, c arguments) (any, error) { return copied(c.args[0]), nil }),
		},
		"os":       {"getenv": fn("getenv", getenv)},
		"datasets": datasetsModule,
	}
}

// partial is functools.partial.
func partial(_ *machine, c arguments) (any, error) {
	if len(c.args) == 0 {
		return nil, raise("TypeError", "partial() wants a function")
	}
	f := c.args[0]
	return &builtin{"partial", func(m *machine, more arguments) (any, error) {
		all := arguments{args: append(slices.Clone(c.args[1:]), more.args...), names: slices.Clone(more.names),
			named: slices.Clone(more.named)}
		for k, id := range c.names {
			taken := false
			for _, later := range more.names {
				taken = taken || later == id
			}
			if !taken {
				all.names, all.named = append(all.names, id), append(all.named, c.named[k])
			}
		}
		return m.call(f, all)
	}}, nil
}

func chain(_ *machine, c arguments) (any, error) {
	out := &list{}
	for _, v := range c.args {
		items, err := iterate(v)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, items...)
	}
	return out, nil
}

// getenv is os.getenv where nothing is set: tasks do not depend on the environment.
func getenv(_ *machine, c arguments) (any, error) {
	a, err := c.take("getenv", 1, "key", "default")
	if err != nil || !given(a[1]) {
		return nil, err
	}
	return a[1], nil
}

// literalEval is ast.literal_eval.
func literalEval(m *machine, c arguments) (any, error) {
	a, err := c.take("literal_eval", 1, "text")
	if err != nil {
		return nil, err
	}
	s, ok := a[0].(string)
	if !ok {
		return nil, raise("ValueError", "malformed node or string")
	}
	return m.literal(s)
}

func (m *machine) literal(s string) (any, error) {
	tokens, err := lex("("+strings.TrimSpace(s)+"\n)", 1)
	if err != nil {
		return nil, raise("SyntaxError", "%v", err)
	}
	p := &parser{t: tokens}
	n, err := p.expr()
	if err == nil && p.peek().kind != tokNewline && p.peek().kind != tokEnd {
		err = p.fail("%q is not understood here", p.peek().text)
	}
	if err != nil {
		return nil, raise("SyntaxError", "%v", err)
	}
	if !isLiteral(n) {
		return nil, raise("ValueError", "malformed node or string")
	}
	return m.eval(n, &scope{vars: map[string]any{}})
}

func isLiteral(n node) bool {
	all := func(nodes []node) bool {
		for _, x := range nodes {
			if !isLiteral(x) {
				return false
			}
		}
		return true
	}
	switch x := n.(type) {
	case *constant:
		return true
	case *unary:
		return x.op != "not" && isLiteral(x.x)
	case *display:
		return all(x.items)
	case *dictDisplay:
		return all(x.keys) && all(x.values)
	}
	return false
}

// jsonLoads is json.loads of what Python and JSON write alike, but for true, false and null.
func jsonLoads(m *machine, c arguments) (any, error) {
	a, err := c.take("loads", 1, "s")
	if err != nil {
		return nil, err
	}
	s, ok := a[0].(string)
	if !ok {
		return nil, raise("TypeError", "the JSON object must be str, not %s", kindOf(a[0]))
	}
	v, err := fromJSON(s)
	if err != nil {
		return nil, raise("ValueError", "%v", err)
	}
	return v, nil
}

// flagsOf reads the flags of a pattern: a sum of the constants of re.
func flagsOf(v any) (pyre.Flags, error) {
	if !given(v) {
		return pyre.Flags{}, nil
	}
	bits, ok := v.(int)
	if !ok || bits&^(2|8|16|32|64) != 0 {
		return pyre.Flags{}, fmt.Errorf("flags of a regular expression: %s is not supported", repr(v))
	}
	return pyre.Flags{IgnoreCase: bits&2 != 0, Multiline: bits&8 != 0, DotAll: bits&16 != 0, Verbose: bits&64 != 0}, nil
}

func compiled(v, flags any) (*pyre.Pattern, error) {
	if p, ok := v.(*pattern); ok {
		return p.Pattern, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, raise("TypeError", "first argument must be string or compiled pattern")
	}
	f, err := flagsOf(flags)
	if err != nil {
		return nil, err
	}
	return pyre.Compile(s, f)
}

func textArgument(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", raise("TypeError", "expected string, got %s", kindOf(v))
	}
	return s, nil
}

func reCompile(_ *machine, c arguments) (any, error) {
	a, err := c.take("compile", 1, "pattern", "flags")
	if err != nil {
		return nil, err
	}
	p, err := compiled(a[0], a[1])
	return &pattern{p}, err
}

func reEscape(_ *machine, c arguments) (any, error) {
	a, err := c.take("escape", 1, "pattern")
	if err != nil {
		return nil, err
	}
	s, err := textArgument(a[0])
	return pyre.Escape(s), err
}

func reSub(m *machine, c arguments) (any, error) {
	a, err := c.take("sub", 3, "pattern", "repl", "string", "count", "flags")
	if err != nil {
		return nil, err
	}
	p, err := compiled(a[0], a[4])
	if err != nil {
		return nil, err
	}
	s, err := textArgument(a[2])
	if err != nil {
		return nil, err
	}
	count, _ := a[3].(int)
	return p.Sub(s, count, func(x *pyre.Match) (string, error) {
		if with, ok := a[1].(string); ok {
			return x.Expand(with)
		}
		v, err := m.call(a[1], arguments{args: []any{&match{x}}})
		if err != nil {
			return "", err
		}
		return textArgument(v)
	})
}

// asked reads pattern, text and flags.
func asked(title string, c arguments) (*pyre.Pattern, string, error) {
	a, err := c.take(title, 2, "pattern", "string", "flags")
	if err != nil {
		return nil, "", err
	}
	p, err := compiled(a[0], a[2])
	if err != nil {
		return nil, "", err
	}
	s, err := textArgument(a[1])
	return p, s, err
}

func reFindAll(_ *machine, c arguments) (any, error) {
	p, s, err := asked("findall", c)
	if err != nil {
		return nil, err
	}
	all, err := p.FindAll(s)
	out := &list{}
	for _, groups := range all {
		if len(groups) == 1 {
			out.items = append(out.items, groups[0])
			continue
		}
		t := &tuple{}
		for _, g := range groups {
			t.items = append(t.items, g)
		}
		out.items = append(out.items, t)
	}
	return out, err
}

func found(x *pyre.Match, err error) (any, error) {
	if x == nil || err != nil {
		return nil, err
	}
	return &match{x}, nil
}

func reSearch(_ *machine, c arguments) (any, error) {
	p, s, err := asked("search", c)
	if err != nil {
		return nil, err
	}
	return found(p.Search(s))
}

func reMatch(_ *machine, c arguments) (any, error) {
	p, s, err := asked("match", c)
	if err != nil {
		return nil, err
	}
	return found(p.Match(s))
}

func reFullMatch(_ *machine, c arguments) (any, error) {
	p, s, err := asked("fullmatch", c)
	if err != nil {
		return nil, err
	}
	return found(p.FullMatch(s))
}

func reSplit(_ *machine, c arguments) (any, error) {
	a, err := c.take("split", 2, "pattern", "string", "maxsplit", "flags")
	if err != nil {
		return nil, err
	}
	p, err := compiled(a[0], a[3])
	if err != nil {
		return nil, err
	}
	s, err := textArgument(a[1])
	if err != nil {
		return nil, err
	}
	most, _ := a[2].(int)
	parts, err := p.Split(s, most)
	out := &list{}
	for _, part := range parts {
		if part == nil {
			out.items = append(out.items, nil)
		} else {
			out.items = append(out.items, *part)
		}
	}
	return out, err
}

// patternMethods are the functions of re with the pattern in the first place.
func patternMethods() map[string]method {
	out := map[string]method{}
	for id, f := range map[string]func(*machine, arguments) (any, error){
		"sub": reSub, "findall": reFindAll, "search": reSearch, "match": reMatch, "fullmatch": reFullMatch,
		"split": reSplit,
	} {
		out[id] = func(m *machine, self any, c arguments) (any, error) {
			return f(m, arguments{append([]any{self}, c.args...), c.names, c.named})
		}
	}
	return out
}

// matchMethods are those of a match.
func matchMethods() map[string]method {
	return map[string]method{
		"group": func(_ *machine, self any, c arguments) (any, error) {
			if len(c.args) == 0 {
				return groupOf(self.(*match), 0)
			}
			if len(c.args) > 1 {
				return nil, errors.New("group() of several groups is not supported")
			}
			return groupOf(self.(*match), c.args[0])
		},
		"groups": func(_ *machine, self any, _ arguments) (any, error) {
			out := &tuple{}
			for i := 1; i < self.(*match).Len(); i++ {
				v, err := groupOf(self.(*match), i)
				if err != nil {
					return nil, err
				}
				out.items = append(out.items, v)
			}
			return out, nil
		},
		"start": func(_ *machine, self any, _ arguments) (any, error) { return self.(*match).Begin, nil },
		"end":   func(_ *machine, self any, _ arguments) (any, error) { return self.(*match).End, nil },
	}
}

func groupOf(x *match, which any) (any, error) {
	i, ok := which.(int)
	if id, isText := which.(string); isText {
		i, ok = x.Named(id), true
	}
	if !ok || i < 0 || i >= x.Len() {
		return nil, raise("IndexError", "no such group")
	}
	text, there := x.Group(i)
	if !there {
		return nil, nil
	}
	return text, nil
}

// importInto binds what an import names.
func (f *Module) importInto(x *imported, s *scope) error {
	members, err := f.find(x.module)
	if len(x.from) == 0 {
		id := x.as
		if id == "" {
			if id = x.module; strings.Contains(id, ".") {
				id, _, _ = strings.Cut(id, ".")
				err = fmt.Errorf("import %s: name what is used of it (from ... import)", x.module)
			}
		}
		if err != nil {
			s.vars[id] = &poison{err}
			return nil
		}
		s.vars[id] = &module{x.module, members}
		return nil
	}
	for _, pair := range x.from {
		v, ok := members[pair[0]]
		switch {
		case err != nil:
			v = &poison{err}
		case !ok:
			v = &poison{fmt.Errorf("%s.%s is not supported", x.module, pair[0])}
		}
		s.vars[pair[1]] = v
	}
	return nil
}
