package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/plan"
	"steer/rl/run"
)

// judgePairs writes answers to questions as a chat program would have them.
func judgePairs(t *testing.T, dir string, n int) string {
	t.Helper()
	var b bytes.Buffer
	turn := func(role, text string) []map[string]string {
		return []map[string]string{{"role": role, "content": text}}
	}
	for i := range n {
		row := map[string]any{"prompt": turn("user", fmt.Sprintf("May I borrow %d books?", i)),
			"chosen":   turn("assistant", fmt.Sprintf("Yes, take %d of them, and bring them back.", i)),
			"rejected": turn("assistant", "No.")}
		require.NoError(t, json.NewEncoder(&b).Encode(row))
	}
	path := filepath.Join(dir, "pairs.jsonl")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

// killedJudge runs a judge until its journal has some answers, kills it, and goes on; args gives the command line for
// a run folder.
func killedJudge(t *testing.T, dir, out string, answers int, args func(out string) []string) (said string) {
	t.Helper()
	folder := filepath.Join(dir, out)
	for attempt := 1; ; attempt++ {
		p := start(t, dir, args(out)...)
		p.until(func() bool {
			raw, _ := os.ReadFile(filepath.Join(folder, run.AskedFile))
			return bytes.Count(raw, []byte("\n")) > answers
		})
		p.signal(syscall.SIGKILL)
		if _, by := p.wait(); by == syscall.SIGKILL {
			break
		}
		require.NoError(t, os.RemoveAll(folder))
		require.Less(t, attempt, e2eAttempts)
	}
	require.NoFileExists(t, filepath.Join(folder, run.JudgedFile))
	_, said = mustSteer(t, dir, args(out)...)
	require.Contains(t, said, "batches of answers are kept from before")
	return said
}

// judgeFiles are what a judge writes for others to read.
var judgeFiles = []string{run.JudgedFile, run.JudgementsFile}

// Killed in the middle, judging goes on and writes the same bytes; reward and dpo learn from them. Another threshold
// asks nothing again.
func TestJudgeIsKilledAndItsPreferencesAreLearned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, assets := e2e(t)
	pairs := judgePairs(t, dir, 60)
	args := func(out string) []string {
		return []string{"judge", "--model", assets.Model, "--constitution", "virtue", "--pairs", pairs,
			"--template", "guanaco", "--threads", "1", "--set", "batch_tokens=1024", "-o", out}
	}
	_, said := mustSteer(t, dir, args("whole")...)
	require.Contains(t, said, "60 of 60 pairs became preferences")
	require.Contains(t, said, "agrees with the labels in ")
	require.Contains(t, said, "the two orders disagree in ")
	whole := filepath.Join(dir, "whole")
	killedJudge(t, dir, "broken", 2, args)
	for _, name := range judgeFiles {
		require.Equal(t, get(t, whole, name), get(t, filepath.Join(dir, "broken"), name), name)
	}
	a, b := readJSON(t, whole, run.ResultFile), readJSON(t, filepath.Join(dir, "broken"), run.ResultFile)
	for _, key := range []string{"pairs", "kept", "left_out", "agreement", "position", "letters", "longer_preferred",
		"judged_sha256", "pairs_from"} {
		require.NotNil(t, a[key], key)
		require.Equal(t, a[key], b[key], key)
	}
	require.Equal(t, 60.0, a["agreement"].(map[string]any)["share"].(map[string]any)["n"])

	// What is missing is made again, from what was answered; another rule, too.
	require.NoError(t, os.Remove(filepath.Join(whole, run.JudgedFile)))
	asked := get(t, whole, run.AskedFile)
	mustSteer(t, dir, args("whole")...)
	require.Equal(t, get(t, whole, run.JudgedFile), get(t, filepath.Join(dir, "broken"), run.JudgedFile))
	out, _ := mustSteer(t, dir, args("whole")...)
	require.Contains(t, out, "finished already")
	mustSteer(t, dir, append(args("whole"), "--min-margin", "1e9")...)
	require.Empty(t, get(t, whole, run.JudgedFile))
	left := readJSON(t, whole, run.ResultFile)["left_out"].(map[string]any)
	require.Equal(t, 60.0, left["close"])
	require.Equal(t, 60, bytes.Count(get(t, whole, run.JudgementsFile), []byte(`"verdict":"close"`)))
	require.Equal(t, asked, get(t, whole, run.AskedFile), "nothing was asked again")
	mustSteer(t, dir, append(args("whole"), "--fresh")...)

	sft := filepath.Join(unbrokenRuns(t), "sft", "adapter.gguf")
	for _, method := range []string{"reward", "dpo"} {
		mustSteer(t, dir, method, "--model", assets.Model, "--sft", sft, "--train",
			filepath.Join(whole, run.JudgedFile), "-o", method, "--set", "max_steps=2", "--theory", "custom")
		require.FileExists(t, filepath.Join(dir, method, "adapter.gguf"))
	}
}

