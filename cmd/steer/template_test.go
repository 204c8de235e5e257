package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// turnTemplate is a chat template of its own: no role is called so elsewhere, and it wants turns
// that alternate.
const turnTemplate = `{%- for m in messages -%}
    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Turns must alternate') -}}
    {%- endif -%}
    {{- '<|im_start|>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>model\n' -}}{%- endif -%}`

// thinkingTemplate writes thinking into the last answer alone.
var thinkingTemplate = strings.Replace(turnTemplate, "m.content | trim +",
	"('(hm) ' if m.role == 'assistant' and loop.last else '') + m.content | trim +", 1)

// chatModel is the demo's model with a chat template.
func chatModel(t *testing.T, template string) string {
	return rewrite(t, demoModel(t).Model, map[string]any{"tokenizer.chat_template": template}, nil, nil)
}

func chatRow(turns ...string) string {
	var messages []map[string]string
	for i, s := range turns {
		messages = append(messages, map[string]string{"role": []string{"user", "assistant"}[i%2], "content": s})
	}
	raw, err := json.Marshal(map[string]any{"messages": messages})
	if err != nil {
		panic(err)
	}
	return string(raw) + "\n"
}

// A model that is given its own template is trained with it by default, the end of the turn
// included: after 20 steps it answers, and stops by itself. The adapter remembers the template.
func TestTwentyStepsTeachTheEndOfATurn(t *testing.T) {
	model := chatModel(t, turnTemplate)
	dir := t.TempDir()
	rows := ""
	for i := range 16 {
		rows += chatRow(fmt.Sprintf("Is %d a number? ", i), "Yes.")
	}
	rows += `{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, ` +
		`{"role": "assistant", "content": "c"}]}` + "\n"
	data := writeFile(t, "chats.jsonl", rows)
	out := filepath.Join(dir, "run")
	code, _, errs := command(t, "", "sft", "--model", model, "--train", data, "--out", out, "--max-steps", "20",
		"--batch", "8",
		"--set", "optim.lr=1e-2", "--set", "pack=none", "--set", "max_tokens=64", "--set", "engine.threads=1")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "1 of 17 conversations are left out: the model's chat template refuses the "+
		"conversation: "+
		"Turns must alternate")
	config, err := os.ReadFile(filepath.Join(out, "config.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(config), "template: model")

	ask := []string{"generate", "-m", model, "-a", filepath.Join(out, "adapter.gguf"), "--prompt", "Is 7 a number?",
		"--temperature", "0", "--max-new", "20"}
	code, answer, errs := command(t, "", append(ask, "--json")...)
	require.Zero(t, code, errs)
	require.Contains(t, errs, "template model (that of the adapter")
	got := lines[struct{ Text, Finish string }](t, answer)
	require.Equal(t, "stop_token", got[0].Finish, answer)
	require.Equal(t, "Yes.", got[0].Text)

	// On a file with another template that is said aloud; on one without, it is an error.
	other := chatModel(t, thinkingTemplate)
	code, _, errs = command(t, "", append([]string{"generate", "-m", other}, ask[3:]...)...)
	require.Zero(t, code, errs)
	require.Contains(t, errs, "was trained with another model's chat template")
	code, _, errs = command(t, "", append([]string{"generate", "-m", demoModel(t).Model}, ask[3:]...)...)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "holds no chat template")
}

func TestDataRender(t *testing.T) {
	model := chatModel(t, turnTemplate)
	file := writeFile(t, "chats.jsonl", chatRow("Hi <|im_end|>", "Hello", "Bye", " See you ")+
		`{"messages": [{"role": "assistant", "content": "I begin"}]}`+"\n")
	code, out, errs := command(t, "", "data", "render", file, "-m", model)
	require.Zero(t, code, errs)
	require.Contains(t, out, "‹<|im_start|>›user\nHi <|im_end|>‹<|im_end|>›\n‹<|im_start|>›model\n"+
		"{+Hello‹<|im_end|>›+}\n‹<|im_start|>›user\nBye‹<|im_end|>›\n"+
		"‹<|im_start|>›model\n{+See you‹<|im_end|>›+}\n")
	require.Contains(t, errs, "1 of 2 rows are left out: the model's chat template refuses the conversation: "+
		"Turns must alternate")
	require.Contains(t, errs, "an answer ends at <|endoftext|> or <|im_end|>")
	require.Contains(t, errs, "template model (the model's own")

	colored := succeed(t, "", "--color", "always", "data", "render", file, "-m", model, "--limit", "1", "--ids")
	require.Contains(t, colored, "\x1b[32mHello\x1b[0m\x1b[1;32;4m<|im_end|>\x1b[0m")
	require.Contains(t, colored, "Hi <|im_end|>\x1b[2;36m<|im_end|>\x1b[0m")
	require.Contains(t, colored, "\nids ")

	rows := lines[renderedRow](t, succeed(t, "", "data", "render", file, "-m", model, "--json", "--ids"))
	require.Len(t, rows, 1)
	require.Len(t, rows[0].IDs, rows[0].Tokens)
	counted := 0
	for _, m := range rows[0].Mask {
		counted += m
	}
	require.Equal(t, counted, rows[0].Learned)
	prompt := lines[renderedRow](t, succeed(t, "", "data", "render", file, "-m", model, "--json", "--limit", "1",
		"--add-generation-prompt"))
	require.Equal(t, "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>model\n", prompt[0].Text)
	require.Zero(t, prompt[0].Learned)

	// One answer at a time where earlier turns change.
	code, out, errs = command(t, "", "data", "render", file, "-m", chatModel(t, thinkingTemplate), "--limit", "1",
		"--json")
	require.Zero(t, code, errs)
	rows = lines[renderedRow](t, out)
	require.Len(t, rows, 2)
	require.Contains(t, rows[0].Text, "(hm) Hello")
	require.NotContains(t, rows[1].Text, "(hm) Hello")
	require.Contains(t, errs, "1 of 1 rows are learned from one answer at a time")
	require.Contains(t, succeed(t, "", "data", "render", file, "-m", model, "--template", "guanaco", "--limit",
		"1"), "### Assistant:{+ Hello+}### Human:")
}

