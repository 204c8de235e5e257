package judge

import (
	"fmt"
	"strings"

	"steer/ggml/lm"
	"steer/rl/data"
)

// Config says how a model is asked.
type Config struct {
	// Constitution is the text that is judged by.
	Constitution string
	// Template puts the question; Tokenizer is the model's.
	Template  *data.Template
	Tokenizer lm.Tokenizer
	// NoSystem puts the constitution at the head of the user's message: there are templates that take no message of
	// the system.
	NoSystem bool
	// MaxTokens bounds a question; longer ones are not asked. BatchTokens bounds a batch.
	MaxTokens, BatchTokens int
}

// letters are the choices.
var letters = [2]string{"A", "B"}

// Question is what a model is asked about two answers to a prompt. Without a prompt they are texts by themselves.
//
// Running text (template plain) has no turns: there the parts stand in paragraphs, and it ends in words that the
// letter completes, which is what a model understands that was never taught to chat.
func (c *Config) Question(prompt, a, b string) []data.Message {
	var text strings.Builder
	what, intro := "answer", "Here are a conversation and two ways to answer it.\n\nConversation:\n"+prompt
	if prompt == "" {
		what, intro = "text", "Here are two texts."
	}
	title := strings.ToUpper(what[:1]) + what[1:]
	fmt.Fprintf(&text, "%s\n\n%s A:\n%s\n\n%s B:\n%s\n\nWhich %s is better by these principles? ", intro, title, a,
		title, b, what)
	if c.running() {
		fmt.Fprintf(&text, "The better %s is %s", what, title)
	} else {
		text.WriteString("Reply with A or B alone.")
	}
	if c.NoSystem || c.running() {
		return []data.Message{{Role: data.RoleUser, Content: c.Constitution + "\n\n" + text.String()}}
	}
	return []data.Message{
		{Role: data.RoleSystem, Content: c.Constitution}, {Role: data.RoleUser, Content: text.String()},
	}
}

// running tells whether the question is running text.
func (c *Config) running() bool { return c.Template.Name() == data.TemplatePlain }

// reply is a letter as the model would say it.
func (c *Config) reply(letter string) string {
	if c.running() {
		return " " + letter
	}
	return letter
}

// choices are the two sequences of a question, whose last token is the letter; fits is false where they are too long.
func (c *Config) choices(question []data.Message) (seqs [2]lm.Sequence, fits bool, err error) {
	var ids [2][]int32
	for k, letter := range letters {
		said := append(append([]data.Message(nil), question...),
			data.Message{Role: data.RoleAssistant, Content: c.reply(letter)})
		segments, err := c.Template.Render(said)
		if err != nil {
			return seqs, false, err
		}
		e, err := data.Tokenize(c.Tokenizer, segments, data.TokenizeOptions{})
		if err != nil {
			return seqs, false, err
		}
		ids[k] = e.IDs
	}
	at := 0
	for at < min(len(ids[0]), len(ids[1])) && ids[0][at] == ids[1][at] {
		at++
	}
	if at == 0 || at >= min(len(ids[0]), len(ids[1])) {
		return seqs, false, fmt.Errorf("this vocabulary and template give the answers %q and %q no tokens of their own",
			letters[0], letters[1])
	}
	for k := range seqs {
		seqs[k] = lm.Sequence{Tokens: ids[k][:at+1], Targets: []int32{int32(at)}}
	}
	return seqs, at+1 <= c.MaxTokens, nil
}

// both are the sequences of a pair: A and B with the first answer at A, and A and B with it at B.
func (c *Config) both(p Pair) (seqs [4]lm.Sequence, fit bool, err error) {
	if err := p.check(); err != nil {
		return seqs, false, err
	}
	prompt, a, b := p.Sides()
	fit = true
	for order, q := range [2][]data.Message{c.Question(prompt, a, b), c.Question(prompt, b, a)} {
		two, fits, err := c.choices(q)
		if err != nil {
			return seqs, false, fmt.Errorf("%s: line %d: %w", p.Source, p.Line, err)
		}
		seqs[2*order], seqs[2*order+1] = two[0], two[1]
		fit = fit && fits
	}
	return seqs, fit, nil
}