// From prompts alone: policies answer, the judge compares; killed while they answer, it ends with the same bytes.
// The answers can be judged again by another text.
func TestJudgeSamplesAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, assets := e2e(t)
	var b bytes.Buffer
	for i := range 24 {
		require.NoError(t, json.NewEncoder(&b).Encode(map[string]any{"id": fmt.Sprintf("q%d", i),
			"prompt": fmt.Sprintf("What do you think of %d?", i)}))
	}
	prompts := put(t, dir, "prompts.jsonl", b.String())
	sft := filepath.Join(unbrokenRuns(t), "sft", "adapter.gguf")
	args := func(out string) []string {
		return []string{"judge", "-m", assets.Model, "--constitution", "harmlessness", "--prompts", prompts,
			"--policy", "sft=" + sft, "--policy", "base", "--template", "guanaco", "--threads", "1", "--max-new", "12",
			"--samples", "2", "--set", "batch_prompts=3", "--set", "batch_tokens=1024", "--seed", "3", "-o", out}
	}
	_, said := mustSteer(t, dir, args("whole")...)
	require.Contains(t, said, "96 answers to 24 prompts")
	require.Contains(t, said, "sft is preferred to base in ")
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	killedJudge(t, dir, "broken", 2, args)
	for _, name := range append([]string{run.CandidatesFile}, judgeFiles...) {
		require.Equal(t, get(t, whole, name), get(t, broken, name), name)
	}
	r := readJSON(t, whole, run.ResultFile)
	require.Nil(t, r["agreement"], "nobody labelled them")
	contest := r["contests"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"sft", "base"}, []any{contest["first"], contest["second"]})
	sampled := r["sampled"].(map[string]any)
	require.Equal(t, []any{24.0, 96.0}, []any{sampled["prompts"], sampled["answers"]})
	first := lines[struct {
		ID, Verdict string
		Policies    []string
		Labelled    bool
	}](t, string(get(t, whole, run.JudgementsFile)))[0]
	require.Equal(t, "q0", first.ID)
	require.Len(t, first.Policies, 2)
	require.False(t, first.Labelled)

	mustSteer(t, dir, "judge", "-m", assets.Model, "--constitution", "virtue", "--pairs",
		filepath.Join(whole, run.CandidatesFile), "--template", "guanaco", "--recipe", "one", "-o", "again")
	again := readJSON(t, dir, "again", run.ResultFile)
	require.LessOrEqual(t, again["pairs"], 24.0)
	require.NotNil(t, again["contests"])
	for _, method := range []string{"reward", "dpo"} {
		mustSteer(t, dir, method, "--model", assets.Model, "--sft", sft, "--train",
			filepath.Join(whole, run.JudgedFile), "-o", method, "--set", "max_steps=2", "--theory", "custom")
	}
	code, _, errs := steerIn(t, dir, "reward", "--model", assets.Model, "--train", filepath.Join(whole,
		run.CandidatesFile), "-o", "unscored", "--theory", "custom")
	require.NotZero(t, code)
	require.Contains(t, errs, `field "scores"`)
}

