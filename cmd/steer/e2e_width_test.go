package main

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tables and lists fit a terminal of 80 columns.
func TestOutputFitsTheTerminal(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := tiny(t)
	narrow := func(args ...string) {
		t.Helper()
		out, _ := mustSteer(t, dir, args...)
		require.NotEmpty(t, out, args)
		requireNarrow(t, out, shellWords(args))
	}
	narrow("plan", "tiny.yaml")
	narrow("plan", "tiny.yaml", "--details", "--no-calibration")
	narrow("run", "tiny.yaml", "--set", "eval.wsc273.limit=0", "--set", "eval.kl.path=data/held-out.jsonl", "--set",
		"eval.perplexity.path=data/held-out.jsonl")
	narrow("report", "out", "--format", "text")
	narrow("model", "inspect", "assets/model.gguf")
	narrow("model", "inspect", "assets/model.gguf", "--tensors")
	for _, stage := range tinyStages[:3] {
		narrow("adapter", "inspect", "out/"+stage+"/adapter.gguf", "--model", "assets/model.gguf")
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(assets.Dir, "data"), func(path string, d fs.DirEntry,
		err error) error {
		if err == nil && !d.IsDir() && d.Name() != "heldout.jsonl" { // of a format that is not recognised by content
			rel, err := filepath.Rel(assets.Dir, path)
			require.NoError(t, err)
			narrow("data", "inspect", filepath.Join("assets", rel))
		}
		return err
	}))
	narrow("bench", "--model", "assets/model.gguf", "--jobs", "train,train-keep,score,ppo,kernels", "--steps", "1",
		"--warmup", "0", "--batch", "2", "--tokens", "32", "--prompt", "8", "--new", "8", "--episodes", "2",
		"--profile")
}
