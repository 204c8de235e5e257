package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/data"
	"steer/rl/run"
)

// Data of every shape goes through the stage that takes it, by flags alone.
func TestStagesTakeDataOfAnyShape(t *testing.T) {
	m := demoModel(t).Model
	dir := t.TempDir()
	file := func(name, content string) string { return put(t, dir, name, content) }
	stage := func(kind string, more ...string) (said string) {
		t.Helper()
		out := filepath.Join(dir, "out-"+kind)
		args := append([]string{kind, "--model", m, "--out", out, "--fresh", "--set", "engine.threads=1"}, more...)
		code, _, said := command(t, "", args...)
		require.Zero(t, code, said)
		return said
	}
	faq := "Question,Answer,id\n" + strings.Repeat("\"Is it, so?\",Yes.,1\n", 4)
	said := stage("sft", "--train", file("faq.csv", faq), "--columns", "prompt=Question", "--columns",
		"completion=Answer", "--max-steps", "1")
	require.Contains(t, said, `4 times the key "id", which is not read`)
	config, err := os.ReadFile(filepath.Join(dir, "out-sft", "config.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(config), "columns:\n    completion: Answer\n    prompt: Question\n")

	calls := `{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes", ` +
		`"tool_calls": [{"id": "1"}]}]}` + "\n"
	said = stage("sft", "--train", file("calls.jsonl", calls), "--drop-unsupported", "--max-steps", "1")
	require.Contains(t, said, `1 times the key "messages[].tool_calls", dropped (drop_unsupported)`)

	var ranked, kto strings.Builder
	for i := range 12 {
		fmt.Fprintf(&ranked, `{"prompt": "Q %d", "responses": ["Yes, %d.", "No.", "So."], "scores": [2, 1, 1]}`+"\n",
			i, i)
		fmt.Fprintf(&kto, `{"prompt": "Q %d", "completion": "Yes, %d.", "label": %t}`+"\n", i, i, i%2 == 0)
	}
	result := func() (r run.Reward) {
		raw, err := os.ReadFile(filepath.Join(dir, "out-reward", run.ResultFile))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &r))
		return r
	}
	reward := []string{"--theory", "custom", "--max-steps", "1", "--set", "held_out_share=0.5", "--train"}
	said = stage("reward", append(reward, file("ranked.jsonl", ranked.String()))...)
	require.Contains(t, said, "6 pairs of answers with equal scores were left out")
	require.Nil(t, result().Classification)
	said = stage("reward", append(reward, file("kto.jsonl", kto.String()))...)
	require.Contains(t, said, "train pairs: 6 of 6 pairs kept")
	require.NotNil(t, result().Classification, "labels are classified")

	said = stage("ppo", "--prompts", filepath.Join(dir, "ranked.jsonl"), "--reward",
		filepath.Join(dir, "out-reward", "adapter.gguf"), "--iterations", "1", "--set", "max_new_tokens=4",
		"--set", "rollout_batch_size=4", "--set", "mini_batch_size=4")
	require.Contains(t, said, "prompts: 12 prompts")
}

func TestShapeFailures(t *testing.T) {
	m := demoModel(t).Model
	file := writeFile(t, "faq.csv", "Question,Answer\na,b\n")
	kto := writeFile(t, "kto.jsonl", `{"prompt":"a","completion":"b","label":true}`)
	both := writeFile(t, "both.jsonl", `{"instruction":"a","output":"b","prompt":"c","completion":"d"}`)
	sft := func(more ...string) []string {
		return append([]string{"sft", "--model", m, "--out", filepath.Join(t.TempDir(), "out")}, more...)
	}
	for _, f := range []failure{
		{name: "unknown columns", args: []string{"data", "inspect", file}, code: 1,
			says: []string{"write columns: {prompt: Question, completion: Answer}"}},
		{name: "no pair", args: []string{"data", "inspect", file, "--columns", "prompt"}, code: 2,
			says: []string{"want NAME=COLUMN"}},
		{name: "the wrong way", args: []string{"data", "inspect", file, "--columns", "Question=prompt"}, code: 2,
			says: []string{"write prompt: Question"}},
		{name: "no such column", args: sft("--train", file, "--columns", "prompt=question", "--columns",
			"completion=Answer"), code: 1, says: []string{`field "question"`, `did you mean "Question"`}},
		{name: "a name of no format", args: sft("--train", file, "--columns", "promt=Question"), code: 2,
			says: []string{`train: data: columns.promt`, `did you mean "prompt"`}},
		{name: "labels", args: sft("--train", kto), code: 1, says: []string{"set format: completion"}},
		{name: "two ways", args: sft("--train", both), code: 1,
			says: []string{"write which: format: completion, or format: alpaca"}},
		{name: "a format", args: sft("--train", both, "--format", "alpca"), code: 2,
			says: []string{`did you mean "alpaca"`}},
	} {
		f.run(t)
	}
}

// Variables of a model's own template are kept with the run and in the adapter, which is asked with them.
func TestTemplateVariables(t *testing.T) {
	thinking := strings.Replace(turnTemplate, "m.content | trim +", "('' if enable_thinking is defined and "+
		"enable_thinking is false else '(hm) ') + m.content | trim +", 1)
	model, out := chatModel(t, thinking), filepath.Join(t.TempDir(), "run")
	file := writeFile(t, "chats.jsonl", chatRow("Hi", "Hello"))
	rows := lines[renderedRow](t, succeed(t, "", "data", "render", file, "-m", model, "--json", "--set",
		"enable_thinking=false"))
	require.NotContains(t, rows[0].Text, "(hm)")
	rows = lines[renderedRow](t, succeed(t, "", "data", "render", file, "-m", model, "--json"))
	require.Contains(t, rows[0].Text, "(hm)")

	code, _, errs := command(t, "", "sft", "--model", model, "--train", file, "--out", out, "--max-steps", "1",
		"--set", "template_vars.enable_thinking=false", "--set", "engine.threads=1")
	require.Zero(t, code, errs)
	config, err := os.ReadFile(filepath.Join(out, "config.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(config), "template_vars:\n  enable_thinking: \"false\"\n")
	adapter := filepath.Join(out, "adapter.gguf")
	rows = lines[renderedRow](t, succeed(t, "", "data", "render", file, "-m", model, "-a", adapter, "--json"))
	require.NotContains(t, rows[0].Text, "(hm)")
	code, _, errs = command(t, "", "generate", "-m", model, "-a", adapter, "-p", "Hi", "--max-new", "2",
		"--template-var", "enable_thinking=true")
	require.Zero(t, code, errs)
	require.Contains(t, errs, `was trained with the template variables {"enable_thinking":"false"}`)

	for name, says := range map[string]string{"enable_thinkin": `did you mean "enable_thinking"`,
		"messages": "it is set by whoever renders"} {
		code, _, errs = command(t, "", "data", "render", file, "-m", model, "--set", name+"=1")
		require.Equal(t, 1, code)
		require.Contains(t, errs, says)
	}
	code, _, errs = command(t, "", "data", "render", file, "-m", model, "--template", string(data.TemplateChatML),
		"--set", "enable_thinking=false")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "template chatml has no variables")
}
