package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
	"steer/rl/run"
)

// graderMode is set in the environment where the test's own program plays a grader.
const graderMode = "STEER_TEST_GRADER"

// grade answers questions about sums as experiments/arithmetic/grade.py does; mode says what goes wrong after some.
func grade(mode string) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	number := regexp.MustCompile(`-?\d+`)
	for n := 0; lines.Scan(); n++ {
		var q struct {
			ID     int64
			Answer string
			Fields map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			os.Exit(3)
		}
		all := number.FindAllString(q.Answer, -1)
		score := 0
		if len(all) > 0 && all[len(all)-1] == q.Fields["answer"] {
			score = 1
		}
		if mark, ok := strings.CutPrefix(mode, "prose:"); ok && n == 20 { // once
			if _, err := os.Stat(mark); err != nil {
				_ = os.WriteFile(mark, nil, 0o666)
				fmt.Println("I am not sure")
			}
		}
		fmt.Printf("{\"id\": %d, \"score\": %d}\n", q.ID, score)
	}
}

// A policy learns sums from a program that grades them: accuracy rises on sums that it was not trained on.
func TestArithmeticIsLearned(t *testing.T) {
	if testing.Short() {
		t.Skip("trains SmolLM2 for a minute")
	}
	model := testfiles.Model(t)
	_, _ = e2e(t)
	root := testfiles.Root(t)
	dir := t.TempDir()
	exe, err := os.Executable()
	require.NoError(t, err)
	job := filepath.Join(root, "experiments", "arithmetic", "grpo.yaml")
	mustSteer(t, dir, "grpo", job, "-o", "run", "-m", model, "--iterations", "8",
		"--set", fmt.Sprintf("rewards=[{name: right, command: [%s], env: {%s: grade}}]", exe, graderMode))
	var result run.GRPO
	require.NoError(t, json.Unmarshal(get(t, dir, "run", run.ResultFile), &result))
	t.Logf("held-out accuracy %.2f to %.2f", result.HeldoutFirst.Score.Mean, result.HeldoutLast.Score.Mean)
	require.Less(t, result.HeldoutFirst.Score.Mean, 0.4)
	require.Greater(t, *result.HeldoutLast.Difference.Lo, 0.2, "the interval of the rise")
}

// A grader that goes wrong ends the run with the sample named, and with a checkpoint; mended, the run goes on.
func TestBrokenGrader(t *testing.T) {
	_, assets := e2e(t)
	dir := t.TempDir()
	exe, err := os.Executable()
	require.NoError(t, err)
	put(t, dir, "sums.jsonl", `{"prompt": "What is 1 + 1?", "answer": "2", "id": "one"}`+"\n"+
		`{"prompt": "What is 1 + 2?", "answer": "3"}`+"\n")
	put(t, dir, "grpo.yaml", fmt.Sprintf(`
model: %s/model.gguf
template: guanaco
prompts: {path: sums.jsonl}
rewards:
  - {name: right, command: [%s], env: {%s: "prose:%s"}}
  - {name: brief, length: {max: 3}}
max_new_tokens: 4
iterations: 4
prompts_per_iteration: 2
num_generations: 4
mini_batch_size: 8
max_score: 0 # this model knows no sum
`, assets.Dir, exe, graderMode, filepath.Join(dir, "mark")))
	code, _, said := steerIn(t, dir, "grpo", "grpo.yaml", "-o", "run")
	require.Equal(t, 1, code)
	for _, want := range []string{"iteration 3", "reward right", `(prompt "What is 1 + `,
		`gave "I am not sure", which is no JSON`, "the last checkpoint is step 4"} {
		require.Contains(t, said, want)
	}
	_, said = mustSteer(t, dir, "grpo", "grpo.yaml", "-o", "run")
	require.Contains(t, said, "going on after step 4")
}

// Mistakes in the rewards are told before a model is opened.
func TestBadRewards(t *testing.T) {
	_, assets := e2e(t)
	dir := t.TempDir()
	put(t, dir, "sums.jsonl", `{"prompt": "What is 1 + 1?", "answer": "2"}`+"\n")
	put(t, dir, "grpo.yaml", fmt.Sprintf("model: %s/model.gguf\ntemplate: guanaco\nprompts: {path: sums.jsonl}\n",
		assets.Dir))
	for rewards, want := range map[string]string{
		"{name: a, length: {max: 3}}, {name: b, regex: {pattern: x}, weight: -1}": "the weights of a, b sum to zero",
		"{name: a, length: {max: 3}, regex: {pattern: x}}":                        "want one of regex and length",
		"{name: a}":                                                "(a): want one of adapter, command, http",
		"{name: a, length: {}}":                                    "length: want min, max or both",
		"{name: a, regex: {pattern: '('}}":                         "regex.pattern: error parsing regexp",
		"{name: a, command: [/no/such/program]}":                   `reward a: "/no/such/program" does not start`,
		"{name: a, http: 'nowhere'}":                               "want the address of a server",
		"{name: a, number_match: {field: result}}":                 `its row has no column "result"`,
		"{name: a, length: {max: 3}}, {name: a, length: {max: 4}}": `"a" stands there twice`,
	} {
		code, _, said := steerIn(t, dir, "grpo", "grpo.yaml", "-o", "run", "--set", "rewards=["+rewards+"]")
		require.NotZero(t, code, rewards)
		require.Contains(t, said, want, rewards)
		require.NoFileExists(t, filepath.Join(dir, "run", run.MetricsFile), rewards)
	}
	code, _, said := steerIn(t, dir, "grpo", "grpo.yaml", "-o", "run", "--set",
		"rewards=[{name: a, length: {max: 3}}]", "--set", "constraints={b: {at_least: 1}}")
	require.NotZero(t, code)
	require.Contains(t, said, `constraints: "b" is no reward of this policy: want one of a`)
}
