package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
	"steer/rl/train"
)

// A second process in the same folder is refused and told who is there; the lock goes
// with the process, however that ends.
func TestSecondProcessIsLockedOut(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	folder := filepath.Join(dir, "out")
	endless := job("sft", "--max-steps", "100000")
	first := start(t, dir, endless...)
	require.True(t, first.until(func() bool { return look(first, folder).rounds >= 1 }), first.err.String())
	for _, args := range [][]string{endless, job("sft"), job("sft", "--fresh")} {
		code, _, said := steerIn(t, dir, args...)
		require.Equal(t, exitFailure, code, said)
		require.Contains(t, said, fmt.Sprintf("run folder is in use: out, by process %d", first.cmd.Process.Pid))
	}
	require.False(t, first.ended(), first.err.String())
	first.signal(syscall.SIGKILL)
	first.wait()
	mustSteer(t, dir, job("sft", "--fresh")...)
	sameRun(t, filepath.Join(unbrokenRuns(t), "sft"), renamed(t, folder, "sft"))
}

// An experiment's folder belongs to one process from its first stage to its report, between the
// stages too; reading is free.
func TestSecondProcessOnAnExperiment(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	args := []string{"run", "tiny.yaml", "--set", "reward.max_steps=100000"}
	first := start(t, dir, args...)
	require.True(t, first.until(func() bool {
		return look(first, filepath.Join(dir,
			"out/reward-deontology")).rounds >= 1
	}), first.err.String())
	// Nobody works in the first stage's folder any more.
	before := tree(t, filepath.Join(dir, "out/sft"))
	for _, second := range [][]string{args, {"run", "tiny.yaml", "--fresh"}, {"run", "tiny.yaml", "--set",
		"sft.max_steps=3"}} {
		code, _, said := steerIn(t, dir, second...)
		require.Equal(t, exitFailure, code, said)
		require.Contains(t, said,
			fmt.Sprintf("experiment folder is in use: %s, by process %d: wait for it, "+
				"stop it, or choose another folder",
				filepath.Join(dir, "out"), first.cmd.Process.Pid))
	}
	require.Equal(t, before, tree(t, filepath.Join(dir, "out/sft")))
	mustSteer(t, dir, "report", "out")
	require.False(t, first.ended())
	first.signal(syscall.SIGKILL)
	first.wait()
	mustSteer(t, dir, "run", "tiny.yaml", "--fresh")
}

// A fresh start leaves nothing of the run before, nor anything that was made of it; what it did
// not write stays.
func TestFreshLeavesNothingOld(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	put(t, dir, "study.yaml", "extends: tiny.yaml\nname: study\nout: study\nseeds: [3]\n")
	mustSteer(t, dir, "run", "study.yaml")
	out := filepath.Join(dir, "study/seed-3")
	mustSteer(t, dir, "report", "study/seed-3/sft")
	put(t, out, "compare.html", "of a comparison with another run")

	// All that a run writes is listed.
	known := func(dir string, names ...string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			require.Contains(t, append(names, "lock"), e.Name(), dir)
		}
	}
	known(filepath.Join(dir, "study"), append(run.ReportFiles(), "seed-3")...)
	known(out, append(append(run.ReportFiles(), run.ExperimentFile), tinyStages...)...)
	for _, stage := range tinyStages {
		known(filepath.Join(out, stage), run.Files()...)
	}
	require.FileExists(t, filepath.Join(out, "ppo-deontology", run.BestFile))

	old := []string{"study/report.html", "study/report.json"}
	for _, name := range run.ReportFiles() {
		old = append(old, "study/seed-3/"+name)
	}
	for _, stage := range tinyStages {
		for _, name := range run.Files() {
			if path := filepath.Join("study/seed-3", stage, name); name != run.CheckpointsDir &&
				name != run.ItemsDir && exists("", filepath.Join(dir, path)) == nil {
				old = append(old, path)
			}
		}
	}
	foreign := []string{"study/notes.txt", "study/seed-3/notes.txt", "study/seed-3/ppo-deontology/notes.txt",
		"study/seed-3/other/report.html"}
	for _, path := range append(old, foreign...) {
		put(t, dir, path, "old")
	}

	// A start that is refused forgets nothing.
	code, _, said := steerIn(t, dir, "run", "study.yaml", "--fresh", "--memory", "1MB")
	require.Equal(t, exitFailure, code, said)
	for _, path := range append(old, foreign...) {
		require.Equal(t, "old", string(get(t, dir, path)), path)
	}

	// Its first stage fails after it has begun: no report of the run before is left.
	code, _, said = steerIn(t, dir, "run", "study.yaml", "--fresh", "--set", "sft.optim.lr=1e30")
	require.Equal(t, exitFailure, code, said)
	for _, dirOf := range []string{"study", "study/seed-3", "study/seed-3/sft"} {
		for _, name := range run.ReportFiles() {
			require.NoFileExists(t, filepath.Join(dir, dirOf, name))
		}
	}
	mustSteer(t, dir, "run", "study.yaml", "--fresh")
	for _, path := range old {
		if raw, err := os.ReadFile(filepath.Join(dir, path)); err == nil {
			require.NotEqual(t, "old", string(raw), path)
		}
	}
	for _, path := range foreign {
		require.Equal(t, "old", string(get(t, dir, path)), path)
	}
}

