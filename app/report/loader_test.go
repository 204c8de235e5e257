package report_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
)

// A report that is handed on shows files relative to where it was made, and tells of no home.
func TestPathsAreShownFromTheWorkingDirectory(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	root := filepath.Join(home, "project")
	dir := filepath.Join(root, "runs/one")
	fill(t, dir)
	t.Chdir(root)
	edit(t, filepath.Join(dir, "sft/result.json"), func(v object) {
		v["data"] = []any{
			object{"path": filepath.Join(root, "data/a.jsonl"), "role": "train"},
			object{"path": filepath.Join(home, "shared/b.jsonl"), "role": "held-out"},
			object{"path": "/elsewhere" + filepath.Join(root, "c.jsonl"), "role": "more"},
		}
		v["command"] = []any{"steer", "sft", "--set", "model=" + filepath.Join(root, "models/m.gguf")}
	})
	write(t, filepath.Join(dir, "sft/config.yaml"), "model: "+filepath.Join(root, "models/m.gguf")+"\n")

	r, err := report.Loader{Root: root}.Load(dir)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, report.WriteJSON(&out, r))
	text := out.String()
	for _, want := range []string{`"data/a.jsonl"`, `"../shared/b.jsonl"`, `"model=models/m.gguf"`,
		`"model: models/m.gguf"`, `"folder": "runs/one/sft"`, `"/elsewhere`} {
		require.True(t, strings.Contains(text, want), want)
	}
	require.False(t, strings.Contains(text, `"`+home))

	// Without a root everything is as it was written.
	r, err = report.Load(dir)
	require.NoError(t, err)
	out.Reset()
	require.NoError(t, report.WriteJSON(&out, r))
	require.True(t, strings.Contains(out.String(), filepath.Join(root, "data/a.jsonl")))
}
