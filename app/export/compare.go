package export

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/template"

	"steer/rl/data"
)

// conversation is one that renderings are compared by.
type conversation struct {
	name     string
	messages []data.Message
	// System: it has a system message. Odd: it is one that people seldom have, and a difference is
	// told rather than refused.
	system, odd bool
}

// say makes messages of pairs of role and content.
func say(pairs ...string) (out []data.Message) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, data.Message{Role: pairs[i], Content: pairs[i+1]})
	}
	return out
}

// conversations are what a template of Ollama's is compared with the model's own by.
var conversations = []conversation{
	{name: "one question", messages: say("user", "What is the capital of France?")},
	{name: "a question, an answer, a question", messages: say("user", "Hi", "assistant", "Hello! How can I help?",
		"user", "Count to 3.")},
	{name: "three questions", messages: say("user", "First?", "assistant", "One.", "user", "Second?",
		"assistant", "Two,\nas I said.", "user", "Third?")},
	{name: "texts of several lines, with signs", messages: say("user", "Why {{ so }}?\n\n\"Thus\": 你好 🙂 <b>&amp;</b>",
		"assistant", "```go\nfunc f() {}\n```", "user", "100% {x} \\n")},
	{name: "a system message", system: true, messages: say("system", "You are terse.", "user", "Name a prime.")},
	{name: "a system message and two questions", system: true, messages: say("system",
		"You are a careful assistant.\nAnswer in one line.", "user", "First?", "assistant", "One.", "user", "Second?")},

	{name: "blanks around a question", odd: true, messages: say("user", "  \n Hello \n")},
	{name: "blanks around an answer", odd: true, messages: say("user", "Hi", "assistant", " Hello\n\n",
		"user", "Go on")},
	{name: "blanks around a system message", odd: true, system: true,
		messages: say("system", " Be brief.\n", "user", "Hi")},
	{name: "two questions in a row", odd: true, messages: say("user", "Part one.", "user", "Part two.")},
	{name: "an empty question", odd: true, messages: say("user", "")},
	{name: "an answer that comes first", odd: true, messages: say("assistant", "Welcome!", "user", "Thanks.")},
	{name: "a system message in the middle", odd: true, system: true, messages: say("user", "Hi", "assistant", "Hello",
		"system", "Now be rude.", "user", "Hi again")},
	{name: "an empty system message", odd: true, system: true, messages: say("system", "", "user", "Hi")},
	{name: "thoughts in an earlier answer", odd: true, messages: say("user", "2+2?", "assistant",
		"<think>\nTwo and two.\n</think>\n\n4", "user", "3+3?")},
}

// Difference is a conversation that is rendered in two ways.
type Difference struct {
	Conversation string
	Want, Got    string // the model's own template, and that of Ollama
	System, Odd  bool
}

// String shows where the two part.
func (d Difference) String() string {
	at := 0
	for at < len(d.Want) && at < len(d.Got) && d.Want[at] == d.Got[at] {
		at++
	}
	from := max(0, at-12)
	for from > 0 && d.Want[from]&0xc0 == 0x80 { // the middle of a character
		from--
	}
	cut := func(s string) string {
		s = s[min(from, len(s)):]
		const most = 60
		if len(s) > most {
			s = strings.ToValidUTF8(s[:most], "") + "..."
		}
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%s: the model's template writes %s where Ollama's writes %s", d.Conversation, cut(d.Want),
		cut(d.Got))
}

// Compared says how a template of Ollama's does beside a model's own.
type Compared struct {
	Same        int // conversations that both write alike
	Differences []Difference
	// Refused are conversations that the model's template does not take; Ollama's takes every one.
	Refused []string
}

// Worst gives a difference that matters: not of an odd conversation and, unless system messages are
// used, not of one with a system message.
func (c *Compared) Worst(system bool) (d Difference, found bool) {
	for _, d := range c.Differences {
		if !d.Odd && (system || !d.System) {
			return d, true
		}
	}
	return Difference{}, false
}

// Compare renders conversations by chat and, with Ollama's own code, by a template of Ollama's.
func Compare(chat Chat, source string) (*Compared, error) {
	t, err := template.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var c Compared
	for _, conv := range conversations {
		want, err := chat(conv.messages)
		if err != nil {
			c.Refused = append(c.Refused, conv.name)
			continue
		}
		got, err := execute(t, conv.messages)
		if err != nil {
			return nil, fmt.Errorf("template: %s: %w", conv.name, err)
		}
		if got == want {
			c.Same++
			continue
		}
		c.Differences = append(c.Differences, Difference{conv.name, want, got, conv.system, conv.odd})
	}
	return &c, nil
}

// execute renders messages as Ollama does.
func execute(t *template.Template, messages []data.Message) (string, error) {
	values := template.Values{}
	for _, m := range messages {
		values.Messages = append(values.Messages, api.Message{Role: m.Role, Content: m.Content})
	}
	var b bytes.Buffer
	err := t.Execute(&b, values)
	return b.String(), err
}

// named is the template that Ollama itself takes for a model whose chat template it resembles, "" for
// none.
func named(jinja string) string {
	t, err := template.Named(jinja)
	if err != nil {
		return ""
	}
	return string(t.Bytes)
}
