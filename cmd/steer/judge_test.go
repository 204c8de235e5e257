package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
)

// judgePairs writes answers to questions as a chat program would have them.
func judgePairs(t *testing.T, dir string, n int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		turn := func(role, text string) []map[string]string {
			return []map[string]string{{"role": role,
				"content": text}}
		}
		row := map[string]any{"prompt": turn("user", fmt.Sprintf("May I borrow %d books?", i)),
			"chosen":   turn("assistant", fmt.Sprintf("Yes, take %d of them, and bring them back.", i)),
			"rejected": turn("assistant", "No.")}
		require.NoError(t, json.NewEncoder(&b).Encode(row))
	}
	path := filepath.Join(dir, "pairs.jsonl")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

// Killed in the middle, judging goes on and writes the same bytes; reward and dpo learn from them.
func TestJudgeIsKilledAndItsPreferencesAreLearned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, assets := e2e(t)
	args := func(out string) []string {
		return []string{"judge", "--model", assets.Model, "--constitution", "virtue", "--pairs", judgePairs(t, dir, 60),
			"--template", "guanaco", "--threads", "1", "--set", "batch_tokens=1024", "-o", out}
	}
	_, said := mustSteer(t, dir, args("whole")...)
	require.Contains(t, said, "of 60 pairs decided")
	require.Contains(t, said, "the orders disagree in")
	whole := filepath.Join(dir, "whole")
	for attempt := 1; ; attempt++ {
		folder := filepath.Join(dir, "broken")
		p := start(t, dir, args("broken")...)
		p.until(func() bool {
			raw, _ := os.ReadFile(filepath.Join(folder, "answers"+run.JournalSuffix))
			return bytes.Count(raw, []byte("\n")) > 2
		})
		p.signal(syscall.SIGKILL)
		if _, by := p.wait(); by == syscall.SIGKILL {
			break
		}
		require.NoError(t, os.RemoveAll(folder))
		require.Less(t, attempt, e2eAttempts)
	}
	_, said = mustSteer(t, dir, args("broken")...)
	require.Contains(t, said, "going on after batch")
	judged := get(t, whole, run.JudgedFile)
	require.Equal(t, judged, get(t, filepath.Join(dir, "broken"), run.JudgedFile))
	a, b := readJSON(t, whole, run.ResultFile), readJSON(t, filepath.Join(dir, "broken"), run.ResultFile)
	for _, key := range []string{"pairs", "kept", "undecided", "agreement", "inconsistent", "bias", "first_place"} {
		require.Equal(t, a[key], b[key], key)
	}
	require.Equal(t, float64(60), a["pairs"])
	require.NoFileExists(t, filepath.Join(dir, "broken", "answers"+run.JournalSuffix), "all is in the result")

	sft := filepath.Join(unbrokenRuns(t), "sft", "adapter.gguf")
	for _, method := range []string{"reward", "dpo"} {
		mustSteer(t, dir, method, "--model", assets.Model, "--sft", sft, "--train",
			filepath.Join(whole, run.JudgedFile), "-o", method, "--set", "max_steps=2", "--theory", "custom")
		require.FileExists(t, filepath.Join(dir, method, "adapter.gguf"))
	}
	require.Equal(t, bytes.Count(judged, []byte("\n")), int(a["kept"].(float64)))
}

// What cannot be judged says what it wanted.
func TestBadJudge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, assets := e2e(t)
	pairs := judgePairs(t, dir, 3)
	empty, thumbs := filepath.Join(dir, "empty.txt"), filepath.Join(dir, "thumbs.jsonl")
	require.NoError(t, os.WriteFile(empty, []byte(" \n"), 0o600))
	require.NoError(t, os.WriteFile(thumbs, []byte(strings.Repeat(
		`{"prompt": "a", "completion": "b", "label": true}`+"\n", 2)), 0o600))
	for _, c := range []struct{ args, want string }{
		{"--constitution nonsense --pairs " +
			pairs, "want one of deontology, harmlessness, utilitarianism, virtue, or"},
		{"--constitution " + empty + " --pairs " + pairs, "empty.txt"},
		{"--constitution virtue --pairs " + thumbs, "line 1: want two answers as text to compare"},
		{"--constitution virtue", "pairs.path: want a path"},
		{"--pairs " + pairs, "constitution"},
		{"--constitution virtue --min-margin -1 --pairs " + pairs, "min_margin: want at least 0"},
		{"--constitution virtue --theory vice --pairs " + pairs, "vice"},
	} {
		args := append([]string{"judge", "--model", assets.Model, "--template", "guanaco", "-o", "out"},
			strings.Fields(c.args)...)
		p := start(t, dir, args...)
		code, _ := p.wait()
		require.NotZero(t, code, c.args)
		require.Contains(t, p.err.String(), c.want, c.args)
		require.NotContains(t, p.err.String(), "panic", c.args)
	}
}
