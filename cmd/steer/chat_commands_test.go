package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/chat"
	"steer/app/chat/chattest"
	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/rl/data"
)

// typed are the lines of somebody at a terminal; "^C" is Ctrl-C.
type typed struct{ lines []string }

func (l *typed) read(context.Context) (string, error) {
	if len(l.lines) == 0 {
		return "", io.EOF
	}
	line := l.lines[0]
	if l.lines = l.lines[1:]; line == "^C" {
		return "", errInterrupted
	}
	return line, nil
}

func (*typed) close() error { return nil }

// converse types lines to a model that says the answers in turn.
func converse(t *testing.T, answers []string, lines ...string) (
	c *chatter, model *chattest.Scripted, out, errs string,
) {
	t.Helper()
	var o, e bytes.Buffer
	sft := adapter.Placed{Path: "sft.gguf", Adapter: &adapter.Adapter{Meta: map[string]string{adapter.MetaRole: "sft"}}}
	model = &chattest.Scripted{Answers: answers}
	assistant, err := chat.New(chattest.Model(model, 1<<20, sft), workspace.Form{Template: data.TemplateGuanaco},
		chat.Options{MaxNew: 100})
	require.NoError(t, err)
	c = &chatter{
		app: newApp(nil, &o, &e), model: "base.gguf", assistant: assistant,
		conversation: chat.NewConversation(assistant, 0), interactive: true,
	}
	model.OnWait = func() { require.True(t, c.stopAnswer()) }
	require.NoError(t, c.run(context.Background(), &typed{lines}))
	require.False(t, c.stopAnswer(), "no answer is being made")
	return c, model, o.String(), e.String()
}

func TestChatCommands(t *testing.T) {
	_, model, out, _ := converse(t, []string{" one", " two", " three"}, "a", "/retry", "b", "/undo", "c")
	require.Equal(t, "one\ntwo\nthree\none\n\n", out)
	require.Equal(t, []string{
		"### Human: a### Assistant:", "### Human: a### Assistant:",
		"### Human: a### Assistant: two### Human: b### Assistant:",
		"### Human: a### Assistant: two### Human: c### Assistant:",
	}, model.Asked)

	_, model, _, errs := converse(t, []string{" x"}, "/undo", "/retry", "a", "/reset", "b", "/clear",
		"//etc is a folder", "/exit", "never")
	require.Equal(t, []string{"### Human: a### Assistant:", "### Human: b### Assistant:",
		"### Human: /etc is a folder### Assistant:"}, model.Asked)
	require.Equal(t, 2, strings.Count(errs, "nothing was said yet"))
	require.Equal(t, 2, strings.Count(errs, "the conversation starts anew"))

	_, _, out, errs = converse(t, nil, "/what now", "/hlep", "/help", "/stack")
	require.Contains(t, errs, "unknown command /hlep: did you mean /help?\n")
	require.Equal(t, "\n", out)
	require.Contains(t, errs, "unknown command /what: want one of /help, /reset, /undo, /retry, /system, /stack, /exit")
	require.Contains(t, errs, "\n(/help lists the commands; to say it to the model: //what now)\n")
	require.Contains(t, errs, "/system TEXT")
	require.Contains(t, errs, "model     base.gguf\nadapter   sft.gguf (sft)\ntemplate  guanaco\nsystem    none\n")
}

// Ctrl-C ends an answer, which stays as far as it came; a second one leaves.
func TestChatStopsAnAnswer(t *testing.T) {
	c, model, out, errs := converse(t, []string{" It de|pends", " so"}, "a", "and?", "/exit")
	require.Equal(t, "It de\nso\n", out)
	require.Contains(t, errs, "(stopped)")
	require.Equal(t, "### Human: a### Assistant: It de### Human: and?### Assistant:", model.Asked[1])
	require.Equal(t, 2, said(c))

	c, model, out, errs = converse(t, []string{" |", " so"}, "a", "b", "/exit")
	require.Equal(t, "so\n", out)
	require.Contains(t, errs, "stopped before a word")
	require.Equal(t, "### Human: b### Assistant:", model.Asked[1])
	require.Equal(t, 1, said(c))

	_, model, _, errs = converse(t, []string{" x"}, "^C", "a", "^C", "^C", "never")
	require.Len(t, model.Asked, 1)
	require.Equal(t, 2, strings.Count(errs, "once more leaves"))
}

func TestChatCompletesCommands(t *testing.T) {
	require.Equal(t, []string{"/reset", "/retry"}, completeCommand("/re"))
	require.Empty(t, completeCommand("re"))
	require.Len(t, completeCommand("/"), len(chatCommands()))
}

// said counts the questions that were answered; nothing is said after it.
func said(c *chatter) (n int) {
	for {
		if _, err := c.conversation.Undo(); err != nil {
			return n
		}
		n++
	}
}
