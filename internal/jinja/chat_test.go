package jinja

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
	"steer/internal/pystr"
	"steer/internal/strictjson"
	"steer/internal/testfiles"
)

// chatCase is a rendering of transformers, see testdata/golden/chat/README.md.
type chatCase struct {
	Conversation string
	AddPrompt    bool           `json:"add_generation_prompt"`
	Continue     bool           `json:"continue_final_message"`
	Kwargs       map[string]any `json:"kwargs"`
	Output       string
	Error        *struct{ Kind, Message string }
}

type chatGolden struct {
	Now           string
	Conversations map[string]strictjson.Raw
	Templates     []struct {
		Name, File string
		Tokens     map[string]string `json:"special_tokens"`
		Cases      []chatCase
	}
}

// fieldsOf makes the messages of a golden data, each field a source of its own, and gives the texts
// by source.
func fieldsOf(t *testing.T, raw []byte, aliased bool) (messages []any, sources []string) {
	v, err := strictjson.Value(raw, func(string) (any, error) { return nil, errors.New("too large") })
	require.NoError(t, err)
	sources = []string{""}
	for _, m := range v.([]any) {
		fields := m.(*ordered.Map)
		if r, ok := fields.Get("reasoning_content"); ok && aliased {
			fields.Set("thinking", r)
		}
		for k, e := range fields.All() {
			sources = append(sources, e.(string))
			fields.Set(k, Text{e.(string), len(sources) - 1})
		}
		messages = append(messages, m)
	}
	return messages, sources
}

const continueTag = "CONTINUE_FINAL_MESSAGE_TAG "

// Every rendering is that of transformers; its pieces end to end are the plain rendering; and what
// is said to be from a message is a part of that message.
func TestChatTemplatesRenderAsInTransformers(t *testing.T) {
	var golden chatGolden
	testfiles.ReadGolden(t, "chat/chat.json.gz", &golden)
	now, err := time.Parse("2006-01-02T15:04:05", golden.Now)
	require.NoError(t, err)
	cases := 0
	for _, tpl := range golden.Templates {
		source, err := os.ReadFile(filepath.Join(testfiles.Golden(t, "chat"), tpl.File))
		require.NoError(t, err)
		compiled, err := CompileChat(string(source))
		require.NoError(t, err, tpl.Name)
		for i, c := range tpl.Cases {
			cases++
			t.Run(fmt.Sprintf("%s/%d/%s", tpl.Name, i, c.Conversation), func(t *testing.T) {
				messages, sources := fieldsOf(t, golden.Conversations[c.Conversation],
					c.Conversation == "reasoning_content")
				final := ""
				if c.Continue {
					last := messages[len(messages)-1].(*ordered.Map)
					content, _ := last.Get("content")
					final = content.(Text).S
					last.Set("content", Text{content.(Text).S + continueTag, content.(Text).Source})
					sources[content.(Text).Source] += continueTag
				}
				vars := map[string]any{"messages": messages, "tools": nil, "documents": nil,
					"add_generation_prompt": c.AddPrompt}
				for k, v := range tpl.Tokens {
					vars[k] = v
				}
				for k, v := range c.Kwargs {
					vars[k] = v
				}
				pieces, err := compiled.Pieces(vars, now)
				if c.Error != nil && c.Error.Kind == "raise_exception" {
					var own *Error
					require.ErrorAs(t, err, &own)
					require.True(t, own.Raised)
					require.Equal(t, c.Error.Message, own.Msg)
					return
				}
				require.NoError(t, err)
				var b strings.Builder
				for _, p := range pieces {
					b.WriteString(p.Text)
					require.Contains(t, sources[p.Source]+map[bool]string{true: p.Text}[p.Source == 0], p.Text)
				}
				got := b.String()
				if c.Continue {
					at := strings.LastIndex(got, strings.TrimSpace(continueTag))
					if c.Error != nil { // the final message does not appear
						require.NotContains(t, got, strings.TrimFunc(final, pystr.IsSpace))
						return
					}
					require.Contains(t, got, strings.TrimFunc(final, pystr.IsSpace))
					require.GreaterOrEqual(t, at, 0)
					whole := strings.HasPrefix(got[at:], continueTag)
					if got = got[:at]; !whole {
						got = strings.TrimRightFunc(got, pystr.IsSpace)
					}
				}
				require.Equal(t, c.Output, got)
			})
		}
	}
	require.Equal(t, 2072, cases)
}

