package jinja

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
)

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"a\nb {{ nope }}", `template line 2, column 6: "nope" is not defined`},
		{"a\n{{ doc.nope }}", `template line 2, column 7: a dict has no element "nope"`},
		{"{{ list[7] }}", `a list of length 2 has no element 7`},
		{"\n\n{{ x|nofilter }}", `template line 3, column 6: filter nofilter: not known; there are abs attr batch`},
		{"{{ x.frobnicate() }}", `text has no method frobnicate() here; known are capitalize`},
		{"{{ x is shiny }}", `test shiny: not known`},
		{"{{ x + 1 }}", `"+" between text 'it' and a whole number 1 is not defined`},
		{"a\n{{ x", `template line 2, column 1: "{{" has no end, "}}"`},
		{"{% if x %}a", `template line 1, column 4: {% if %} has no {% elif %} or {% else %} or {% endif %}`},
		{"{% include 'f' %}", `template line 1, column 4: {% include %} is not supported`},
		{"{{ open('f') }}", `the function open() is not known`},
		{"{{ 'a' * 99999999999 }}", `is too long`},
		{"{{ range(9999999)|list }}", `more than 1048576 numbers`},
		{"{{ 1 // 0 }}", `division by zero`},
		{"{{ list|map('nope') }}", `filter nope: not known`},
	} {
		_, err := render(c.source, map[string]any{"x": "it", "list": []string{"a", "b"}, "doc": ordered.New(0)})
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

// What Python's Jinja prints: dicts in the order of the file, keys looked at as they are.
func TestDictsKeepTheOrderOfTheFile(t *testing.T) {
	vars := map[string]any{"d": ordered.Of("zebra", "striped", "apple", "red", "mango", ordered.Of("y", 1, "b", 2)),
		"same": ordered.Of("mango", ordered.Of("b", 2, "y", 1), "zebra", "striped", "apple", "red")}
	for source, want := range map[string]string{
		"{{ d }}":               "{'zebra': 'striped', 'apple': 'red', 'mango': {'y': 1, 'b': 2}}",
		"{{ d|list }}":          "['zebra', 'apple', 'mango']",
		"{{ d.keys()|list }}":   "['zebra', 'apple', 'mango']",
		"{{ d.values()|list }}": "['striped', 'red', {'y': 1, 'b': 2}]",
		"{{ d.items()|list }}":  "[('zebra', 'striped'), ('apple', 'red'), ('mango', {'y': 1, 'b': 2})]",
		"{{ d|items|first }}":   "('zebra', 'striped')",
		"{{ (1, 'a') }}{{ (1,) }}{{ (1, 2) == [1, 2] }}{{ (1, 2)[1] }}{{ (1, 2) + (3,) }}{{ 2 in (1, 2) }}{{ " +
			"(1, 2, 3)[1:] }}": "(1, 'a')(1,)False2(1, 2, 3)True(2, 3)",
		"{{ d|join('/') }}":                      "zebra/apple/mango",
		"{{ d|last }}":                           "mango",
		"{% for k in d %}{{ k[0] }}{% endfor %}": "zam",
		"{% for k, v in d.items() %}{{ loop.index }}{{ k }} {% endfor %}":      "1zebra 2apple 3mango ",
		"{% for k, v in d|items %}{{ k }}{{ v is mapping }} {% endfor %}":      "zebraFalse appleFalse mangoTrue ",
		"{% set e = {'q': 1, 'c': 2} %}{{ e }}{{ e.values()|list }}":           "{'q': 1, 'c': 2}[1, 2]",
		"{{ d == same }}{{ d.mango.b }}{{ d.get('none', 'n') }}{{ d|length }}": "True2n3",
	} {
		text, err := render(source, vars)
		require.NoError(t, err, source)
		require.Equal(t, want, text, source)
	}
	_, err := render("", map[string]any{"m": map[string]any{"a": 1}})
	require.ErrorContains(t, err, "cannot hold a map[string]interface")
}

func TestWholeNumbersAreExact(t *testing.T) {
	vars := map[string]any{"n": 9007199254740993, "max": 9223372036854775807, "f": 9007199254740992.0}
	for source, want := range map[string]string{
		"{{ n }} {{ n - 1 }}":                                "9007199254740993 9007199254740992",
		"{{ n == f }} {{ n > f }} {{ n - 1 == f }}":          "False True True",
		"{{ n > n - 1 }} {{ [n, n - 1]|max }} {{ 2 ** 62 }}": "True 9007199254740993 4611686018427387904",
	} {
		text, err := render(source, vars)
		require.NoError(t, err, source)
		require.Equal(t, want, text, source)
	}
	for _, source := range []string{"{{ max + 1 }}", "{{ max * 2 }}", "{{ 2 ** 63 }}", "{{ 2 ** 99999 }}",
		"{{ [max, max]|sum }}", "{{ -max - 2 }}"} {
		_, err := render(source, vars)
		require.ErrorContains(t, err, "beyond 64 bits", source)
	}
}

// A value that cannot be given exactly may be there, but not be used.
func TestUnusable(t *testing.T) {
	when := Unusable("column when is a time")
	vars := map[string]any{"when": when, "q": "x", "doc": ordered.Of("q", "x", "when", when), "list": []any{"a",
		when}}
	text, err := render("{{ q }}{{ doc.q }}{{ doc.get('q') }}{{ list[0] }}", vars)
	require.NoError(t, err)
	require.Equal(t, "xxxa", text)
	for _, source := range []string{"{{ when }}", "{{ doc.when }}", "{{ doc }}", "{{ doc.values()|list }}",
		"{{ list|join }}", "{{ list }}", "{{ 'b' in list }}",
		"{{ list == [1] }}", "{{ ','.join(list) }}", "{% for k, v in doc.items() %}{{ v }}{% endfor %}",
		"{{ list|map('upper')|list }}", "{{ [when] }}"} {
		_, err := render(source, vars)
		require.ErrorContains(t, err, "column when is a time", source)
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
	for _, s := range []string{"{{ a }}", "{% for x in b %}{{ x }}{% endfor %}", "{{ b[1:]|join(',') }}", "{# c #}",
		"{{", "{%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		vars := map[string]any{"a": Text{"x", 1}, "b": []any{1, "y"}}
		if tpl, err := Compile(source); err == nil {
			_, _ = tpl.Render(vars)
		}
		if tpl, err := CompileChat(source); err == nil {
			_, _ = tpl.Pieces(vars, time.Unix(0, 0))
		}
	})
}
