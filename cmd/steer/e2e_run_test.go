package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
	"steer/rl/train"
)

// tinyExperiment is a whole pipeline with a few rounds a stage. Its data lie below data/,
// so that a test can change them.
const tinyExperiment = `
name: tiny
model: assets/model.gguf
out: out
template: guanaco
seed: 3
engine: {threads: 1, sequences: 4}
theories: [deontology]
sft:
  train: {path: data/chat.jsonl}
  eval: {path: data/held-out.jsonl}
  lora: {rank: 4, alpha: 8}
  pack: none
  max_tokens: 64
  mini_batch_size: 2
  max_steps: 2
  optim: {lr: 2e-3, warmup_steps: 0}
  checkpoint_every: 1
reward:
  max_length: 64
  lora: {rank: 4, alpha: 8}
  mini_batch_size: 2
  max_steps: 8
  optim: {lr: 3e-3}
  checkpoint_every: 1
ppo:
  prompts: {path: data/chat.jsonl}
  held_out: {path: data/held-out.jsonl}
  max_prompt_tokens: 48
  max_new_tokens: 6
  lora: {rank: 4, alpha: 8}
  iterations: 5
  rollout_batch_size: 4
  mini_batch_size: 2
  micro_batch_size: 2
  ppo_epochs: 1
  optim: {lr: 1e-3}
  checkpoint_every: 1
each:
  deontology:
    reward:
      train: {path: data/pairs.csv}
      held_out: {path: data/pairs-held-out.csv}
eval:
  resamples: 100
  wsc273: {path: data/wsc.xml, limit: 4}
  cross_reward:
    prompts: {path: data/held-out.jsonl}
    max_new_tokens: 6
    batch: 4
`

var tinyStages = []string{"sft", "reward-deontology", "ppo-deontology", "eval"}

// tiny lays an experiment out in a new folder.
func tiny(t testing.TB) (dir string) {
	t.Helper()
	_, assets := e2e(t)
	dir = t.TempDir()
	put(t, dir, "tiny.yaml", tinyExperiment)
	require.NoError(t, os.Symlink(assets.Dir, filepath.Join(dir, "assets")))
	for to, from := range map[string]struct {
		path  string
		lines int
	}{
		"chat.jsonl": {assets.Guanaco.Train, 8}, "held-out.jsonl": {assets.Guanaco.Test, 3},
		"pairs.csv": {assets.Deontology.Train, 13}, "pairs-held-out.csv": {assets.Deontology.Test, 13},
		"wsc.xml": {assets.Winograd, 0},
	} {
		text := string(get(t, from.path))
		if from.lines > 0 {
			text = strings.Join(strings.SplitAfter(text, "\n")[:from.lines], "")
		}
		put(t, dir, "data/"+to, text)
	}
	return dir
}

// sameExperiment compares the products of two experiments.
func sameExperiment(t testing.TB, want, got string) {
	t.Helper()
	for _, stage := range tinyStages[:3] {
		require.True(t, string(get(t, want, stage, run.AdapterFile)) == string(get(t, got, stage, run.AdapterFile)),
			"adapter of %s", stage)
		require.Equal(t, timeless(t, filepath.Join(want, stage)), timeless(t, filepath.Join(got, stage)), stage)
	}
	a, b := readJSON(t, want, "eval/result.json"), readJSON(t, got, "eval/result.json")
	for _, key := range []string{"cells", "histograms", "kl", "kl_k3", "lengths"} {
		x := a["cross_reward"].(map[string]any)[key]
		require.NotEmpty(t, x, key)
		require.Equal(t, x, b["cross_reward"].(map[string]any)[key], key)
	}
}

// skipped and anew say what a run of the experiment did with a stage.
func skipped(said, stage string) bool {
	return strings.Contains(said, stage+": finished, nothing that goes into it has changed: skipped")
}
func anew(said, stage string) bool { return strings.Contains(said, stage+": run anew, since ") }

