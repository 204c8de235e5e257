package pyfunc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// call runs lines of a function f(doc).
func callLines(t *testing.T, lines string) (any, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "utils.py")
	source := "import copy\n\ndef f(doc):\n    " + lines + "\n"
	require.NoError(t, os.WriteFile(path, []byte(source), 0o666))
	m, err := Load(path, "")
	require.NoError(t, err)
	f, err := m.Function("f")
	require.NoError(t, err)
	return f.Call(1)
}

// What grows without end, or holds itself, ends with an error: neither memory nor the stack runs out.
func TestBounds(t *testing.T) {
	const double = "x = ['a']\n    for i in range(60):\n        "
	for lines, want := range map[string]string{
		double + "x += x\n    return len(x)":                                         "an endless loop?",
		double + "x.extend(x)\n    return len(x)":                                    "an endless loop?",
		double + "x = [x, x]\n    return str(x)":                                     "more than 5000000 members",
		"x = ('a',)\n    for i in range(60):\n        x = (x, x)\n    return {x: 1}": "more than 5000000 members",
		"x = []\n    for i in range(10000):\n        x = [x]\n    return x":          "nested more than 500 deep",
		"x = []\n    x.append(x)\n    return x":                                      "does it hold itself?",
		"x = []\n    x.append(x)\n    return str(x)":                                 "does it hold itself?",
		"x = []\n    x.append(x)\n    return x == x":                                 "does it hold itself?",
		"x = []\n    x.append(x)\n    return copy.deepcopy(x)":                       "does it hold itself?",
		"return sum([[1] * 1000] * 100000, [])":                                      "an endless loop?",
	} {
		t.Run(lines, func(t *testing.T) {
			_, err := callLines(t, lines)
			require.ErrorContains(t, err, want)
		})
	}
}

// What Python has and this has not is refused; it is no exception that a file could catch and go on
// with something else.
func TestRefusedIsNotCaught(t *testing.T) {
	for _, x := range []string{"int('99999999999999999999')", "int(1e30)", "round(1234.5, -2)", "round(1e30)"} {
		_, err := callLines(t, "try:\n        return "+x+"\n    except:\n        return 'caught'")
		require.ErrorContains(t, err, "not supported", x)
	}
	for x, want := range map[string]any{"int('1_000')": 1000, "int(' +5 ')": 5, "int('-5')": -5, "int('+-5')": "caught",
		"int('1__0')": "caught", "int('_1')": "caught", "int(float('inf'))": "caught", "round(2.5)": 2,
		"round(1.25, 1)": 1.2, "round(1.5, 10**9)": 1.5} {
		got, err := callLines(t, "try:\n        return "+x+"\n    except:\n        return 'caught'")
		require.NoError(t, err, x)
		require.Equal(t, want, got, x)
	}
}