// A text keeps where it is from through everything that can be done to it.
func TestPiecesSayWhereTextIsFrom(t *testing.T) {
	vars := map[string]any{"a": Text{" <|x|> Hé,llo ", 1}, "b": Text{"yes", 2},
		"d": Data{ordered.Of("key", "value", "list", []any{"p", "q"}), 3}}
	for source, want := range map[string][]Piece{
		"{{ a }}":                     {{Text: " <|x|> Hé,llo ", Source: 1}},
		"x{{ a|trim }}y":              {{Text: "x"}, {Text: "<|x|> Hé,llo", Source: 1}, {Text: "y"}},
		"{{ '[' + b + ']' }}":         {{Text: "["}, {Text: "yes", Source: 2}, {Text: "]"}},
		"{{ '[' ~ b ~ 1 }}":           {{Text: "["}, {Text: "yes", Source: 2}, {Text: "1"}},
		"{{ (a ~ b)|upper }}":         {{Text: " <|X|> HÉ,LLO ", Source: 1}, {Text: "YES", Source: 2}},
		"{{ a.split(',')[1] }}":       {{Text: "llo ", Source: 1}},
		"{{ b.replace('e', '<e>') }}": {{Text: "y", Source: 2}, {Text: "<e>"}, {Text: "s", Source: 2}},
		"{{ '<q>'.replace('q', b) }}": {{Text: "<"}, {Text: "yes", Source: 2}, {Text: ">"}},
		"{{ ('<' ~ b ~ '>')[2:] }}":   {{Text: "es", Source: 2}, {Text: ">"}},
		"{{ ('<' ~ b ~ '>')[::-1] }}": {{Text: ">"}, {Text: "sey", Source: 2}, {Text: "<"}},
		"{{ ['<', b]|join('-') }}":    {{Text: "<-"}, {Text: "yes", Source: 2}},
		"{{ b.join(['1', '2']) }}":    {{Text: "1"}, {Text: "yes", Source: 2}, {Text: "2"}},
		"{{ [b]|tojson }}":            {{Text: `["`}, {Text: "yes", Source: 2}, {Text: `"]`}},
		"{{ d|tojson }}": {{Text: `{"`}, {Text: "key", Source: 3}, {Text: `": "`},
			{Text: "value", Source: 3}, {Text: `", "`}, {Text: "list", Source: 3}, {Text: `": ["`}, {Text: "p",
				Source: 3}, {Text: `", "`}, {Text: "q", Source: 3}, {Text: `"]}`}},
		"{% for k in d %}{{ k }}{% endfor %}": {{Text: "keylist", Source: 3}},
		"{{ {b: 1}|list|first }}":             {{Text: "yes", Source: 2}},
		"{{ [b]|string }}":                    {{Text: "['"}, {Text: "yes", Source: 2}, {Text: "']"}},
		"{{ '<%s>' % b }}":                    {{Text: "<"}, {Text: "yes", Source: 2}, {Text: ">"}},
		"{{ '<{}>'.format(b) }}":              {{Text: "<"}, {Text: "yes", Source: 2}, {Text: ">"}},
		"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(b)|upper }}": {{Text: "<"}, {Text: "YES", Source: 2},
			{Text: ">"}},
		"{% set x %}<{{ b }}>{% endset %}{{ x }}": {{Text: "<"}, {Text: "yes", Source: 2},
			{Text: ">"}},
		"{% generation %}{{ b }}<e>{% endgeneration %}\n.": {{Text: "yes", Source: 2, Answer: true},
			{Text: "<e>", Answer: true}, {Text: "."}},
		"{{ b|length }}{{ b * 2 }}{{ b|first }}": {{Text: "3"}, {Text: "yesyesy", Source: 2}},
		"{{ ('ΑΣ' ~ b)|lower }}{{ 'Α' ~ b }}": {{Text: "ας"}, {Text: "yes", Source: 2},
			{Text: "Α"}, {Text: "yes", Source: 2}},
		"{{ b|indent(2, true) }}{{ b.center(5, '*') }}": {{Text: "  "}, {Text: "yes", Source: 2},
			{Text: "*"}, {Text: "yes", Source: 2}, {Text: "*"}},
	} {
		tpl, err := CompileChat(source)
		require.NoError(t, err, source)
		got, err := tpl.Pieces(vars, time.Time{})
		require.NoError(t, err, source)
		if strings.Contains(source, "ΑΣ") { // the last sigma of a word is another letter
			require.Equal(t, 2, got[0].Source)
			continue
		}
		require.Equal(t, want, got, source)
	}
}

// What does not end ends with an error, and errors name line and column.
func TestChatTemplateErrors(t *testing.T) {
	for source, want := range map[string]string{
		"a\n{{ x|nofilter }}":    "template line 2, column 6: filter nofilter: not known",
		"{{ x is shiny }}":       "template line 1, column 9: test shiny: not known",
		"{% if x %}\n{% for %}":  "template line 2, column 8: want a name, got \"%}\"",
		"{{ 'a }}":               "template line 1, column 4: a string has no end",
		"{{ (1 }}":               "template line 1, column 7: unexpected \"}\", want \")\"",
		"{% endfor %}":           "column 4: the tag {% endfor %} is not known",
		"{% if x %}{% endfor %}": "{% endfor %} is not known (expected here: {% elif %} or {% else %} or {% endif %})",

		"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "macros call each other more than",

		"{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}": "more than 5000000 steps",

		"{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x~n.x %}{% endfor %}": "longer than",
		"{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}":                                     "longer than",
		"{{ x.append(1) }}":   "an undefined value",
		"{{ [1].append(1) }}": "may not change",
		"{{ " + strings.Repeat("(", 9999) + strings.Repeat(")", 9999) + " }}": "nested in each other",
		"{{ " + strings.Repeat("-", 9999) + "1 }}":                            "nested in each other",
		"{{ raise_exception('a\nb') }}":                                       "a\nb",
		"{{ strftime_now('%Q') }}":                                            "%Q is not supported",
	} {
		tpl, err := CompileChat(source)
		if err == nil {
			_, err = tpl.Pieces(nil, time.Unix(0, 0))
		}
		if strings.Contains(want, "an undefined value") {
			require.Error(t, err)
			continue
		}
		require.ErrorContains(t, err, want, source[:min(80, len(source))])
	}
}
