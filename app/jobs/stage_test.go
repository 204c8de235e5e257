package jobs

import (
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/workspace"
	"steer/app/workspace/workspacetest"
	"steer/internal/conf"
	"steer/rl/run"
	"steer/rl/train"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	return path
}

func TestInputsGoByContent(t *testing.T) {
	dir := t.TempDir()
	a, b := write(t, filepath.Join(dir, "a"), "text"), write(t, filepath.Join(dir, "b"), "text")
	in, err := inputsOf(nil, map[string]string{"model": a, "init_adapter": ""},
		map[string]string{"train": b, "eval": ""})
	require.NoError(t, err)
	require.Len(t, in, 2, "an empty path is no input")
	require.Equal(t, in["model"], in["train"])
	require.Equal(t, "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1", in["model"],
		"sha256sum of the file")

	// A folder counts with the names in it.
	write(t, filepath.Join(dir, "peft/x"), "1")
	before, err := inputsOf(nil, map[string]string{"sft": filepath.Join(dir, "peft")}, nil)
	require.NoError(t, err)
	require.NoError(t, os.Rename(filepath.Join(dir, "peft/x"), filepath.Join(dir, "peft/y")))
	after, err := inputsOf(nil, map[string]string{"sft": filepath.Join(dir, "peft")}, nil)
	require.NoError(t, err)
	require.NotEqual(t, before, after)

	// Data are found packed, models are not.
	f, err := os.Create(filepath.Join(dir, "rows.jsonl.gz"))
	require.NoError(t, err)
	z := gzip.NewWriter(f)
	_, err = z.Write([]byte("{}\n"))
	require.NoError(t, errors.Join(err, z.Close(), f.Close()))
	in, err = inputsOf(nil, nil, map[string]string{"train": filepath.Join(dir, "rows.jsonl")})
	require.NoError(t, err)
	require.Len(t, in, 1)
	_, err = inputsOf(nil,
		map[string]string{"model": filepath.Join(dir, "rows.jsonl"), "sft.0": filepath.Join(dir, "no")}, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "model: ")
	require.ErrorContains(t, err, "sft.0: ")
}

func TestFinished(t *testing.T) {
	type config struct {
		Engine          workspace.EngineConfig `yaml:"engine"`
		LR              float64                `yaml:"lr"`
		CheckpointEvery int                    `yaml:"checkpoint_every"`
		Model           string                 `yaml:"model"`
		Inputs          Inputs                 `yaml:"inputs"`
	}
	dir := t.TempDir()
	cfg := config{Engine: workspace.DefaultEngine(), LR: 1e-3, CheckpointEvery: 10, Model: "/here/m.gguf",
		Inputs: Inputs{"model": "aa"}}
	finished := func(c config) bool {
		done, err := Finished(dir, c)
		require.NoError(t, err)
		return done
	}
	require.False(t, finished(cfg), "nothing there yet")
	raw, err := conf.Marshal(cfg)
	require.NoError(t, err)
	write(t, filepath.Join(dir, run.ConfigFile), string(raw))
	require.False(t, finished(cfg), "no result yet")
	adapter := write(t, filepath.Join(dir, run.AdapterFile), "text")
	write(t, filepath.Join(dir, run.ResultFile), `{"stage": "sft", "version": 1,
 "adapter": {"sha256": "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"}}`)
	require.True(t, finished(cfg))

	same := cfg
	same.Engine.Threads, same.Engine.KeepActivations, same.CheckpointEvery = 7, true, 1
	require.True(t, finished(same), "how it is computed does not matter")
	same.Model = "/there/m.gguf"
	require.True(t, finished(same), "nor where a file lies")
	same.Inputs = Inputs{"model": "bb"}
	require.False(t, finished(same), "if it is the same")
	for name, change := range map[string]func(*config){
		"precision": func(c *config) { c.Engine.Precision = "f32" },
		"sequences": func(c *config) { c.Engine.Sequences = 1 },
		"lr":        func(c *config) { c.LR = 2 },
		"a file":    func(c *config) { c.Inputs = Inputs{"model": "bb"} },
		"one more":  func(c *config) { c.Inputs = Inputs{"model": "aa", "eval": "cc"} },
	} {
		other := cfg
		change(&other)
		require.False(t, finished(other), name)
		diff, err := Changes(dir, other)
		require.NoError(t, err)
		require.Len(t, diff, 1, name)
		require.Equal(t, other.LR == cfg.LR && other.Engine == cfg.Engine, OnlyInputs(diff), name)
	}

	require.NoError(t, os.WriteFile(adapter, []byte("text "), 0o666))
	require.False(t, finished(cfg), "another adapter than the result speaks of")
	require.NoError(t, os.Remove(adapter))
	require.False(t, finished(cfg))
	write(t, filepath.Join(dir, run.ResultFile), `{"stage": "eval", "version": 1, "benchmarks": []}`)
	require.True(t, finished(cfg), "a stage without an adapter")
	write(t, filepath.Join(dir, run.ResultFile), `{`)
	require.False(t, finished(cfg), "a result that cannot be read is none")
	write(t, filepath.Join(dir, run.ResultFile), `{"stage": "eval", "version": 2}`)
	_, err = Finished(dir, cfg)
	require.ErrorIs(t, err, run.ErrVersion)
	require.ErrorContains(t, err, `result.json: field "version": want 1, got 2`)
}

// An adapter that cannot be read makes a stage fail; it is not left out of the result.
func TestResultNamesTheAdapterOrFails(t *testing.T) {
	w, assets := workspacetest.Demo(t)
	j := &SFT{Model: assets.Model, Engine: w.Engine}
	s, err := openStage(w, Console{Progress: train.Quiet{}}, "sft", "sft", t.TempDir(), j, false)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	path := s.folder.Path(run.AdapterFile)
	require.NoError(t, os.Symlink(path, path)) // cannot be opened, by root neither
	require.ErrorContains(t, s.finish(w, Inputs{}, &run.Evaluation{}), "adapter: ")
	require.False(t, HasResult(filepath.Dir(path)))

	require.NoError(t, os.Remove(path))
	require.NoError(t, s.finish(w, Inputs{}, &run.Evaluation{}), "an evaluation writes none")
	require.True(t, HasResult(filepath.Dir(path)))
}
