package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/app/speed"
	"steer/ggml/gguf/gguftest"
)

func TestBenchRefusesBeforeItMeasures(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"want --model or --shape, and one of them only", nil},
		{"want --model or --shape, and one of them only", []string{"--shape", "tiny", "--model", "x.gguf"}},
		{`shape "llama-3-8b": want one of tiny, smollm2-135m`, []string{"--shape", "llama-3-8b"}},
		{`type "q9": want one of f32`, []string{"--shape", "tiny", "--type", "q9"}},
		{`job "trian": want one of train`, []string{"--shape", "tiny", "--jobs", "trian"}},
		{"micro_batch: want a divisor of batch (4), or 0 for all of it, got 3",
			[]string{"--shape", "tiny", "--micro-batch", "3"}},
		{"steps: want 1 to", []string{"--shape", "tiny", "--steps", "0"}},
		{`no kernels called "sse9"`, []string{"--shape", "tiny", "--kernel", "sse9"}},
		{`targets: "q_proj": want some of attn_q`, []string{"--shape", "tiny", "--targets", "q_proj"}},
		{"targets: want at least one", []string{"--shape", "tiny", "--targets", ""}},
		{"model missing.gguf: no such file", []string{"--model", "missing.gguf"}},
		{`--format "xml": want table, json or gobench`, []string{"--shape", "tiny", "--format", "xml"}},
		{"bf16, f32", []string{"--shape", "tiny", "--precision", "f8"}},
		{"threads: want 0 to 512", []string{"--shape", "tiny", "--threads", "-1"}},
	} {
		code, out, errs := command(t, "", append([]string{"bench"}, c.args...)...)
		require.Equal(t, exitUsage, code, c.args)
		require.Empty(t, out)
		require.Contains(t, errs, c.want)
	}
}

// Each job in its own process of the built program, as a user runs it.
func TestBenchMeasuresInProcessesOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	args := []string{"bench", "--shape", "tiny", "--type", "q4_0", "--cache", "cache", "--threads", "1", "--steps", "1",
		"--batch", "2", "--micro-batch", "1", "--tokens", "16", "--jobs", "train,rollout", "--sequences", "1,2",
		"--new", "64", "--prompt", "4"}
	out, _ := mustSteer(t, dir, append(args, "--json")...)
	var report speed.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	var labels []string
	for _, r := range report.Jobs {
		labels = append(labels, r.Label)
		require.Positive(t, r.PeakRSS)
		require.Equal(t, 1, r.Threads)
	}
	require.Equal(t, []string{"train 2x16/1", "rollout 1", "rollout 2"}, labels)
	files, err := filepath.Glob(filepath.Join(dir, "cache", "*.gguf"))
	require.NoError(t, err)
	require.Len(t, files, 1, "kept for the next time")

	out, errs := mustSteer(t, dir, append(args, "--profile")...)
	require.Contains(t, out, "rollout 2")
	require.Contains(t, errs, "measuring rollout 2")

	require.NoError(t, os.WriteFile(files[0], []byte("GGUF"), 0o644))
	code, _, errs := steerIn(t, dir, args...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, errs, "train 2x16/1: the measuring process ended with exit status 1")
	require.Contains(t, errs, filepath.Base(files[0]))
}

// Of a model that cannot be trained, what can be measured is.
func TestBenchOfAMixtureOfExperts(t *testing.T) {
	model := tinyModel(t, gguftest.Options{Experts: 4, BPE: true})
	out, errs := mustSteer(t, t.TempDir(), "bench", "-m", model, "--steps", "1", "--warmup", "1", "--tokens", "16",
		"--sequences", "2", "--new", "64", "--prompt", "4", "--episodes", "2", "--group", "2")
	require.Contains(t, errs, "not measured: train, train-keep, ppo, grpo, dpo, kernels, "+
		"since this model cannot be trained")
	require.Contains(t, out, "no LoRA, computed by libllama")
	require.Regexp(t, `(?m)^score 4x16 .* - +- +\d+ MB`, out)
	require.Regexp(t, `(?m)^rollout 2 `, out)
	require.Regexp(t, `(?m)^group 2x2x4\+64 `, out)
}

func TestBenchHelpKeepsItsWidth(t *testing.T) {
	for _, line := range strings.Split(succeed(t, "", "bench", "--help"), "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), speed.Columns, line)
	}
}
