package jinja

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"a\nb {{ nope }}", `template line 2: "nope" is not defined`},
		{"a\n{{ doc.nope }}", `template line 2: a dict has no element "nope"`},
		{"{{ list[7] }}", `a list of length 2 has no element 7`},
		{"\n\n{{ x|nofilter }}", `template line 3: filter nofilter: not known; there are abs capitalize`},
		{"{{ x.frobnicate() }}", `text has no method frobnicate() here; known are capitalize`},
		{"{{ x is shiny }}", `test shiny: not known`},
		{"{{ x + 1 }}", `"+" between text 'it' and a whole number 1 is not defined`},
		{"a\n{{ x", `template line 2: '}}' expected here`},
		{"{% if x %}a", `Unexpected EOF`},
		{"{% include 'f' %}", `'include' not found`},
		{"{{ open('f') }}", `the function open() is not known`},
		{"{{ 'a' * 99999999999 }}", `is too long`},
		{"{{ range(9999999)|list }}", `more than 1048576 numbers`},
		{"{{ 1 // 0 }}", `division by zero`},
		{"{{ list|map('nope') }}", `filter nope: not known`},
	} {
		_, err := render(c.source, map[string]any{"x": "it", "list": []string{"a", "b"}, "doc": map[string]any{}})
		require.ErrorContains(t, err, c.want, c.source)
	}
	_, err := render("", map[string]any{"f": func() {}})
	require.ErrorContains(t, err, `variable "f": a template cannot hold a func()`)
}

func TestValue(t *testing.T) {
	vars := map[string]any{"a": "it's", "list": []any{"x", "y"}, "n": 1}
	for source, want := range map[string]any{
		"{{ [a, list[1]] }}":                  []any{"it's", "y"},
		"{{list}}":                            []any{"x", "y"},
		"{% set b = a ~ '!' %}{{ [b, 'c'] }}": []any{"it's!", "c"},
		"{% if n %}{{ ['p'] }}{% else %}{{ 'q' }}{% endif %}": []any{"p"},
		"['no', 'yes']":           []any{"no", "yes"},
		" {{ n }} ":               1,
		"{{ a }}":                 "it's",
		"{{ 'u' if n else 'v' }}": "u",
	} {
		tpl, err := Compile(source)
		require.NoError(t, err, source)
		got, err := tpl.Value(vars)
		require.NoError(t, err, source)
		require.Equal(t, want, got, source)
	}
	for source, want := range map[string]string{
		"{{ a }}{{ a }}":  "want one {{ expression }} and nothing beside it, got 2",
		"x {{ a }}":       `and the text "x"`,
		"no, yes":         "want {{ an expression }} or a list",
		"{{ [a, nope] }}": `"nope" is not defined`,
	} {
		tpl, err := Compile(source)
		require.NoError(t, err, source)
		_, err = tpl.Value(vars)
		require.ErrorContains(t, err, want, source)
	}
}

// A variable set in a rendering is not seen by the next, nor by the caller.
func TestRenderingsAreApart(t *testing.T) {
	tpl, err := Compile("{% set n = n + 1 %}{{ n }}")
	require.NoError(t, err)
	vars := map[string]any{"n": 1}
	for range 2 {
		text, err := tpl.Render(vars)
		require.NoError(t, err)
		require.Equal(t, "2", text)
	}
	require.Equal(t, 1, vars["n"])
}

func FuzzCompileAndRender(f *testing.F) {
	for _, s := range []string{"{{ a }}", "{% for x in b %}{{ x }}{% endfor %}", "{{ b[1:]|join(',') }}", "{# c #}", "{{", "{%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if tpl, err := Compile(source); err == nil {
			_, _ = tpl.Render(map[string]any{"a": "x", "b": []any{1, "y"}})
		}
	})
}