func TestExperimentIsKilledAndGoesOn(t *testing.T) {
	t.Parallel()
	whole := tiny(t)
	out, said := mustSteer(t, whole, "run", "tiny.yaml")
	require.Contains(t, out, "Report: out/report.html")
	for _, stage := range tinyStages {
		require.False(t, skipped(said, stage) || anew(said, stage), stage)
	}
	checkReport(t, filepath.Join(whole, "out"))

	dir := tiny(t)
	for i, stage := range []string{"reward-deontology", "ppo-deontology"} {
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}[i]
		folder := filepath.Join(dir, "out", stage)
		for attempt := 1; ; attempt++ {
			p := start(t, dir, "run", "tiny.yaml")
			p.until(func() bool { return newest(folder) != "" })
			p.signal(signal)
			code, _ := p.wait()
			if _, err := os.Stat(filepath.Join(folder, run.ResultFile)); err != nil {
				if signal == syscall.SIGINT {
					require.Equal(t, train.ExitInterrupted, code, p.err.String())
					require.Contains(t, p.err.String(), "steer: "+stage+": ")
					require.Contains(t, p.err.String(),
						"stopped as asked; the same command goes on from the checkpoint")
				}
				break
			}
			require.Less(t, attempt, e2eAttempts, "the stage was over before it was killed")
			require.NoError(t, os.RemoveAll(folder))
		}
	}
	_, said = mustSteer(t, dir, "run", "tiny.yaml")
	require.True(t, skipped(said, "sft") && skipped(said, "reward-deontology"), said)
	require.Contains(t, said, "ppo-deontology: going on after step ")
	sameExperiment(t, filepath.Join(whole, "out"), filepath.Join(dir, "out"))

	// Interrupted in the evaluation it exits with 130; the evaluation goes on where it was.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "out/eval")))
	for attempt := 1; ; attempt++ {
		p := start(t, dir, "run", "tiny.yaml")
		p.until(func() bool { return look(p, filepath.Join(dir, "out/eval")).open })
		p.signal(syscall.SIGINT)
		if code, _ := p.wait(); code != 0 {
			require.Equal(t, train.ExitInterrupted, code, p.err.String())
			require.Contains(t, p.err.String(), "the same command goes on from the checkpoint")
			break
		}
		require.Less(t, attempt, e2eAttempts)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "out/eval")))
	}
	_, said = mustSteer(t, dir, "run", "tiny.yaml")
	require.True(t, skipped(said, "ppo-deontology") && !skipped(said, "eval"), said)
	result := readJSON(t, dir, "out/eval", run.ResultFile)
	sittings := result["sittings"].([]any)
	require.Len(t, sittings, 2)
	require.Positive(t, sittings[0])
	require.Equal(t, sittings[0].(float64)+sittings[1].(float64), result["seconds"])
	sameExperiment(t, filepath.Join(whole, "out"), filepath.Join(dir, "out"))
}

// checkReport: the report is there and its versions are those of the program.
func checkReport(t *testing.T, out string) {
	t.Helper()
	html := string(get(t, out, "report.html"))
	require.True(t, strings.HasPrefix(html, "<!DOCTYPE html>") || strings.HasPrefix(html, "<!doctype html>"), "%.40s",
		html)
	require.NotContains(t, html, "<script src")
	require.NotContains(t, html, "https://cdn")
	report := readJSON(t, out, "report.json")
	require.EqualValues(t, 1, report["version"])
	require.Equal(t, []any{"deontology"}, report["theories"])
	for _, stage := range tinyStages {
		r := readJSON(t, out, stage, run.ResultFile)
		require.EqualValues(t, 1, r["version"], stage)
		require.Equal(t, stage, r["name"])
		require.Equal(t, strings.SplitN(stage, "-", 2)[0], r["stage"])
		require.Equal(t, "finished", r["status"])
		versions := r["versions"].(map[string]any)
		require.Equal(t, e2eVersion, versions["steer"], stage)
		require.Contains(t, versions["llama.cpp"], "ollama")
		require.Equal(t, e2eVersion, readJSON(t, out, stage, "run.json")["version"])
	}
	version, _ := mustSteer(t, out, "--version")
	require.Equal(t, "steer version "+e2eVersion+"\n", version)
}

