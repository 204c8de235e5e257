package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"steer/rl/run"
)

// config.yaml says what ran, also where that comes from the model or the template and not from
// the job, and a job is not held to be another for it.
func TestConfigurationSaysWhatRan(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	_, assets := e2e(t)
	derived := func(dir string) map[string]string {
		t.Helper()
		var c struct {
			Derived map[string]string `yaml:"derived"`
		}
		require.NoError(t, yaml.Unmarshal(get(t, dir, run.ConfigFile), &c))
		return c.Derived
	}
	require.NotEmpty(t, derived(filepath.Join(up, "ppo"))["stop_strings"], "of the template")

	dir := t.TempDir()
	args := []string{"sft", "--model", assets.Model, "--train", assets.Guanaco.Train, "--template", "guanaco",
		"--threads", "1", "--max-steps", "1", "-o", "sft", "--set", "max_tokens=4096"}
	mustSteer(t, dir, args...)
	require.Equal(t, map[string]string{"max_tokens": "512"}, derived(filepath.Join(dir, "sft")),
		"of the model's context")
	out, _ := mustSteer(t, dir, args...)
	require.Contains(t, out, "finished already")

	args = []string{"eval", "--model", assets.Model, "--toxigen", assets.ToxiGen.Test, "--limit", "4", "--threads",
		"1", "--set", "resamples=5", "-o", "eval"}
	mustSteer(t, dir, args...)
	require.Equal(t, map[string]string{"max_length": "511"}, derived(filepath.Join(dir, "eval")))
	out, _ = mustSteer(t, dir, args...)
	require.Contains(t, out, "finished already")
	// What was written can be given as a job.
	out, _ = mustSteer(t, dir, "eval", filepath.Join("eval", run.ConfigFile), "-o", "eval")
	require.Contains(t, out, "finished already")
}
