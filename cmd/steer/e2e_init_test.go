package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What init writes is ready to run, for every mixture of files.
func TestInit(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	data := filepath.Join(assets.Dir, "data")
	pairs := put(t, t.TempDir(), "pairs.jsonl",
		strings.Repeat(`{"prompt": "Hello", "chosen": " there", "rejected": " you"}
{"prompt": "What now?", "chosen": " Tea.", "rejected": " Go."}
`, 20))
	for name, c := range map[string]struct {
		files []string
		says  []string
		quick []string
	}{
		"conversations": {[]string{assets.Guanaco.Train}, []string{"template: guanaco # the model has none",
			"# 400 rows: guanaco JSONL", "split: held_out", "# theories: [deontology]"},
			[]string{"sft.max_steps=2", "sft.eval.limit=4", "eval.kl.limit=4", "eval.resamples=50"}},
		"theory and benchmarks": {[]string{assets.Guanaco.Train, assets.Guanaco.Test, assets.Deontology.Train,
			assets.Deontology.Test, assets.Winograd, filepath.Join(data, "toxigen/annotated_test.csv")},
			[]string{"theories: [deontology]", "wsc273: {path:", "toxigen: {path:", "cross_reward:"},
			[]string{"sft.max_steps=2", "sft.eval.limit=4", "reward.max_steps=2",
				"each.deontology.reward.held_out.limit=8", "each.deontology.reward.train.limit=40",
				"ppo.iterations=1", "ppo.max_new_tokens=4", "ppo.held_out.limit=4", "ppo.rollout_batch_size=16",
				"eval.limit=4", "eval.cross_reward.max_new_tokens=4", "eval.resamples=50"}},
		"alpaca": {[]string{put(t, t.TempDir(), "alpaca.jsonl",
			strings.Repeat(`{"instruction": "Say hello.", "output": "Hello."}`+"\n", 40))},
			[]string{"# 40 rows: Alpaca (instruction, input, output)", "epochs: 0 # as many as make 32 updates",
				"warmup_steps: -1"}, nil},
		"pairs of one's own": {[]string{pairs, assets.Guanaco.Train},
			[]string{"theories: [custom]", "# 40 rows: preference pairs (prompt, chosen, rejected)"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			args := []string{"init", "--model", assets.Model, "-o", "mine/first.yaml"}
			for _, f := range c.files {
				args = append(args, "--data", f)
			}
			out, said := mustSteer(t, dir, args...)
			require.Equal(t, "Wrote mine/first.yaml. Look at it, then:\n  steer run mine/first.yaml\n", out)
			require.Contains(t, said, "planned: ")
			for _, f := range c.files {
				taken := regexp.QuoteMeta(f) + `: \d+ rows: .*: ` +
					`(conversations, for|pairs for the theory|the benchmark) `
				require.Regexp(t, taken, said, "what it was taken for")
			}
			text := string(get(t, dir, "mine/first.yaml"))
			for _, want := range c.says {
				require.Contains(t, text, want)
			}
			require.Len(t, tree(t, filepath.Join(dir, "mine")), 2, "the folder and the file")
			plan, _ := mustSteer(t, dir, "run", "mine/first.yaml", "--dry-run")
			require.NotContains(t, plan, "# missing")
			if c.quick != nil {
				run := []string{"run", "mine/first.yaml"}
				for _, s := range c.quick {
					run = append(run, "--set", s)
				}
				out, _ := mustSteer(t, dir, run...)
				require.Contains(t, out, "Report: ")
			}

			// It is not written over.
			code, _, said := steerIn(t, dir, args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, said,
				"mine/first.yaml is there already: choose another with --out, or --force replaces it")
			mustSteer(t, dir, append(args, "--force", "--no-plan")...)
			require.NotEqual(t, text, string(get(t, dir, "mine/first.yaml")), "without the plan's line")
		})
	}
}

// Without conversations it names a set of the catalogue, and the command that fetches it.
func TestInitWithoutData(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	out, said := mustSteer(t, dir, "init", "--model", assets.Model)
	require.Equal(t, "Wrote experiment.yaml. It names conversations of the set guanaco-1k:\n  steer fetch --for "+
		"experiment.yaml\n  steer run experiment.yaml\n", out)
	require.Contains(t, said, "not planned: its conversations are not there yet")
	code, _, said := steerIn(t, dir, "run", "experiment.yaml")
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "steer fetch --for experiment.yaml")
}

// Sizes that a plan finds stand in the file, and with them it fits.
func TestInitFits(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	long := strings.Repeat(`{"text": "### Human: Tell me a story.### Assistant: `+strings.Repeat("Once there was a "+
		"fox. ", 25)+`"}`+"\n", 40)
	args := []string{"init", "--model", assets.Model, "--data", put(t, dir, "long.jsonl", long)}
	mustSteer(t, dir, args...)
	whole := readAllJSON(t, dir, "plan", "experiment.yaml", "--no-calibration", "--json")
	peak := whole["stages"].([]any)[0].(map[string]any)["peak_bytes"].(float64)
	memory := []string{"--memory", bytesOf(peak * 0.93)}
	_, said := mustSteer(t, dir, append(append(args, "--force"), memory...)...)
	text := string(get(t, dir, "experiment.yaml"))
	require.Contains(t, said, "before the smaller sizes below")
	require.Regexp(t, `micro_batch_tokens: \d+ # as much as fits`, text)
	forecast := readAllJSON(t, dir,
		append([]string{"plan", "experiment.yaml", "--no-calibration", "--json", "--set", "sft.seed=1"}, memory...)...)
	require.Equal(t, true, forecast["stages"].([]any)[0].(map[string]any)["fits"])
}

func TestInitMistakes(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, `--model: want a GGUF file: there are 0 in models ("steer fetch model" brings`},
		{[]string{"--model", "none.gguf"}, exitFailure, "none.gguf: no such file"},
		{[]string{"--model", "models/SmolLM2-135M-Instruct.Q4_1.gguf"}, exitFailure, "steer fetch smollm2-135m"},
		{[]string{"--model", assets.Guanaco.Train}, exitFailure, "not a usable GGUF file"},
		{[]string{"--model", assets.Model, "--data", "none.jsonl"}, exitFailure, "none.jsonl: file does not exist"},
		{[]string{"--model", assets.Model, "--data", put(t, dir, "x.txt", "just text\n")}, exitFailure, "x.txt: "},
		{[]string{"--model", assets.Model, "--data", put(t, dir, "qa.csv", "ask,say\nHi.,Hello.\n")},
			exitFailure, `a CSV file with the columns ["ask" "say"]`},
		{[]string{"--model", assets.Model, "--data", assets.Winograd, "--data", assets.Winograd}, exitFailure,
			"a second file of wsc273"},
		{[]string{"--model", assets.Model, "--data", assets.Guanaco.Train, "--data", assets.Guanaco.Test, "--data",
			assets.Guanaco.Test}, exitFailure, "a third file of conversations"},
	} {
		code, out, said := steerIn(t, dir, append([]string{"init"}, c.args...)...)
		require.Equal(t, c.code, code, said)
		require.Empty(t, out)
		require.Contains(t, said, c.says)
		require.NoFileExists(t, filepath.Join(dir, "experiment.yaml"))
	}
}

// readAllJSON runs steer and reads what it printed, whatever it exits with.
func readAllJSON(t *testing.T, dir string, args ...string) map[string]any {
	t.Helper()
	_, out, said := steerIn(t, dir, args...)
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &v), "%s%s", out, said)
	return v
}

// bytesOf is a size for --memory.
func bytesOf(n float64) string { return fmt.Sprintf("%dB", int64(n)) }