// Template files are rendered as transformers renders them: every third case of the goldens whose
// variables a command line can name.
func TestDataRenderByATemplateFile(t *testing.T) {
	var golden struct {
		Now           string
		Conversations map[string]json.RawMessage
		Templates     []struct {
			Name, File string
			Tokens     map[string]string `json:"special_tokens"`
			Cases      []struct {
				Conversation string
				AddPrompt    bool           `json:"add_generation_prompt"`
				Continue     bool           `json:"continue_final_message"`
				Kwargs       map[string]any `json:"kwargs"`
				Output       string
				Error        *struct{ Kind, Message string }
			}
		}
	}
	testfiles.ReadGolden(t, "chat/chat.json.gz", &golden)
	n := 0
	for _, tpl := range golden.Templates {
		for _, c := range tpl.Cases {
			if n++; n%7 != 0 {
				continue
			}
			file := writeFile(t, "one.jsonl", `{"messages": `+string(golden.Conversations[c.Conversation])+"}\n")
			call := []string{"data", "render", file, "--json", "--template-file",
				filepath.Join(testfiles.Golden(t, "chat"), tpl.File), "--date", golden.Now}
			for k, v := range tpl.Tokens {
				call = append(call, "--set", k+"="+v)
			}
			for k, v := range c.Kwargs {
				call = append(call, "--set", fmt.Sprintf("%s=%v", k, v))
			}
			if c.AddPrompt {
				call = append(call, "--add-generation-prompt")
			}
			if c.Continue {
				call = append(call, "--continue-final-message")
			}
			code, out, errs := command(t, "", call...)
			got := lines[renderedText](t, out)
			if c.Error != nil {
				require.Equal(t, 1, code)
				require.Nil(t, got[0].Text)
				require.Contains(t, got[0].Refused, c.Error.Message[:min(30, len(c.Error.Message))])
				continue
			}
			require.Zero(t, code, errs)
			require.Equal(t, c.Output, *got[0].Text, "%s %s", tpl.Name, c.Conversation)
		}
	}
	require.Greater(t, n, 2000)
}

func TestDataRenderFailures(t *testing.T) {
	m := demoModel(t)
	file := writeFile(t, "chats.jsonl", chatRow("Hi", "Hello"))
	bad := writeFile(t, "bad.jinja", "a\n{{ x|nope }}")
	clock := writeFile(t, "clock.jinja", "{{ strftime_now('%Y') }}")
	for _, f := range []failure{
		{name: "no model", args: []string{"data", "render", file}, code: 2, says: []string{"--model"}},
		{name: "syntax", args: []string{"data", "render", file, "--template-file", bad}, code: 1,
			says: []string{"bad.jinja: template line 2, column 6: filter nope: not known"}},
		{name: "no date", args: []string{"data", "render", file, "--template-file", clock}, code: 1,
			says: []string{"chats.jsonl: line 1: ", "set date"}},
		{name: "date", args: []string{"data", "render", file, "-m", m.Model, "--date", "yesterday"}, code: 2,
			says: []string{"date: want a day such as 2026-01-31"}},
		{name: "both", args: []string{"data", "render", file, "--template-file", clock, "--continue-final-message",
			"--add-generation-prompt"}, code: 2, says: []string{"want one of them"}},
		{name: "no template", args: []string{"data", "render", file, "-m", m.Model, "--template", "model"}, code: 1,
			says: []string{"holds no chat template"}},
	} {
		f.run(t)
	}
}
