package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/rl/train"
)

func TestChatKeepsTheConversation(t *testing.T) {
	m := demoModel(t)
	args := []string{"chat", "-m", m.Model, "--template", "guanaco", "--temperature", "0", "--max-new", "16"}
	first := succeed(t, "Is it right to lie?\n", args...)
	require.NotEmpty(t, strings.TrimSpace(first))
	both := succeed(t, "Is it right to lie?\nWhy do you think so?\n", args...)
	require.True(t, strings.HasPrefix(both, first))
	second := strings.TrimPrefix(both, first)

	// The second answer is what a model says that is shown the whole conversation.
	history := `{"messages":[{"role":"user","content":"Is it right to lie?"},{"role":"assistant","content":` +
		quoteJSON(strings.TrimSpace(first)) +
		`},{"role":"user","content":"Why do you think so?"}]}`
	want := lines[generation](t, succeed(t, history, "generate", "-m", m.Model, "--template", "guanaco",
		"--temperature", "0", "--max-new", "16", "--json", "--file", "-"))[0]
	require.Equal(t, want.Text, strings.TrimSpace(second))

	// After a reset it is as if nothing had been said.
	reset := succeed(t, "Is it right to lie?\n/reset\nIs it right to lie?\n/exit\nnever read\n", args...)
	require.Equal(t, first+first, reset)
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer("\\", `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

func TestChatForgetsWhatDoesNotFit(t *testing.T) {
	m := demoModel(t)
	line := strings.Repeat("I promised my boss to bring the bike to a sick woman but I stayed at home. ", 5)
	code, out, errs := command(t, strings.Repeat(line+"\n", 6), "chat", "-m", m.Model, "--template", "guanaco",
		"--max-new", "8")
	require.Zero(t, code, errs)
	require.NotEmpty(t, out)
	require.Contains(t, errs,
		"warning: the conversation is longer than the context: its oldest 2 messages are forgotten")
	long := strings.Repeat("promise ", 600) + "\n"
	code, _, errs = command(t, long, "chat", "-m", m.Model, "--template", "guanaco")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "shorten the prompt, or take a model with a longer context")
}

func TestChatGuessesTheTemplate(t *testing.T) {
	m := demoModel(t)
	_, _, errs := command(t, "", "chat", "-m", m.Model)
	require.Contains(t, errs, "template guanaco (the model has none")
}

func TestChatEndsQuietly(t *testing.T) {
	m := demoModel(t)
	require.Empty(t, succeed(t, "", "chat", "-m", m.Model, "--template", "plain"))
	code, out, errs := command(t, "\n  \n/what\n/exit", "chat", "-m", m.Model)
	require.Zero(t, code)
	require.Empty(t, out)
	require.Contains(t, errs, "/reset")
}

func TestChatFailures(t *testing.T) {
	m := demoModel(t)
	for _, f := range []failure{
		{name: "no model", args: []string{"chat"}, code: 2, says: []string{"--model"}},
		{name: "missing model", args: []string{"chat", "-m", "nowhere.gguf"}, code: 1, says: []string{"nowhere.gguf"}},
		{name: "three adapters", args: []string{"chat", "-m", m.Model, "-a", "x", "-a", "y", "-a", "z"}, code: 2,
			says: []string{"at most two"}},
		{name: "not UTF-8", stdin: "caf\xe9\n", args: []string{"chat", "-m", m.Model}, code: 1,
			says: []string{"UTF-8"}},
		{name: "template", args: []string{"chat", "-m", m.Model, "--template", "lama2"}, code: 2,
			says: []string{`did you mean "llama2"?`}},
		{name: "not a number", args: []string{"chat", "-m", m.Model, "--max-new", "x"}, code: 2,
			says: []string{"--max-new"}},
		{name: "argument", args: []string{"chat", "hello"}, code: 2, says: []string{"chat --help"}},
	} {
		f.run(t)
	}
}

// Ctrl-C is heard while the program waits for a line.
func TestChatIsInterrupted(t *testing.T) {
	m := demoModel(t)
	in, typing := io.Pipe()
	defer typing.Close()
	var out, errs bytes.Buffer
	a := newApp(in, &out, &errs)
	cmd := newChatCommand(a)
	cmd.SetArgs([]string{"-m", m.Model, "--template", "guanaco", "--max-new", "4"})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(context.Background()) }()
	_, err := io.WriteString(typing, "Hello\n")
	require.NoError(t, err)
	_, err = io.WriteString(typing, "And then?\n") // is read once the first answer is out
	require.NoError(t, err)
	a.interrupt()
	require.Equal(t, train.ExitInterrupted, a.exit(<-ended))
	require.Zero(t, ggml.Alive())
}
