package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
	"steer/internal/strictjson"
)

// python.json holds templates with what Python's Jinja 3.1.6 makes of them
// (StrictUndefined, keep_trailing_newline, as lm-evaluation-harness sets it up). Where
// refuse is set, Python gives a text and we refuse on purpose.
func TestAgreesWithPython(t *testing.T) {
	raw, err := os.ReadFile("testdata/python.json")
	require.NoError(t, err)
	var file struct {
		Doc   json.RawMessage
		Cases []struct {
			Template string
			Text     *string
			Refuse   bool
		}
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	doc, err := strictjson.Value(file.Doc, func(string) (any, error) { return nil, errors.New("too large") })
	require.NoError(t, err)
	vars := map[string]any{"doc": doc}
	for k, v := range doc.(*ordered.Map).All() {
		vars[k] = v
	}
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

// python_chat.json holds templates with what Python's Jinja 3.1.6 makes of them set up as transformers
// sets it up for chat templates, on 2026-03-04 at 09:26:53.
func TestChatAgreesWithPython(t *testing.T) {
	raw, err := os.ReadFile("testdata/python_chat.json")
	require.NoError(t, err)
	var file struct {
		Vars  json.RawMessage
		Cases []struct {
			Template string
			Text     *string
			Refuse   bool
		}
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	doc, err := strictjson.Value(file.Vars, func(string) (any, error) { return nil, errors.New("too large") })
	require.NoError(t, err)
	vars := map[string]any{}
	for k, v := range doc.(*ordered.Map).All() {
		vars[k] = Data{v, 1}
	}
	require.Greater(t, len(file.Cases), 120)
	for _, c := range file.Cases {
		t.Run(c.Template, func(t *testing.T) {
			tpl, err := CompileChat(c.Template)
			var pieces []Piece
			if err == nil {
				pieces, err = tpl.Pieces(vars, time.Date(2026, 3, 4, 9, 26, 53, 0, time.UTC))
			}
			if c.Text == nil || c.Refuse {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			text := ""
			for _, p := range pieces {
				text += p.Text
			}
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
