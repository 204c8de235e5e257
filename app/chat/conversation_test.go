package chat_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/chat"
	"steer/app/chat/chattest"
	"steer/ggml/lm"
	"steer/rl/data"
)

func shows(text *string) func(string) error {
	return func(more string) error {
		*text += more
		return nil
	}
}

// What is forgotten are questions with their answers, as few as will do.
func TestTheOldestTurnsAreForgotten(t *testing.T) {
	turn := func(role, content string) data.Message { return data.Message{Role: role, Content: content} }
	history := []data.Message{turn("user", "aaaa"), turn("assistant", "bbbb"), turn("user", "cc"),
		turn("assistant", "dd")}
	for context, want := range map[int]string{
		20: "aaaabbbbccddeeee", 18: "aaaabbbbccddeeee", 17: "ccddeeee", 10: "ccddeeee", 9: "eeee", 6: "eeee",
	} {
		c := chat.NewConversation(assistant(t, nil, context, data.TemplatePlain, chat.Options{MaxNew: 2}), 0)
		c.Said(history)
		next, err := c.Ask("eeee")
		require.NoError(t, err)
		require.Equal(t, want, chattest.Bytes{}.Decode(next.Prompt(), false), "context %d", context)
		require.Equal(t, data.RoleUser, next.Kept()[0].Role)
		require.Equal(t, len(history)+1-len(next.Kept()), next.Forgotten)
	}
	c := chat.NewConversation(assistant(t, nil, 5, data.TemplatePlain, chat.Options{MaxNew: 2}), 0)
	c.Said(history)
	_, err := c.Ask("eeee")
	require.ErrorIs(t, err, lm.ErrContextFull)
	var long *chat.TooLongError
	require.ErrorAs(t, err, &long)
	require.Equal(t, chat.TooLongError{Prompt: 4, MaxNew: 2, Context: 5}, *long)
}

func TestConversation(t *testing.T) {
	model := &chattest.Scripted{Answers: []string{" one", " two", " three", " fo|ur", " |"}}
	a := assistant(t, model, 1<<20, data.TemplateGuanaco, chat.Options{MaxNew: 100})
	c := chat.NewConversation(a, 0)
	_, err := c.Retry()
	require.ErrorIs(t, err, chat.ErrNothingSaid)
	_, err = c.Undo()
	require.ErrorIs(t, err, chat.ErrNothingSaid)

	ask := func(question string) *chat.Turn {
		turn, err := c.Ask(question)
		require.NoError(t, err)
		return turn
	}
	var said string
	require.NoError(t, ask("a").Answer(context.Background(), shows(&said)))
	require.Equal(t, "one", said)
	again, err := c.Retry()
	require.NoError(t, err)
	require.NoError(t, again.Answer(context.Background(), shows(&said)))
	require.Equal(t, "onetwo", said)
	require.NoError(t, ask("b").Answer(context.Background(), shows(&said)))
	question, err := c.Undo()
	require.NoError(t, err)
	require.Equal(t, "b", question)
	require.Equal(t, "### Human: a### Assistant: two### Human: b### Assistant:", model.Asked[2])

	// One that is stopped is kept as far as it came, if that is wanted.
	stopped, said := ask("c"), ""
	ctx, stop := context.WithCancel(context.Background())
	model.OnWait = stop
	require.ErrorIs(t, stopped.Answer(ctx, shows(&said)), context.Canceled)
	kept, err := stopped.KeepPartial()
	require.NoError(t, err)
	require.True(t, kept)
	require.Equal(t, "fo", said)
	question, err = c.Undo()
	require.NoError(t, err)
	require.Equal(t, "c", question)

	ctx, stop = context.WithCancel(context.Background())
	model.OnWait = stop
	empty := ask("d")
	require.ErrorIs(t, empty.Answer(ctx, shows(&said)), context.Canceled)
	kept, err = empty.KeepPartial()
	require.NoError(t, err)
	require.False(t, kept, "nothing came")

	c.Reset()
	_, err = c.Undo()
	require.ErrorIs(t, err, chat.ErrNothingSaid)
}
