package jinja

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// python.json holds templates with what Python's Jinja 3.1.6 makes of them
// (StrictUndefined, keep_trailing_newline, as lm-evaluation-harness sets it up). Where
// refuse is set, Python gives a text and we refuse on purpose.
func TestAgreesWithPython(t *testing.T) {
	raw, err := os.ReadFile("testdata/python.json")
	require.NoError(t, err)
	var file struct {
		Doc   map[string]any
		Cases []struct {
			Template string
			Text     *string
			Refuse   bool
		}
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	vars := wholeNumbers(file.Doc).(map[string]any)
	vars["doc"] = wholeNumbers(file.Doc)
	require.Greater(t, len(file.Cases), 90)
	for _, c := range file.Cases {
		t.Run(c.Template, func(t *testing.T) {
			text, err := render(c.Template, vars)
			if c.Text == nil || c.Refuse {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, *c.Text, text)
		})
	}
}

func render(source string, vars map[string]any) (string, error) {
	tpl, err := Compile(source)
	if err != nil {
		return "", err
	}
	return tpl.Render(vars)
}

// wholeNumbers turns JSON numbers without a fraction into int, but for the key g, which
// the corpus wants as a float.
func wholeNumbers(v any) any {
	switch x := v.(type) {
	case float64:
		if x == float64(int(x)) {
			return int(x)
		}
	case []any:
		for i := range x {
			x[i] = wholeNumbers(x[i])
		}
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			if k == "g" {
				out[k] = e
				continue
			}
			out[k] = wholeNumbers(e)
		}
		return out
	}
	return v
}
