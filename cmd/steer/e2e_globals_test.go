package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
	"steer/rl/sft"
	"steer/rl/train"
)

// logged reads a log without the times of its lines.
func logged(t testing.TB, path string) string {
	t.Helper()
	raw := string(get(t, path))
	require.Regexp(t, regexp.MustCompile(`\A(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [^\r\n\x1b]*\n)*\z`), raw)
	return regexp.MustCompile(`(?m)^\S+ `).ReplaceAllString(raw, "")
}

// A log holds what the terminal was shown, as plain lines, whatever that was told to show.
func TestQuietVerboseAndTheLog(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	run := func(name string, flags ...string) (out, said string) {
		return mustSteer(t, dir, append([]string{"sft", "sft.yaml", "-o", name}, flags...)...)
	}
	out, usual := run("usual")
	require.Contains(t, out, "sft: done, see usual/result.json")
	require.NotContains(t, usual, "SHA-256")

	out, said := run("quiet", "--quiet", "--log-file", "run.log")
	require.Regexp(t, `\A(quiet: warning: [^\n]*\n)*\z`, said, "warnings are shown, nothing else")
	require.Contains(t, out, "sft: done, see quiet/result.json", "results are shown")
	log := logged(t, filepath.Join(dir, "run.log"))
	require.Contains(t, log, "steer "+e2eVersion+": ")
	require.Contains(t, log, "sft sft.yaml -o quiet --quiet --log-file run.log\n")
	for line := range strings.Lines(strings.ReplaceAll(usual, "usual", "quiet")) {
		if !strings.Contains(line, "tok/s") && !strings.Contains(line, "needs ") { // the clock, and what is free
			require.Contains(t, log, line)
		}
	}
	require.Contains(t, log, "quiet 6/6 ")
	require.True(t, strings.HasSuffix(log, "ended with exit code 0\n"), log)
	sameRun(t, filepath.Join(dir, "usual"), renamed(t, filepath.Join(dir, "quiet"), "again/usual"))

	// Appended, with what a wrong command was told.
	code, _, said := steerIn(t, dir, "sft", "sft.yaml", "-o", "quiet2", "-q", "--log-file", "run.log", "--set",
		"seed=x")
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "steer: seed: want a whole number")
	again := logged(t, filepath.Join(dir, "run.log"))
	require.True(t, strings.HasPrefix(again, log))
	require.Contains(t, again[len(log):], "steer: seed: want a whole number")
	require.True(t, strings.HasSuffix(again, "ended with exit code 2\n"))

	// A warning is shown whatever else is not.
	_, said = run("warned", "-q", "--memory", "1MB", "--force", "--max-steps", "1")
	require.Contains(t, said, "warning: warned needs ")
	require.NotContains(t, said, "tok/s")

	_, said = run("verbose", "-v", "--max-steps", "3")
	for _, line := range []string{"verbose 1/3 ", "verbose 2/3 ", "verbose 3/3 ", "verbose: reads train, SHA-256 ",
		"verbose: computing on cpu, 1 threads"} {
		require.Contains(t, said, line)
	}

	code, _, said = steerIn(t, dir, "sft", "sft.yaml", "-q", "-v")
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "--quiet and --verbose contradict each other")
	code, _, said = steerIn(t, dir, "sft", "sft.yaml", "--log-file", "nowhere/run.log")
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "--log-file: open nowhere/run.log: no such file or directory")
}

// A kill costs the log nothing of what was shown; a stop is noted.
func TestLogOfAnInterruptedRun(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	args := []string{"sft", "sft.yaml", "-o", "out", "--max-steps", "100000", "--log-file", "run.log"}
	p := start(t, dir, args...)
	require.True(t, p.until(func() bool { return look(p, filepath.Join(dir, "out")).rounds >= 3 }), p.err.String())
	p.signal(syscall.SIGINT)
	code, _ := p.wait()
	require.Equal(t, train.ExitInterrupted, code)
	log := logged(t, filepath.Join(dir, "run.log"))
	require.Contains(t, log, "asked to stop\n")
	require.Contains(t, log, "steer: out: after step ")
	require.True(t, strings.HasSuffix(log, "ended with exit code 130\n"), log)
	for line := range strings.Lines(p.err.String()) {
		if strings.Contains(line, "held-out loss") {
			require.Contains(t, log, line)
		}
	}
}

// A log that cannot be written on is no reason to end what it is of.
func TestLogOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	_, said := mustSteer(t, dir, "sft", "sft.yaml", "-o", "out", "--log-file", "/dev/full")
	require.Equal(t, 1, strings.Count(said, "warning: --log-file: "), said)
	require.Contains(t, said, "no space left on device: nothing more is logged")
	sameRun(t, filepath.Join(unbrokenRuns(t), "sft"), renamed(t, filepath.Join(dir, "out"), "sft"))
	_, said = mustSteer(t, dir, "sft", "sft.yaml", "-o", "sft", "--log-file", "/dev/null")
	require.NotContains(t, said, "warning", "what cannot be synced is no full disk")
}