func TestExperimentSkipsWhatHasNotChanged(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	config := put(t, dir, "tiny.yaml", tinyExperiment)

	// The plan is printed and nothing written.
	before := tree(t, dir)
	plan, _ := mustSteer(t, dir, "run", "tiny.yaml", "--dry-run")
	for _, stage := range tinyStages {
		require.Contains(t, plan, "# --- stage "+stage+": to run")
	}
	require.Contains(t, plan, "kl_coef: 0.05")
	require.NotContains(t, plan, "# missing")
	require.Equal(t, before, tree(t, dir))

	mustSteer(t, dir, "run", "tiny.yaml")
	first := tree(t, filepath.Join(dir, "out"))
	plan, _ = mustSteer(t, dir, "run", "tiny.yaml", "--dry-run")
	require.Equal(t, len(tinyStages), strings.Count(plan, "has a result"))

	// Nothing has changed: everything is skipped, under other threads too.
	for _, more := range [][]string{nil, {"--set", "engine.threads=2", "--set", "ppo.checkpoint_every=2"}} {
		_, said := mustSteer(t, dir, append([]string{"run", "tiny.yaml"}, more...)...)
		for _, stage := range tinyStages {
			require.True(t, skipped(said, stage), "%s\n%s", stage, said)
		}
		require.Equal(t, first, tree(t, filepath.Join(dir, "out")))
	}

	// Nor has anything where all of it was moved.
	elsewhere := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(dir, elsewhere))
	_, said := mustSteer(t, elsewhere, "run", "tiny.yaml")
	for _, stage := range tinyStages {
		require.True(t, skipped(said, stage), "%s\n%s", stage, said)
	}
	require.NoError(t, os.Rename(elsewhere, dir))

	// What is only touched is not changed; what only the evaluation reads changes only that.
	put(t, dir, "data/wsc.xml", string(get(t, dir, "data/wsc.xml"))+"\n")
	_, said = mustSteer(t, dir, "run", "tiny.yaml")
	require.True(t, skipped(said, "sft") && skipped(said, "reward-deontology") && skipped(said, "ppo-deontology"), said)
	require.True(t, anew(said, "eval"), said)
	require.Contains(t, said, "inputs.wsc273")

	// Another pair changes the reward model, what is steered by it, and what is measured.
	put(t, dir, "data/pairs.csv", string(get(t, dir,
		"data/pairs.csv"))+"1,\"I promised to help.\",\"So I helped.\"\n0,\"I promised to help.\",\"So I slept.\"\n")
	_, said = mustSteer(t, dir, "run", "tiny.yaml")
	require.True(t, skipped(said, "sft"), said)
	for _, stage := range tinyStages[1:] {
		require.True(t, anew(said, stage), "%s\n%s", stage, said)
	}
	require.NotEqual(t, first["reward-deontology/adapter.gguf"],
		string(get(t, dir, "out/reward-deontology/adapter.gguf")))

	// An adapter that was lost or damaged is made again from its checkpoint, bit for bit.
	lost := filepath.Join(dir, "out/ppo-deontology/adapter.gguf")
	whole := get(t, lost)
	require.NoError(t, os.Truncate(lost, int64(len(whole)/2)))
	_, said = mustSteer(t, dir, "run", "tiny.yaml")
	require.Contains(t, said,
		"ppo-deontology: its adapter.gguf is not the one it finished with: made again from the last checkpoint")
	require.True(t, string(whole) == string(get(t, lost)))
	require.True(t, skipped(said, "eval"), said)

	// An interrupted stage whose inputs have changed meanwhile begins again; one whose
	// configuration has, does not without being told.
	require.NoError(t, os.Remove(filepath.Join(dir, "out/ppo-deontology/result.json")))
	put(t, dir, "data/pairs.csv", strings.Replace(string(get(t, dir, "data/pairs.csv")), "So I slept.", "So I ran.", 1))
	_, said = mustSteer(t, dir, "run", "tiny.yaml")
	require.True(t, anew(said, "reward-deontology") && anew(said, "ppo-deontology"), said)
	require.NoError(t, os.Remove(filepath.Join(dir, "out/ppo-deontology/result.json")))
	code, _, said := steerIn(t, dir, "run", "tiny.yaml", "--set", "ppo.kl_coef=0.2")
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "kl_coef: 0.05 -> 0.2")
	require.Contains(t, said, "out/ppo-deontology to run this stage anew")

	// Anew all over.
	put(t, dir, "tiny.yaml", strings.Replace(tinyExperiment, "seed: 3", "seed: 4", 1))
	_, said = mustSteer(t, dir, "run", config, "--fresh")
	for _, stage := range tinyStages {
		require.False(t, skipped(said, stage) || anew(said, stage), said)
	}
	require.NotContains(t, said, "going on")
	require.NotEqual(t, first["sft/adapter.gguf"], string(get(t, dir, "out/sft/adapter.gguf")))
	checkReport(t, filepath.Join(dir, "out"))
}

