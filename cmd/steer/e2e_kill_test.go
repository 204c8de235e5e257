package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
	"steer/rl/train"
)

// glance is how far a run has come, as its folder shows it to somebody outside.
type glance struct {
	open    bool   // the folder is locked by the process
	rounds  int    // done, the last of them by the process watched; else 0
	newest  string // checkpoint
	writing bool   // a checkpoint is being written
	result  bool
}

// look looks at the run folder of process p.
func look(p *process, dir string) glance {
	var g glance
	pid, _ := os.ReadFile(filepath.Join(dir, "lock"))
	g.open = strings.TrimSpace(string(pid)) == fmt.Sprint(p.cmd.Process.Pid)
	g.rounds = roundsSince(dir, p.started)
	g.newest = newest(dir)
	entries, _ := os.ReadDir(filepath.Join(dir, run.CheckpointsDir))
	g.writing = slices.ContainsFunc(entries,
		func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".tmp-step-") })
	_, err := os.Stat(filepath.Join(dir, run.ResultFile))
	g.result = err == nil
	return g
}

// newest names the newest checkpoint of a run, "" if there is none.
func newest(dir string) string {
	steps, _ := filepath.Glob(filepath.Join(dir, run.CheckpointsDir, "step-*"))
	if len(steps) == 0 {
		return ""
	}
	return filepath.Base(slices.Max(steps))
}

// roundsSince counts the rounds in a run's metrics, if the last was written after a
// moment: a process that goes on cuts off what came after its checkpoint.
func roundsSince(dir string, since time.Time) int {
	raw, _ := os.ReadFile(filepath.Join(dir, run.MetricsFile))
	n := 0
	var last time.Time
	for line := range bytes.Lines(raw) {
		var r struct {
			Time    time.Time
			Seconds *float64
		}
		if json.Unmarshal(line, &r) == nil && r.Seconds != nil { // only rounds have a duration
			n, last = n+1, r.Time
		}
	}
	if last.Before(since) {
		return 0
	}
	return n
}

// killings are the moments at which a run is killed, one after another: each process
// goes on from what the one before it left.
var killings = []struct {
	name string
	now  func(was, is glance) bool
}{
	{"as soon as the folder is open", func(_, is glance) bool { return is.open }},
	{"before the first checkpoint", func(_, is glance) bool { return is.rounds >= 1 }},
	{"while a checkpoint is written", func(was, is glance) bool { return is.writing || is.newest != was.newest }},
	{"right after a checkpoint", func(was, is glance) bool { return is.newest != was.newest }},
	{"between two checkpoints", func(_, is glance) bool { return is.rounds%2 == 1 }},
	{"in the last round", func(_, is glance) bool { return is.rounds == e2eRounds-1 }},
	{"after the last round", func(_, is glance) bool { return is.rounds == e2eRounds }},
}

// Killed again and again and started again each time, a run ends with the bits of one
// that was never disturbed, on one thread and on two.
func TestKilledRunsEndAsUnbrokenOnes(t *testing.T) {
	for i, j := range trainerJobs {
		t.Run(j.kind, func(t *testing.T) {
			t.Parallel()
			up := unbrokenRuns(t)
			// A machine may be so slow to look that a run is over before it is killed: then again.
			for attempt := 1; ; attempt++ {
				missed := killAndResume(t, j, up, fmt.Sprint(1+i%2))
				if missed == "" {
					return
				}
				t.Logf("attempt %d: the run was over before it could be killed %s", attempt, missed)
				require.Less(t, attempt, e2eAttempts)
			}
		})
	}
}

// killAndResume kills a run at every moment and lets it end at last. It returns the
// moment that was missed, if any was.
func killAndResume(t *testing.T, j trainerJob, up, threads string) (missed string) {
	dir := t.TempDir()
	folder := filepath.Join(dir, j.kind)
	args := []string{j.kind, j.write(t, dir, up), "-o", j.kind, "--threads", threads}
	for _, k := range killings {
		before := newest(folder)
		p := start(t, dir, args...)
		was := look(p, folder)
		p.until(func() bool { is := look(p, folder); return !is.result && k.now(was, is) })
		p.signal(syscall.SIGKILL)
		if _, by := p.wait(); by != syscall.SIGKILL {
			return k.name
		}
		requireResumed(t, p, before)
		require.NoFileExists(t, filepath.Join(folder, run.ResultFile))
	}
	before := newest(folder)
	p := start(t, dir, args...)
	code, _ := p.wait()
	require.Zero(t, code, p.err.String())
	requireResumed(t, p, before)
	sameRun(t, filepath.Join(up, j.kind), folder)
	require.GreaterOrEqual(t, readJSON(t, folder, run.ResultFile)["resumed"], float64(len(killings)-1),
		"the first kill may come before the run is noted")

	// Once it is done, the same command has nothing to do.
	left := tree(t, folder)
	out, _ := mustSteer(t, dir, args...)
	require.Contains(t, out, "finished already")
	require.Equal(t, left, tree(t, folder))
	return ""
}

// requireResumed: a process said that it went on from a checkpoint, if there was one and
// it came that far.
func requireResumed(t *testing.T, p *process, checkpoint string) {
	t.Helper()
	said := p.err.String()
	if checkpoint == "" {
		require.NotContains(t, said, "going on after")
		return
	}
	require.NotContains(t, said, "damaged", "a checkpoint is whole whenever the process is killed")
	if strings.Contains(said, "/6") { // it has shown a round
		step := strings.TrimLeft(strings.TrimPrefix(checkpoint, "step-"), "0")
		require.Contains(t, said, "going on after step "+step)
	}
}

