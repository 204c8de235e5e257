package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/train"
)

// A second process in the same folder is refused and told who is there; the lock goes
// with the process, however that ends.
func TestSecondProcessIsLockedOut(t *testing.T) {
	t.Parallel()
	dir := jobs(t)
	run := filepath.Join(dir, "out")
	endless := job("sft", "--max-steps", "100000")
	first := start(t, dir, endless...)
	require.True(t, first.until(func() bool { return look(first, run).rounds >= 1 }), first.err.String())
	for _, args := range [][]string{endless, job("sft"), job("sft", "--fresh")} {
		code, _, said := steerIn(t, dir, args...)
		require.Equal(t, exitFailure, code, said)
		require.Contains(t, said, fmt.Sprintf("run folder is in use: out, by process %d", first.cmd.Process.Pid))
	}
	require.False(t, first.ended(), first.err.String())
	first.signal(syscall.SIGKILL)
	first.wait()
	mustSteer(t, dir, job("sft", "--fresh")...)
	sameRun(t, filepath.Join(unbrokenRuns(t), "sft"), renamed(t, run, "sft"))
}

// The same holds for the stages of an experiment.
func TestSecondProcessOnAnExperiment(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	args := []string{"run", "tiny.yaml", "--set", "sft.max_steps=100000"}
	first := start(t, dir, args...)
	require.True(t, first.until(func() bool { return look(first, filepath.Join(dir, "out/sft")).rounds >= 1 }), first.err.String())
	code, _, said := steerIn(t, dir, args...)
	require.Equal(t, exitFailure, code, said)
	require.Contains(t, said, fmt.Sprintf("sft: run folder is in use: %s, by process %d", filepath.Join(dir, "out/sft"), first.cmd.Process.Pid))
	require.False(t, first.ended())
}

// renamed moves a run folder: the name of a run is its folder's.
func renamed(t *testing.T, run, name string) string {
	t.Helper()
	to := filepath.Join(filepath.Dir(run), name)
	require.NoError(t, os.Rename(run, to))
	raw := readJSON(t, to, train.ResultFile)
	require.Equal(t, filepath.Base(run), raw["name"])
	put(t, to, train.ResultFile, string(replaceOnce(t, get(t, to, train.ResultFile), fmt.Sprintf("%q: %q", "name", filepath.Base(run)), fmt.Sprintf("%q: %q", "name", name))))
	return to
}

// damages are what can happen to a file of a checkpoint.
var damages = map[string]func(t *testing.T, path string){
	"one bit": func(t *testing.T, path string) {
		raw := get(t, path)
		raw[len(raw)/2] ^= 1
		require.NoError(t, os.WriteFile(path, raw, 0o666))
	},
	"cut short": func(t *testing.T, path string) {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, st.Size()*2/3))
	},
	"gone": func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
}

// A damaged checkpoint is passed over aloud, the one before is used, and the run ends
// as if nothing had happened. With none intact nothing is trained.
func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	for i, j := range trainerJobs {
		file := []string{"optimizer.safetensors", "adapter.gguf", "state.json"}[i]
		how := []string{"cut short", "one bit", "gone"}[i]
		t.Run(j.kind+" "+file+" "+how, func(t *testing.T) {
			dir := t.TempDir()
			run := filepath.Join(dir, j.kind)
			args := []string{j.kind, j.write(t, dir, up), "-o", j.kind}
			copyRun(t, j.kind, run)
			broken := filepath.Join(train.CheckpointsDir, newest(run))
			damages[how](t, filepath.Join(run, broken, file))
			_, said := mustSteer(t, dir, args...)
			require.Contains(t, said, "warning: checkpoint "+filepath.Join(j.kind, broken)+" is damaged: "+file)
			require.Contains(t, said, "going on from the checkpoint before: step ")
			sameRun(t, filepath.Join(up, j.kind), run)

			require.NoError(t, os.Remove(filepath.Join(run, train.ResultFile)))
			all, err := filepath.Glob(filepath.Join(run, train.CheckpointsDir, "step-*", "optimizer.safetensors"))
			require.NoError(t, err)
			for _, path := range all {
				damages["one bit"](t, path)
			}
			code, out, said := steerIn(t, dir, args...)
			require.Equal(t, exitFailure, code)
			require.Empty(t, out)
			require.Contains(t, said, "no checkpoint is intact")
			require.Contains(t, said, "fresh")
		})
	}
}

// A run goes on under the configuration it was started with, or says what has changed.
func TestChangedConfigurations(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	dir := jobs(t)
	copyRun(t, "sft", filepath.Join(dir, "out"))
	left := tree(t, filepath.Join(dir, "out"))
	for _, b := range []struct {
		args []string
		says []string
	}{
		{job("sft", "--set", "optim.lr=1e-3"), []string{"optim.lr: 0.002 -> 0.001"}},
		{job("sft", "--seed", "8", "--max-steps", "9"), []string{"seed: 7 -> 8", "max_steps: 6 -> 9"}},
		{job("sft", "--train", put(t, dir, "other.jsonl", `{"text": "### Human: a### Assistant: b"}`+"\n")), []string{"train.path: ", "inputs.train: "}},
	} {
		code, _, said := steerIn(t, dir, b.args...)
		require.Equal(t, exitFailure, code)
		require.Contains(t, said, "the configuration has changed since this run was started")
		require.Contains(t, said, "--fresh")
		for _, s := range b.says {
			require.Contains(t, said, s)
		}
		now := tree(t, filepath.Join(dir, "out"))
		left["lock"] = now["lock"] // the pid of whoever was there last
		require.Equal(t, left, now, "a refused run has changed nothing")
	}

	// Another stage's folder is not mistaken for a changed configuration.
	code, _, said := steerIn(t, dir, job("reward")...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "run folder out: holds a run of sft, not of reward: choose another with --out, or forget that one with --fresh")
	require.NotContains(t, said, "->")

	// Before the first checkpoint there is nothing to keep an old configuration for.
	code, _, said = steerIn(t, dir, "sft", "sft.yaml", "-o", "sft", "--set", "optim.lr=1e30", "--set", "checkpoint_every=0", "--set", "eval_every=0")
	require.Equal(t, exitFailure, code, said)
	require.FileExists(t, filepath.Join(dir, "sft", train.ConfigFile))
	require.Empty(t, newest(filepath.Join(dir, "sft")))
	mustSteer(t, dir, "sft", "sft.yaml", "-o", "sft")
	sameRun(t, filepath.Join(up, "sft"), filepath.Join(dir, "sft"))
}