// A run whose folder got another name goes on in it, and says so.
func TestRenamedUnfinishedRunGoesOn(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	dir := jobFolder(t)
	for _, j := range trainerJobs {
		folder := filepath.Join(dir, "moved/other-"+j.kind)
		copyRun(t, j.kind, folder)
		_, said := mustSteer(t, dir, j.kind, j.kind+".yaml", "-o", "moved/other-"+j.kind)
		require.Contains(t, said,
			fmt.Sprintf("other-%s: this run was called %s: its folder was renamed or moved, and it goes on as other-%s",
				j.kind, j.kind, j.kind))
		require.Contains(t, said, "going on after step ")
		sameRun(t, filepath.Join(up, j.kind), renamed(t, folder, j.kind))
	}

	// So does an experiment, under another name too.
	whole, moved := tiny(t), tiny(t)
	mustSteer(t, whole, "run", "tiny.yaml")
	for attempt := 1; ; attempt++ {
		p := start(t, moved, "run", "tiny.yaml")
		p.until(func() bool { return newest(filepath.Join(moved, "out/ppo-deontology")) != "" })
		p.signal(syscall.SIGINT)
		if code, _ := p.wait(); code == train.ExitInterrupted {
			break
		}
		require.Less(t, attempt, e2eAttempts)
		require.NoError(t, os.RemoveAll(filepath.Join(moved, "out/ppo-deontology")))
	}
	require.NoError(t, os.Rename(filepath.Join(moved, "out"), filepath.Join(moved, "elsewhere")))
	_, said := mustSteer(t, moved, "run", "tiny.yaml", "--set", "out=elsewhere", "--set", "name=renamed")
	require.True(t, skipped(said, "sft") && skipped(said, "reward-deontology"), said)
	require.Contains(t, said, "ppo-deontology: going on after step ")
	sameExperiment(t, filepath.Join(whole, "out"), filepath.Join(moved, "elsewhere"))
}