// Files of ETHICS are read as their format has it; a text of one's own is a file; the prompts of hh-rlhf and others
// are those of reward. A template that takes no message of the system has the text at the head of the user's.
func TestJudgeReadsWhatRewardReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, assets := e2e(t)
	put(t, dir, "rules.txt", "Be kind.\n")
	put(t, dir, "deontology_test.csv", "label,scenario,excuse\n1,Could you help me?,Yes I can.\n0,Could you help me?,"+
		"No I hate it.\n0,Could you help me?,No because it rains.\n")
	put(t, dir, "util_test.csv", "I won.,I lost.\nI ate cake.,I ate mud.\n")
	put(t, dir, "virtue_test.csv", "label,scenario\n1,She gave him bread. [SEP] kind\n"+
		"0,She gave him bread. [SEP] rude\n")
	put(t, dir, "hh.jsonl", `{"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", `+
		`"rejected": "\n\nHuman: Hi\n\nAssistant: No"}`+"\n")
	put(t, dir, "ranked.jsonl", `{"prompt": "Hi", "responses": ["Hello", "No", "Go"], "scores": [2, 1, 1]}`+"\n")
	put(t, dir, "kto.jsonl", `{"prompt": "Hi", "completion": "Hello", "label": true}`+"\n"+
		`{"prompt": "Hi", "completion": "No", "label": false}`+"\n")
	put(t, dir, "texts.jsonl", `{"prompt": "It is ", "chosen": "good", "rejected": "bad"}`+"\n")
	for _, c := range []struct {
		file, recipe    string
		pairs, labelled int
		theory          string
	}{
		{"deontology_test.csv", "", 2, 2, "deontology"},
		{"util_test.csv", "", 2, 2, "utilitarianism"},
		{"virtue_test.csv", "", 1, 1, "virtue"},
		{"hh.jsonl", "", 1, 1, "custom"},
		{"ranked.jsonl", "", 3, 2, "custom"},
		{"kto.jsonl", "cross", 1, 1, "custom"},
		{"texts.jsonl", "", 1, 1, "custom"},
	} {
		args := []string{"judge", "-m", assets.Model, "--constitution", "rules.txt", "--pairs", c.file,
			"-o", c.file + ".d"}
		if c.recipe != "" {
			args = append(args, "--recipe", c.recipe)
		}
		mustSteer(t, dir, args...)
		r := readJSON(t, dir, c.file+".d", run.ResultFile)
		require.Equal(t, float64(c.pairs), r["pairs"], c.file)
		require.Equal(t, c.theory, r["theory"], c.file)
		require.Equal(t, float64(c.labelled), r["agreement"].(map[string]any)["share"].(map[string]any)["n"], c.file)
		require.Equal(t, "Be kind.", r["constitution_text"])
	}
	one := lines[map[string]any](t, string(get(t, dir, "texts.jsonl.d", run.JudgedFile)))[0]
	require.Equal(t, "It is ", one["prompt"], "texts stay texts")

	model := chatModel(t, strings.Replace(turnTemplate, "{%- for", "{%- if messages[0].role == 'system' -%}"+
		"{{- raise_exception('System role not supported') -}}{%- endif -%}{%- for", 1))
	_, said := mustSteer(t, dir, "judge", "-m", model, "--constitution", "virtue", "--pairs", "hh.jsonl", "-o", "own")
	require.Contains(t, said, "takes no message of the system")
	require.Equal(t, "model", readJSON(t, dir, "own", run.ResultFile)["template"])
}

// A judge is planned as other stages are: what it reads twice, in both orders, and the answers that it samples.
func TestPlanOfAJudge(t *testing.T) {
	dir := t.TempDir()
	prompts := put(t, dir, "prompts.txt", "Why not?\nHow so?\n")
	write := func(rest string) string {
		return put(t, dir, "judge.yaml", "model: "+demoModel(t).Model+"\nconstitution: virtue\ntemplate: guanaco\n"+
			rest)
	}
	f := forecastOf(t, "--no-calibration", "--job", "judge", write("pairs: {path: "+judgePairs(t, dir, 8)+"}\n"))
	require.Len(t, f.Stages, 1)
	p := f.Stages[0]
	require.Zero(t, p.Tokens.Train)
	require.Zero(t, p.Bytes(plan.BufferKV))
	require.Greater(t, p.Tokens.Score, int64(8*2*20))
	f = forecastOf(t, "--no-calibration", "--job", "judge", write("prompts: {path: "+prompts+", format: text}\n"+
		"samples: 3\nmax_new_tokens: 10\n"))
	require.Equal(t, int64(2*3*10), f.Stages[0].Tokens.Generated)
	require.Greater(t, f.Stages[0].Bytes(plan.BufferKV), int64(0))
	require.Greater(t, f.Stages[0].Tokens.Score, int64(3*2*2*20), "three pairs a prompt")
}

