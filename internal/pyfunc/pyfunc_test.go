package pyfunc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
	"steer/internal/testfiles"
)

// rowOf makes a row of JSON.
func rowOf(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	x, err := fromJSON(string(raw))
	require.NoError(t, err)
	out, err := outside(x)
	require.NoError(t, err)
	return out
}

// What Python gives: testdata/functions.py.
func TestPython(t *testing.T) {
	var golden struct {
		Rows   []json.RawMessage
		Values map[string][]json.RawMessage
	}
	testfiles.ReadJSON(t, "testdata/functions.json.gz", &golden)
	m, err := Load("testdata/functions.py", "")
	require.NoError(t, err)
	require.Len(t, golden.Values, 12)
	for name, values := range golden.Values {
		f, err := m.Function(name)
		require.NoError(t, err, name)
		for i, row := range golden.Rows {
			got, err := f.Value(rowOf(t, row).(*ordered.Map))
			require.NoError(t, err, name)
			want, err := fromJSON(string(values[i]))
			require.NoError(t, err)
			plain, err := inside(got)
			require.NoError(t, err)
			require.Equal(t, repr(want), repr(plain), "%s of row %d", name, i)
		}
	}
}

func TestRows(t *testing.T) {
	m, err := Load("testdata/functions.py", "")
	require.NoError(t, err)
	f, err := m.Function("process_docs")
	require.NoError(t, err)
	rows := []Row{
		{3, rowOf(t, map[string]any{"q": "x", "opts": []string{"a"}}).(*ordered.Map)},
		{7, rowOf(t, map[string]any{"q": "y", "opts": []string{"a", "b"}}).(*ordered.Map)},
	}
	got, err := f.Rows(rows)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, 7, got[0].Line)
	require.Equal(t, []string{"opts", "query", "gold"}, got[0].Fields.Keys())
	_, ok := rows[1].Fields.Get("query")
	require.False(t, ok, "the rows given are not changed")
}

// What is not understood is refused before it runs, and nothing else is.
func TestRefused(t *testing.T) {
	m, err := Load("testdata/functions.py", "")
	require.NoError(t, err)
	for name, want := range map[string]string{
		"uses_numpy": "uses_numpy: line 26: the module numpy is not supported",
		"uses_class": "class is not supported",
		"nothing":    "there is no function nothing",
		"LETTERS":    "LETTERS is a list: want a function",
	} {
		_, err := m.Function(name)
		require.ErrorContains(t, err, want)
	}
	path := filepath.Join(t.TempDir(), "u.py")
	for body, want := range map[string]string{
		"def f(d):\n  with open(d) as x:\n    return x\n":      "with is not supported",
		"def f(d):\n  return open(d)\n":                        "open() is not supported",
		"import random\ndef f(d):\n  return random.random()\n": "the module random is not supported",
		"def f(d):\n  return d.foo()\n":                        "the method foo() is not supported",
		"def g(d):\n  yield d\ndef f(d):\n  return g(d)\n":     "yield",
		"@cache\ndef f(d):\n  return 1\n":                      "decorators are not supported",
		"import re\ndef f(d):\n  return re.purge()\n":          "re.purge is not supported",
		"def f(d):\n  import re\n  return 1\n":                 "import within a function",
		"def f(d):\n  return d +\n":                            "is not understood",
		"f = other\n":                                          `name "other" is not defined`,
	} {
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		m, err := Load(path, "")
		require.NoError(t, err, body)
		_, err = m.Function("f")
		require.ErrorContains(t, err, want, body)
	}
	for body, want := range map[string]string{
		"def f(d):\n  while True:\n    pass\n":   "steps: an endless loop?",
		"def f(d):\n  return f(d)\n":             "maximum recursion depth exceeded",
		"def f(d):\n  return d['no']\n":          "f: line 2: KeyError: 'no'",
		"def f(d):\n  return 'a' + 1\n":          "TypeError",
		"def f(d):\n  return [1][3]\n":           "IndexError",
		"def f(d):\n  return len\n":              "is no value of a row",
		"def f(d):\n  assert not d, 'x'\n":       "AssertionError",
		"def f(d):\n  raise ValueError('bad')\n": "ValueError: bad",
		"def f(d):\n  return int('x')\n":         "invalid literal",
	} {
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		m, err := Load(path, "")
		require.NoError(t, err, body)
		f, err := m.Function("f")
		require.NoError(t, err, body)
		_, err = f.Value(rowOf(t, map[string]any{"q": 1}).(*ordered.Map))
		require.ErrorContains(t, err, want, body)
	}
}

// Files import one another: beside them, and below the folder of tasks.
func TestImports(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	for name, body := range map[string]string{
		"a/utils.py": "from lm_eval.tasks.a.b.words import WORD\nfrom .more import join\n" +
			"def f(d):\n  return join(WORD, d['q'])\n",
		"a/more.py":    "def join(a, b):\n  return a + b\n",
		"a/b/words.py": "WORD = 'w'\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
	}
	m, err := Load(filepath.Join(dir, "a/utils.py"), dir)
	require.NoError(t, err)
	f, err := m.Function("f")
	require.NoError(t, err)
	v, err := f.Value(rowOf(t, map[string]any{"q": "x"}).(*ordered.Map))
	require.NoError(t, err)
	require.Equal(t, "wx", v)
	require.Len(t, m.Files(), 3)
}