// The time of a result is that of all sittings, however they ended.
func TestSecondsAreThoseOfAllSittings(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	for i, j := range trainerJobs {
		dir := t.TempDir()
		folder := filepath.Join(dir, j.kind)
		args := []string{j.kind, j.write(t, dir, up), "-o", j.kind}
		var kept []float64
		for attempt := 1; ; attempt++ {
			p := start(t, dir, args...)
			require.True(t, p.until(func() bool { return newest(folder) != "" }), p.err.String())
			p.signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM}[i%3])
			p.wait()
			if exists("", filepath.Join(folder, run.ResultFile)) != nil {
				break
			}
			require.Less(t, attempt, e2eAttempts)
			require.NoError(t, os.RemoveAll(folder))
		}
		for _, s := range readJSON(t, folder, run.InfoFile)["seconds"].([]any) {
			kept = append(kept, s.(float64))
		}
		require.Len(t, kept, 1)
		require.Positive(t, kept[0], "what was worked until the checkpoint is not lost")
		mustSteer(t, dir, args...)
		r := readJSON(t, folder, run.ResultFile)
		sittings := r["sittings"].([]any)
		require.Len(t, sittings, 2)
		require.Equal(t, kept[0], sittings[0])
		require.Equal(t, kept[0]+sittings[1].(float64), r["seconds"])
		require.EqualValues(t, 1, r["resumed"])
	}
}

// renamed moves a run folder: the name of a run is its folder's.
func renamed(t *testing.T, folder, name string) string {
	t.Helper()
	to := filepath.Join(filepath.Dir(folder), name)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o777))
	require.NoError(t, os.Rename(folder, to))
	raw := readJSON(t, to, run.ResultFile)
	require.Equal(t, filepath.Base(folder), raw["name"])
	put(t, to, run.ResultFile, string(replaceOnce(t, get(t, to, run.ResultFile), fmt.Sprintf("%q: %q", "name",
		filepath.Base(folder)), fmt.Sprintf("%q: %q", "name", filepath.Base(name)))))
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
		file := []string{"optimizer.safetensors", "adapter.gguf", "state.json"}[i%3]
		how := []string{"cut short", "one bit", "gone"}[i%3]
		t.Run(j.kind+" "+file+" "+how, func(t *testing.T) {
			dir := t.TempDir()
			folder := filepath.Join(dir, j.kind)
			args := []string{j.kind, j.write(t, dir, up), "-o", j.kind}
			copyRun(t, j.kind, folder)
			broken := filepath.Join(run.CheckpointsDir, newest(folder))
			damages[how](t, filepath.Join(folder, broken, file))
			_, said := mustSteer(t, dir, args...)
			require.Contains(t, said, "warning: checkpoint "+filepath.Join(j.kind, broken)+" is damaged: "+file)
			require.Contains(t, said, "going on from the checkpoint before: step ")
			sameRun(t, filepath.Join(up, j.kind), folder)

			require.NoError(t, os.Remove(filepath.Join(folder, run.ResultFile)))
			all, err := filepath.Glob(filepath.Join(folder, run.CheckpointsDir, "step-*", "optimizer.safetensors"))
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
	dir := jobFolder(t)
	copyRun(t, "sft", filepath.Join(dir, "out"))
	left := tree(t, filepath.Join(dir, "out"))
	for _, b := range []struct {
		args []string
		says []string
	}{
		{job("sft", "--set", "optim.lr=1e-3"), []string{"optim.lr: 0.002 -> 0.001"}},
		{job("sft", "--seed", "8", "--max-steps", "9"), []string{"seed: 7 -> 8", "max_steps: 6 -> 9"}},
		{job("sft", "--train", put(t, dir, "other.jsonl", `{"text": "### Human: a### Assistant: b"}`+"\n")),
			[]string{"train.path: ", "inputs.train: "}},
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
	require.Contains(t, said,
		"run folder out: holds a run of sft, not of reward: choose another with --out, or forget that one with --fresh")
	require.NotContains(t, said, "->")

	// Before the first checkpoint there is nothing to keep an old configuration for.
	code, _, said = steerIn(t, dir, "sft", "sft.yaml", "-o", "sft", "--set", "optim.lr=1e30", "--set",
		"checkpoint_every=0", "--set", "eval_every=0")
	require.Equal(t, exitFailure, code, said)
	require.FileExists(t, filepath.Join(dir, "sft", run.ConfigFile))
	require.Empty(t, newest(filepath.Join(dir, "sft")))
	mustSteer(t, dir, "sft", "sft.yaml", "-o", "sft")
	sameRun(t, filepath.Join(up, "sft"), filepath.Join(dir, "sft"))
}