// Colour is for terminals, and for who asks for it.
func TestColour(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	const escape = "\x1b["
	code, _, said := steerIn(t, dir, "sft", "nowhere.yaml")
	require.Equal(t, exitFailure, code)
	require.NotContains(t, said, escape, "standard error is no terminal")
	_, _, said = steerIn(t, dir, "sft", "nowhere.yaml", "--color", "always")
	require.True(t, strings.HasPrefix(said, "\x1b[1;31msteer: \x1b[0m"), "%q", said)
	_, said = mustSteer(t, dir, "sft", "sft.yaml", "--color=always", "--memory", "1MB", "--force", "--max-steps", "1",
		"--log-file", "run.log")
	require.Contains(t, said, "\x1b[33mwarning:\x1b[0m sft needs")
	require.Contains(t, logged(t, filepath.Join(dir, "run.log")), "warning: sft needs")
	help, _ := mustSteer(t, dir, "sft", "--help", "--color", "always")
	require.Contains(t, help, "\x1b[1mFlags:\x1b[0m\n")
	plainHelp, _ := mustSteer(t, dir, "sft", "--help")
	require.NotContains(t, plainHelp, escape)
	require.Equal(t, plainHelp, regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(help, ""))
	code, _, said = steerIn(t, dir, "sft", "--color", "sometimes")
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "want one of auto, always, never")

	script, err := exec.LookPath("script") // of util-linux: gives a program a terminal
	if err != nil {
		t.Log("no program script: colour on a terminal is tested by the palette alone")
		return
	}
	steer, _ := e2e(t)
	shown := func(env string) string {
		cmd := exec.Command(script, "-qec", steer+" sft nowhere.yaml", "/dev/null")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TERM=xterm", "NO_COLOR=", env)
		out, _ := cmd.CombinedOutput() // its exit code is the program's
		require.Contains(t, string(out), "nowhere.yaml")
		return string(out)
	}
	require.Contains(t, shown("TERM=xterm"), "\x1b[1;31msteer: ")
	require.NotContains(t, shown("NO_COLOR=1"), escape)
	require.NotContains(t, shown("TERM=dumb"), escape)
}

// The usual knobs are flags; a flag and --set may not say two things.
func TestFlagsOfTheUsualKnobs(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := jobFolder(t)
	key := func(yaml, name string) string {
		value, found, err := conf.Lookup("", []byte(yaml), name)
		require.NoError(t, err)
		require.True(t, found, name)
		return value
	}
	for _, c := range []struct {
		kind string
		keys map[string]string // by flag
	}{
		{"sft", map[string]string{"epochs": "epochs", "lr": "optim.lr", "rank": "lora.rank",
			"batch": "mini_batch_size"}},
		{"reward", map[string]string{"epochs": "epochs", "lr": "optim.lr", "rank": "lora.rank",
			"batch": "mini_batch_size"}},
		{"ppo", map[string]string{"epochs": "ppo_epochs", "lr": "optim.lr", "rank": "lora.rank",
			"batch": "rollout_batch_size"}},
	} {
		args := []string{c.kind, c.kind + ".yaml", "--dry-run", "--epochs", "5", "--lr", "3e-5", "--rank", "2",
			"--batch", "6"}
		want := map[string]string{"epochs": "5", "lr": "3e-05", "rank": "2", "batch": "6"}
		if c.kind != "ppo" {
			args = append(args, "--max-steps", "0")
		}
		out, _ := mustSteer(t, dir, args...)
		for flag, name := range c.keys {
			require.Equal(t, want[flag], key(out, name), "%s --%s", c.kind, flag)
		}
		// The same said twice is no contradiction.
		_, _ = mustSteer(t, dir, append(args, "--set", "optim.lr=0.00003", "--set", "lora={rank: 2}")...)
		for set, says := range map[string]string{
			"optim.lr=1e-5":   "--lr says optim.lr: 3e-05, --set says 1e-05: give one of them",
			"lora={rank: 4}":  "--rank says lora.rank: 2, --set says 4: give one of them",
			"lora.rank = 0x8": "--rank says lora.rank: 2, --set says 8: give one of them",
		} {
			code, out, said := steerIn(t, dir, append(args, "--set", set)...)
			require.Equal(t, exitUsage, code, set)
			require.Empty(t, out)
			require.Contains(t, said, says)
		}
		for _, wrong := range [][]string{{"--lr", "fast"}, {"--rank", "1.5"}, {"--epochs", "2 # more"}, {"--batch",
			""}} {
			code, _, said := steerIn(t, dir, append([]string{c.kind, c.kind + ".yaml", "--dry-run"}, wrong...)...)
			require.Equal(t, exitUsage, code, wrong)
			require.Contains(t, said, c.keys[strings.TrimPrefix(wrong[0], "--")]+": ", wrong)
		}
	}

	// What a number of steps overrules is not taken in silence.
	sftArgs := []string{"sft", "--dry-run", "--model", assets.Model, "--train", assets.Guanaco.Train, "--epochs", "2"}
	code, _, said := steerIn(t, dir, append(sftArgs, "--preset", "thesis")...)
	require.Equal(t, exitUsage, code)
	thesis, err := sft.New(train.PresetThesis)
	require.NoError(t, err)
	require.EqualValues(t, 5000, thesis.MaxSteps)
	require.Contains(t, said,
		"--epochs 2: the run would end after max_steps 5000 whatever epochs is: "+
			"add --set max_steps=0, or leave --epochs out")
	mustSteer(t, dir, append(sftArgs, "--preset", "thesis", "--set", "max_steps=0")...)
	mustSteer(t, dir, sftArgs...)
}
