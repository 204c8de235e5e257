package chat_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/chat"
	"steer/app/chat/chattest"
	"steer/app/jsonlines"
	"steer/rl/data"
)

func TestReadPrompts(t *testing.T) {
	in := `{"prompt":"Hello"}

{"text":"Hi"}
{"messages":[{"role":"user","content":"Is it right?"},{"role":"assistant","content":"dropped"}]}
`
	got, err := chat.ReadPrompts(strings.NewReader(in), "p.jsonl", false)
	require.NoError(t, err)
	require.Equal(t, []chat.Prompt{
		chat.UserPrompt("p.jsonl: line 1", 1, "Hello"), chat.UserPrompt("p.jsonl: line 3", 3, "Hi"),
		chat.UserPrompt("p.jsonl: line 4", 4, "Is it right?"),
	}, got)
	plain, err := chat.ReadPrompts(strings.NewReader("Hello\n"), "p.txt", true)
	require.NoError(t, err)
	require.Equal(t, []chat.Prompt{chat.UserPrompt("p.txt: line 1", 1, "Hello")}, plain)
	require.Equal(t, "Hello", plain[0].Last())

	for in, says := range map[string]string{
		"":              "p: no prompts: want at least one line",
		`{"promt":"a"}`: `p: line 1: want "prompt" or "messages", got "promt"`,
		"caf\xe9":       "p: line 1: ",
		`{"messages":[{"role":"assistant","content":"x"}]}`: `p: line 1: field "messages": want a message of the user`,
	} {
		_, err := chat.ReadPrompts(strings.NewReader(in), "p", false)
		require.ErrorContains(t, err, says)
	}
	_, err = chat.ReadPrompts(strings.NewReader("hello"), "p", false)
	require.ErrorIs(t, err, jsonlines.ErrNotJSON)
	require.EqualError(t, err, `p: line 1: want one JSON object a line, got "hello"`)
}

// Answers to a prompt stand together, each with a seed of its own.
func TestRequests(t *testing.T) {
	a := assistant(t, nil, 20, data.TemplatePlain, chat.Options{MaxNew: 5})
	prompts := []chat.Prompt{chat.UserPrompt("one", 1, "aa"), chat.UserPrompt("two", 2, "bb")}
	reqs, err := a.Requests(prompts, 2, 7)
	require.NoError(t, err)
	seeds := map[uint64]bool{}
	for i, r := range reqs {
		require.Equal(t, prompts[i/2].Last(), chattest.Bytes{}.Decode(r.Prompt, true))
		require.Equal(t, 5, r.MaxNew)
		seeds[r.Seed] = true
	}
	require.Len(t, seeds, 4)
	_, err = a.Requests([]chat.Prompt{chat.UserPrompt("three", 3, strings.Repeat("x", 16))}, 1, 7)
	var long *chat.TooLongError
	require.ErrorAs(t, err, &long)
	require.ErrorContains(t, err, "three: 16 tokens and an answer of up to 5")
	_, err = a.Requests([]chat.Prompt{chat.UserPrompt("four", 4, "")}, 1, 7)
	require.EqualError(t, err, "four: the prompt has no token: write something")
}