// The number of threads changes no bit, and is not held against a run that goes on.
func TestThreadsChangeNoBitOfARun(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	for _, j := range trainerJobs {
		dir := t.TempDir()
		mustSteer(t, dir, j.kind, j.write(t, dir, up), "-o", j.kind, "--threads", "2")
		sameRun(t, filepath.Join(up, j.kind), filepath.Join(dir, j.kind))
	}
	dir := t.TempDir()
	copyRun(t, "sft", filepath.Join(dir, "sft"))
	_, said := mustSteer(t, dir, "sft", sftJob.write(t, dir, up), "-o", "sft", "--threads", "2", "--set",
		"checkpoint_every=1")
	require.Contains(t, said, "going on after step 6")
	sameRun(t, filepath.Join(up, "sft"), filepath.Join(dir, "sft"))
}

// Asked once to stop, a trainer ends its step and leaves a checkpoint from which the
// same command goes on to the same end. The run is long enough to be met by a test that has to wait
// for a processor on a busy machine.
func TestInterruptedRunsGoOn(t *testing.T) {
	for i, j := range trainerJobs {
		t.Run(j.kind, func(t *testing.T) {
			t.Parallel()
			up := unbrokenRuns(t)
			signal := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}[i%3]
			for attempt := 1; ; attempt++ {
				dir := t.TempDir()
				folder := filepath.Join(dir, j.kind)
				args := []string{j.kind, j.write(t, dir, up), "-o", j.kind}
				p := start(t, dir, args...)
				require.True(t, p.until(func() bool { return look(p, folder).rounds >= 1 }), p.err.String())
				p.signal(signal)
				if signal == syscall.SIGHUP { // the shell's, after the kernel's
					p.until(func() bool { return strings.Contains(p.err.String(), "once more to leave at once") })
					p.signal(signal)
				}
				code, by := p.wait()
				require.Zero(t, by)
				if code == 0 { // it was through before it was asked
					require.Less(t, attempt, e2eAttempts)
					continue
				}
				require.Equal(t, train.ExitInterrupted, code, p.err.String())
				said := p.err.String()
				require.Contains(t, said,
					"stopping (a trainer ends its step and writes a checkpoint first); once more to leave at once")
				require.Contains(t, said, "stopped as asked; the same command goes on from the checkpoint")
				require.NotEmpty(t, newest(folder))
				rounds := roundsSince(folder, p.started)
				require.GreaterOrEqual(t, rounds, 1)
				require.NoFileExists(t, filepath.Join(folder, run.ResultFile))

				_, again := mustSteer(t, dir, args...)
				require.Contains(t, again, "going on after step")
				sameRun(t, filepath.Join(up, j.kind), folder)
				return
			}
		})
	}
}

// Under nohup a run does not hear of the terminal's end.
func TestIgnoredHangUpStaysIgnored(t *testing.T) {
	t.Parallel()
	up := unbrokenRuns(t)
	dir := t.TempDir()
	p := startUnder(t, dir, []string{"nohup"}, "sft", sftJob.write(t, dir, up), "-o", "sft")
	require.True(t, p.until(func() bool { return look(p, filepath.Join(dir, "sft")).rounds >= 1 }), p.err.String())
	p.signal(syscall.SIGHUP)
	code, by := p.wait()
	require.Zero(t, by, p.err.String())
	require.Zero(t, code, p.err.String())
	require.NotContains(t, p.err.String(), "stopping")
	sameRun(t, filepath.Join(up, "sft"), filepath.Join(dir, "sft"))
}

// Asked twice, it leaves in the middle of the step; the last checkpoint is intact.
func TestInterruptedTwiceLeavesAtOnce(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	job := func(name string) []string {
		// A step of many rows takes long enough to be left.
		return []string{"sft", "--model", assets.Model, "--train", assets.Guanaco.Train, "--template", "guanaco",
			"--threads", "1", "-o", name,
			"--set", "pack=none", "--set", "max_tokens=64", "--set", "mini_batch_size=96", "--set",
			"checkpoint_every=1", "--max-steps", "2"}
	}
	folder := filepath.Join(dir, "run")
	for attempt := 1; ; attempt++ {
		p := start(t, dir, job("run")...)
		require.True(t, p.until(func() bool { return look(p, folder).newest != "" }), p.err.String())
		p.signal(syscall.SIGINT)
		p.until(func() bool { return strings.Contains(p.err.String(), "once more to leave at once") })
		p.signal(syscall.SIGINT)
		code, by := p.wait()
		require.Zero(t, by)
		if newest(folder) == "step-000001" {
			require.Equal(t, train.ExitInterrupted, code, p.err.String())
			require.NotContains(t, p.err.String(), "stopped as asked", "the step was not finished")
			break
		}
		t.Logf("attempt %d: the step was over before it could be left", attempt)
		require.Less(t, attempt, e2eAttempts)
		require.NoError(t, os.RemoveAll(folder))
	}

	_, said := mustSteer(t, dir, job("run")...)
	require.Contains(t, said, "going on after step 1")
	mustSteer(t, dir, job("whole/run")...)
	sameRun(t, filepath.Join(dir, "whole/run"), folder)
}