// The texts that come with steer are shown with their sources.
func TestJudgeTexts(t *testing.T) {
	code, out, errs := command(t, "", "judge", "--texts")
	require.Zero(t, code, errs)
	for _, want := range []string{"deontology\n\n  Judge by duty.", "Source: Immanuel Kant", "John Stuart Mill",
		"Aristotle", "arXiv:2212.08073"} {
		require.Contains(t, out, want)
	}
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len(line), 81, line)
	}
}

// What cannot be judged says what it wanted.
func TestBadJudge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, assets := e2e(t)
	pairs := judgePairs(t, dir, 3)
	empty, thumbs := filepath.Join(dir, "empty.txt"), filepath.Join(dir, "thumbs.jsonl")
	require.NoError(t, os.WriteFile(empty, []byte(" \n"), 0o600))
	require.NoError(t, os.WriteFile(thumbs, []byte(strings.Repeat(
		`{"prompt": "a", "completion": "b", "label": true}`+"\n", 2)), 0o600))
	prompts := put(t, dir, "prompts.txt", "Why?\nHow?\n")
	ids := put(t, dir, "ids.jsonl", `{"chosen_ids": [1, 2], "rejected_ids": [1, 3]}`+"\n")
	same := put(t, dir, "same.jsonl", `{"prompt": "Hi", "responses": ["x", "x "]}`+"\n")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--constitution nonsense --pairs " + pairs, 1, "want one of deontology, harmlessness,"},
		{"--constitution " + empty + " --pairs " + pairs, 2, "empty.txt"},
		{"--constitution virtue --theory custom --pairs " + thumbs, 1, "line 1: an answer with a label by itself"},
		{"--constitution virtue --pairs " + ids, 1, "token ids cannot be shown to a judge"},
		{"--constitution virtue --pairs " + same, 1, "1 pairs are of equal answers"},
		{"--constitution virtue --recipe zip --pairs " + same, 1, "want cross or one"},
		{"--constitution virtue", 2, "pairs.path: want a file of answers to compare"},
		{"--pairs " + pairs, 2, "constitution: want one of"},
		{"--constitution virtue --min-margin -1 --pairs " + pairs, 2, "min_margin: want at least 0"},
		{"--constitution virtue --theory vice --pairs " + pairs, 2, "vice"},
		{"--constitution virtue --set system=x --pairs " + pairs, 2, "system"},
		{"--constitution virtue --prompts " + prompts + " --pairs " + pairs, 2, "pairs and prompts: want one of them"},
		{"--constitution virtue --policy base --pairs " + pairs, 2, "policies: they answer prompts"},
		{"--constitution virtue --format text --samples 1 --prompts " + prompts, 2, "samples: want two answers"},
		{"--constitution virtue --format text --temperature 0 --prompts " + prompts, 2, "temperature: want more"},
		{"--constitution virtue --format text --policy =x --prompts " + prompts, 2, "--policy: want NAME=FILE"},
		{"--constitution virtue --format text --policy a --policy a --prompts " + prompts, 2, "is taken"},
		{"--constitution virtue --format text --theory virtue --prompts " + prompts, 2, "theory: it says how"},
		{"--constitution virtue --format text --recipe rows --prompts " + prompts, 2, "want cross or one"},
		{"--constitution virtue --format text --max-new 100000 --prompts " + prompts, 1, "leaves no room for a prompt"},
	} {
		args := append([]string{"judge", "--model", assets.Model, "--template", "guanaco", "-o", "out"},
			strings.Fields(c.args)...)
		p := start(t, dir, args...)
		code, _ := p.wait()
		require.Contains(t, p.err.String(), c.want, c.args)
		require.Equal(t, c.code, code, c.args)
		require.NotContains(t, p.err.String(), "panic", c.args)
	}
}
