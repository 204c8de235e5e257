package chat

import (
	"context"
	"errors"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/data"
)

// ErrNothingSaid: there is no question and answer to go back to.
var ErrNothingSaid = errors.New("nothing was said yet")

// Conversation is what was said so far, questions and answers in turn. It belongs to one goroutine.
type Conversation struct {
	assistant *Assistant
	seed      uint64
	history   []data.Message
	turns     uint64 // answered, or begun to be
}

// NewConversation begins one. The seed and what is said determine the answers.
func NewConversation(a *Assistant, seed uint64) *Conversation {
	return &Conversation{assistant: a, seed: seed}
}

// Turn is a question, with what was said before, that is to be answered.
type Turn struct {
	// Forgotten is how many of the oldest messages the context has no room for.
	Forgotten int

	conversation *Conversation
	history      []data.Message // up to the question, without what is forgotten
	prompt       []int32
	stream       *stream
}

// Ask puts a question. What is forgotten for it are the oldest questions with their answers, as few as
// will do; a question that is too long alone is a *[TooLongError].
func (c *Conversation) Ask(question string) (*Turn, error) {
	history := c.history[:len(c.history):len(c.history)]
	return c.turn(append(history, data.Message{Role: data.RoleUser, Content: question}))
}

// Retry puts the last question again. Its answer stays until there is another.
func (c *Conversation) Retry() (*Turn, error) {
	if len(c.history) < 2 {
		return nil, ErrNothingSaid
	}
	n := len(c.history) - 1
	return c.turn(c.history[:n:n])
}

// Undo takes the last question and its answer back, and gives the question.
func (c *Conversation) Undo() (question string, err error) {
	if len(c.history) < 2 {
		return "", ErrNothingSaid
	}
	n := len(c.history) - 2
	question, c.history = c.history[n].Content, c.history[:n]
	return question, nil
}

// Reset forgets all that was said.
func (c *Conversation) Reset() { c.history = nil }

// turn renders a history that ends with a question.
func (c *Conversation) turn(history []data.Message) (*Turn, error) {
	t := &Turn{conversation: c, history: history}
	for {
		var err error
		t.prompt, err = c.assistant.Prompt(t.history)
		var long *TooLongError
		if err == nil {
			return t, nil
		}
		if !errors.As(err, &long) || len(t.history) < 3 {
			return nil, err
		}
		t.history = t.history[2:] // a question and its answer
		t.Forgotten += 2
	}
}

// Answer has the model answer, hands the text to show as it comes, and keeps question and answer. An
// answer that ends with an error, such as that of ctx, is not kept: see [Turn.KeepPartial].
func (t *Turn) Answer(ctx context.Context, show func(text string) error) error {
	c := t.conversation
	c.turns++
	t.stream = c.assistant.stream(show)
	req := c.assistant.request(t.prompt, seed.Derive(c.seed, "chat", c.turns))
	req.OnToken = t.stream.token
	got, err := c.assistant.model.Generator.Generate(ctx, []lm.Request{req}, c.assistant.opt.Sampling)
	if err != nil {
		return err
	}
	return t.keep(c.assistant.Text(got[0]))
}

// KeepPartial keeps a question with its answer as far as that came before it was stopped; false if there
// was nothing of it yet.
func (t *Turn) KeepPartial() (kept bool, err error) {
	text := t.conversation.assistant.partial(t.stream.tokens)
	if text == "" {
		return false, nil
	}
	return true, t.keep(text)
}

func (t *Turn) keep(answer string) error {
	t.conversation.history = append(t.history, data.Message{Role: data.RoleAssistant, Content: answer})
	return t.stream.end(answer)
}
