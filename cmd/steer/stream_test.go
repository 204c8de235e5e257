package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/workspace"
	"steer/rl/data"
)

// byBytes speaks in single bytes, the finest pieces that an answer can come in.
func byBytes(t testing.TB, name data.TemplateName, stops ...string) *speaker {
	t.Helper()
	template, err := data.NewTemplate(name, nil)
	require.NoError(t, err)
	return &speaker{f: &decodeFlags{maxNew: 100}, tok: letters{}, template: template, form: workspace.Form{Template: name}, context: 1 << 20, stopStrings: append(template.StopStrings(), stops...)}
}

// pieces counts what is written, each a write.
type pieces struct{ list []string }

func (p *pieces) Write(b []byte) (int, error) {
	p.list = append(p.list, string(b))
	return len(b), nil
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
		"text":                        {"guanaco", nil, " You should not lie.", lm.FinishStopToken, "You should not lie."},
		"characters of several bytes": {"guanaco", nil, " é€😀 — 日本", lm.FinishLength, "é€😀 — 日本"},
		"cut in a character":          {"guanaco", nil, " ab\xe2\x82", lm.FinishLength, "ab\uFFFD"},
		"no character":                {"guanaco", nil, "a\xff\xff\xffb\xc3(", lm.FinishLength, "a\uFFFDb\uFFFD("},
		"stop string":                 {"guanaco", nil, " Yes.### Human:", lm.FinishStopString, "Yes."},
		"almost a stop string":        {"guanaco", nil, " A ### Hum, a #.", lm.FinishStopToken, "A ### Hum, a #."},
		"ends in a half stop string":  {"guanaco", nil, " Yes.### Hu", lm.FinishLength, "Yes.### Hu"},
		"of several, the first":       {"guanaco", []string{"END", "ND"}, "a EN b END c", lm.FinishStopString, "a EN b"},
		"overlapping":                 {"guanaco", []string{"aab"}, "xaaab", lm.FinishStopString, "xa"},
		"blanks around":               {"hh", nil, "\n  a\n\nb \n\n ", lm.FinishStopToken, "a\n\nb"},
		"plain keeps its blanks":      {"plain", nil, "  a  b ", lm.FinishLength, "  a  b "},
		"nothing":                     {"guanaco", nil, "", lm.FinishStopToken, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := byBytes(t, c.template, c.stops...)
			var out pieces
			st := &stream{s: s, w: &out}
			var g lm.Generation
			for i := range len(c.answer) {
				st.token(int32(c.answer[i]))
				g.Tokens = append(g.Tokens, int32(c.answer[i]))
			}
			g.Finish = c.finish
			require.Equal(t, c.want, s.text(g))
			require.NoError(t, st.end(s.text(g)))
			require.Equal(t, c.want+"\n", strings.Join(out.list, ""))
			for _, p := range out.list {
				require.True(t, utf8.ValidString(p), "%q", p)
			}
			if len(c.want) > 12 {
				require.GreaterOrEqual(t, len(out.list), 5, "it comes in pieces")
			}
		})
	}
}

// scripted answers with given texts, and waits in the middle of one that is to be stopped.
type scripted struct {
	answers []string
	asked   []string
	onWait  func() // called where an answer has a "|", which then waits for its end
}

func (s *scripted) Generate(ctx context.Context, reqs []lm.Request, _ lm.Sampling) ([]lm.Generation, error) {
	text := s.answers[len(s.asked)%len(s.answers)]
	s.asked = append(s.asked, letters{}.Decode(reqs[0].Prompt, true))
	var g lm.Generation
	for i := range len(text) {
		if text[i] == '|' {
			s.onWait()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		g.Tokens = append(g.Tokens, int32(text[i]))
		reqs[0].OnToken(int32(text[i]))
	}
	g.Finish = lm.FinishStopToken
	return []lm.Generation{g}, nil
}

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
func converse(t *testing.T, answers []string, lines ...string) (c *chatter, model *scripted, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	a := newApp(nil, &o, &e)
	s := byBytes(t, data.TemplateGuanaco)
	s.f.model = "base.gguf"
	s.stack = []adapter.Placed{{Path: "sft.gguf", Adapter: &adapter.Adapter{Meta: map[string]string{adapter.MetaRole: "sft"}}}}
	model = &scripted{answers: answers}
	s.generator = model
	c = &chatter{a: a, s: s, interactive: true}
	model.onWait = func() { require.True(t, c.stopAnswer()) }
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
	}, model.asked)

	_, model, _, errs := converse(t, []string{" x"}, "/undo", "/retry", "a", "/reset", "b", "/clear", "//etc is a folder", "/exit", "never")
	require.Equal(t, []string{"### Human: a### Assistant:", "### Human: b### Assistant:", "### Human: /etc is a folder### Assistant:"}, model.asked)
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
	require.Equal(t, "### Human: a### Assistant: It de### Human: and?### Assistant:", model.asked[1])
	require.Len(t, c.history, 4)

	c, model, out, errs = converse(t, []string{" |", " so"}, "a", "b", "/exit")
	require.Equal(t, "so\n", out)
	require.Contains(t, errs, "stopped before a word")
	require.Equal(t, "### Human: b### Assistant:", model.asked[1])
	require.Len(t, c.history, 2)

	_, model, _, errs = converse(t, []string{" x"}, "^C", "a", "^C", "^C", "never")
	require.Len(t, model.asked, 1)
	require.Equal(t, 2, strings.Count(errs, "once more leaves"))
}

func TestChatCompletesCommands(t *testing.T) {
	require.Equal(t, []string{"/reset", "/retry"}, completeCommand("/re"))
	require.Empty(t, completeCommand("re"))
	require.Len(t, completeCommand("/"), len(chatCommands()))
}