// Mistakes in an experiment are found before its first stage runs, all of them.
func TestExperimentMistakes(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	for name, c := range map[string]struct {
		replace, with string
		code          int
		says          []string
	}{
		"unknown key": {"max_steps: 2", "max_step: 2", exitUsage,
			[]string{"bad.yaml:16: sft.max_step: unknown key", `did you mean "max_steps"?`}},
		"unknown theory": {"theories: [deontology]", "theories: [deontolgy]", exitUsage,
			[]string{`theories[0]: want one of deontology`, `did you mean "deontology"?`}},
		"not listed": {"theories: [deontology]", "theories: [virtue]", exitUsage,
			[]string{"each.virtue.reward.train.path", "each.deontology: not among theories [virtue]"}},
		"no pairs": {"train: {path: data/pairs.csv}", "train: {limit: 3}", exitUsage,
			[]string{"each.deontology.reward.train.path: want the path of a file"}},
		"no prompts": {"prompts: {path: data/chat.jsonl}", "prompts: {limit: 3}", exitUsage,
			[]string{"ppo.prompts.path: want the path of a file"}},
		"does not divide": {"rollout_batch_size: 4", "rollout_batch_size: 5", exitUsage,
			[]string{"ppo: rollout_batch_size 5 does not divide by mini_batch_size 2: choose one of [1 5]"}},
		"device": {"threads: 1", "device: cuda0", exitUsage,
			[]string{`engine.device: there is no device called "cuda0": want cpu, cuda, cuda:N`}},
		"threads": {"threads: 1", "threads: 5000", exitUsage,
			[]string{"engine.threads: want 0 (all CPUs) to 512, got 5000"}},
		"file missing": {"data/wsc.xml", "data/wsc.html", exitFailure,
			[]string{"eval.wsc273.path", "data/wsc.html", "does not exist"}},
		"model missing": {"assets/model.gguf", "assets/modell.gguf", exitFailure,
			[]string{"model: ", "modell.gguf: no such file"}},
		"not YAML": {"seed: 3", "seed: [3", exitUsage, []string{"bad.yaml:", "not YAML"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, tinyExperiment, c.replace)
			put(t, dir, "bad.yaml", strings.Replace(tinyExperiment, c.replace, c.with, 1))
			code, out, said := steerIn(t, dir, "run", "bad.yaml")
			require.Equal(t, c.code, code, said)
			require.Empty(t, out)
			for _, s := range c.says {
				require.Contains(t, said, s)
			}
			require.NoDirExists(t, filepath.Join(dir, "out"))
		})
	}
	code, _, said := steerIn(t, dir, "run", "nowhere.yaml")
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "nowhere.yaml: no such file")
	plan, _ := mustSteer(t, dir, "run", "tiny.yaml", "--dry-run", "--set", "eval.wsc273.path=nowhere.xml")
	require.Contains(t, plan, "# missing: eval.wsc273.path")
}
