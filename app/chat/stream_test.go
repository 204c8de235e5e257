package chat_test

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/app/chat"
	"steer/app/chat/chattest"
	"steer/app/workspace"
	"steer/ggml/lm"
	"steer/rl/data"
)

// assistant speaks in single bytes, in a context of so many tokens.
func assistant(
	t testing.TB, g lm.Generator, context int, name data.TemplateName, opt chat.Options,
) *chat.Assistant {
	t.Helper()
	a, err := chat.New(chattest.Model(g, context), workspace.Form{Template: name}, opt)
	require.NoError(t, err)
	return a
}

// However an answer comes, what is shown of it is, piece after piece, its text; no piece
// breaks a character, and nothing of a stop string shows.
func TestStreamShowsTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		template data.TemplateName
		stops    []string
		answer   string
		finish   lm.FinishReason
		want     string
	}{
		"text": {"guanaco", nil, " You should not lie.", lm.FinishStopToken,
			"You should not lie."},
		"characters of several bytes": {"guanaco", nil, " é€😀 — 日本", lm.FinishLength, "é€😀 — 日本"},
		"cut in a character":          {"guanaco", nil, " ab\xe2\x82", lm.FinishLength, "ab\uFFFD"},
		"no character":                {"guanaco", nil, "a\xff\xff\xffb\xc3(", lm.FinishLength, "a\uFFFDb\uFFFD("},
		"stop string":                 {"guanaco", nil, " Yes.### Human:", lm.FinishStopString, "Yes."},
		"almost a stop string":        {"guanaco", nil, " A ### Hum, a #.", lm.FinishStopToken, "A ### Hum, a #."},
		"ends in a half stop string":  {"guanaco", nil, " Yes.### Hu", lm.FinishLength, "Yes.### Hu"},
		"of several, the first": {"guanaco", []string{"END", "ND"}, "a EN b END c", lm.FinishStopString,
			"a EN b"},
		"overlapping":            {"guanaco", []string{"aab"}, "xaaab", lm.FinishStopString, "xa"},
		"blanks around":          {"hh", nil, "\n  a\n\nb \n\n ", lm.FinishStopToken, "a\n\nb"},
		"plain keeps its blanks": {"plain", nil, "  a  b ", lm.FinishLength, "  a  b "},
		"nothing":                {"guanaco", nil, "", lm.FinishStopToken, ""},
	} {
		t.Run(name, func(t *testing.T) {
			model := &chattest.Scripted{Answers: []string{c.answer}, Finish: c.finish}
			a := assistant(t, model, 1<<20, c.template, chat.Options{MaxNew: 100, Stop: c.stops})
			var shown []string
			show := func(text string) error {
				shown = append(shown, text)
				return nil
			}
			turn, err := chat.NewConversation(a, 0).Ask("x")
			require.NoError(t, err)
			require.NoError(t, turn.Answer(context.Background(), show))
			require.Equal(t, c.want, a.Text(lm.Generation{Tokens: tokens(c.answer), Finish: c.finish}))
			require.Equal(t, c.want, strings.Join(shown, ""))
			for _, text := range shown {
				require.True(t, utf8.ValidString(text), "%q", text)
			}
			if len(c.want) > 12 {
				require.GreaterOrEqual(t, len(shown), 4, "it comes in pieces")
			}
			// The answer to a request alone ends without its line ends.
			shown = nil
			require.NoError(t, a.Stream(context.Background(), lm.Request{}, show))
			require.Equal(t, strings.TrimRight(c.want, "\n"), strings.Join(shown, ""))
		})
	}
}

func tokens(text string) []int32 {
	ids, _ := chattest.Bytes{}.Encode(text, false, false) // never fails
	return ids
}
