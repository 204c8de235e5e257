package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/internal/workspace"
	"steer/rl/data"
)

func newChatCommand(a *app) *cobra.Command {
	f := decodeFlags{}
	cmd := &cobra.Command{
		Use: "chat --model FILE", GroupID: "use", Short: "Talk with a base and adapters",
		Long: `Answers what is typed, or read from standard input, a line each, word by word;
the model sees the whole conversation. When it grows longer than the context,
its oldest turns are forgotten, aloud.

On a terminal the line can be edited, and the arrows bring earlier ones back.
Ctrl-C stops an answer, which stays in the conversation as far as it came; twice
in a row leaves, as do Ctrl-D and /exit. Commands, in a pipe too:

` + indent(commandHelp(), "  ") + `

The template is the one that the adapters were trained with. For a bare base,
and for adapters that do not say, it is the model's own chat template, where its
file holds one. --template names another.`,
		Example: `  steer chat -m base.gguf -a runs/sft/adapter.gguf
  echo "Is it right to break a promise?" | steer chat -m base.gguf`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return a.chat(cmd.Context(), &f)
		},
	}
	f.bind(cmd)
	return cmd
}

// chatter is a conversation in progress.
type chatter struct {
	a       *app
	b       *workspace.Workspace
	s       *speaker
	history []data.Message
	turn    uint64
	// interactive: somebody types, and is shown errors instead of the end.
	interactive bool
	// stopped counts the Ctrl-C in a row.
	stopped int

	mu   sync.Mutex
	stop context.CancelFunc // of the answer that is being made; nil: none
}

func (a *app) chat(ctx context.Context, f *decodeFlags) (err error) {
	guess := func() (data.TemplateName, string, error) { return guessTemplate(f.model) }
	b, s, err := f.openSpeaker(a.console(), guess)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	lines := a.newLineReader()
	defer func() { err = errors.Join(err, lines.close()) }()
	c := &chatter{a: a, b: b, s: s}
	if _, c.interactive = lines.(*editedLines); c.interactive {
		defer a.onInterrupt(c.stopAnswer)()
		fmt.Fprintln(a.out, "/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves")
	}
	return c.run(ctx, lines)
}

// run answers line after line until the input ends.
func (c *chatter) run(ctx context.Context, lines lineReader) error {
	for {
		line, err := lines.read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if c.interactive {
				fmt.Fprintln(c.a.out)
			}
			return nil
		case errors.Is(err, errInterrupted):
			if c.stopped++; c.stopped > 1 {
				return nil
			}
			fmt.Fprintln(c.a.err, "once more leaves, as do Ctrl-D and /exit")
			continue
		case err != nil:
			return err
		}
		c.stopped = 0
		leave, err := c.line(ctx, line)
		if err != nil || leave {
			return err
		}
	}
}

// line deals with one line of the user.
func (c *chatter) line(ctx context.Context, text string) (leave bool, err error) {
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == "":
		return false, nil
	case !utf8.ValidString(text):
		return false, c.complain(fmt.Errorf("chat: that line is %w: set the terminal to UTF-8, or convert the file", data.ErrNotUTF8))
	case strings.HasPrefix(trimmed, "//"):
		text = strings.Replace(text, "/", "", 1)
	case strings.HasPrefix(trimmed, "/"):
		return c.command(ctx, trimmed)
	}
	return false, c.say(ctx, text)
}

// say answers a message.
func (c *chatter) say(ctx context.Context, text string) error {
	history := append(c.history[:len(c.history):len(c.history)], data.Message{Role: data.RoleUser, Content: text})
	return c.answer(ctx, history)
}

// answer lets the model answer a conversation that ends with the user's turn, and keeps both.
func (c *chatter) answer(ctx context.Context, history []data.Message) error {
	prompt, history, err := c.prompt(history)
	if err != nil {
		return c.complain(fmt.Errorf("chat: %w", err))
	}
	c.turn++
	out := &stream{s: c.s, w: c.a.out}
	req := c.s.request(prompt, seed.Derive(c.s.f.seed, "chat", c.turn))
	req.OnToken = out.token
	answering, done := c.begin(ctx)
	got, err := c.s.generator.Generate(answering, []lm.Request{req}, c.s.f.sampling)
	done()
	var text string
	switch {
	case err == nil:
		text = c.s.text(got[0])
	case errors.Is(err, context.Canceled) && ctx.Err() == nil: // this answer alone was stopped
		if text = c.s.broken(out.tokens); text == "" {
			fmt.Fprintln(c.a.err, "(stopped before a word: the question is dropped)")
			return nil
		}
		defer fmt.Fprintln(c.a.err, "(stopped)")
	default:
		return fmt.Errorf("chat: %w", err)
	}
	c.history = append(history, data.Message{Role: data.RoleAssistant, Content: text})
	return out.end(text)
}

// begin marks an answer as being made, so that Ctrl-C stops it alone.
func (c *chatter) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	set := func(f context.CancelFunc) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stop = f
	}
	set(cancel)
	return ctx, func() { set(nil); cancel() }
}

// stopAnswer ends the answer that is being made, and tells whether there was one.
func (c *chatter) stopAnswer() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop == nil {
		return false
	}
	c.stop()
	return true
}

// complain shows an error to somebody who can type again; a script fails.
func (c *chatter) complain(err error) error {
	if !c.interactive {
		return err
	}
	fmt.Fprintln(c.a.err, err)
	return nil
}

// prompt renders a conversation, without its oldest turns where it is too long.
func (c *chatter) prompt(history []data.Message) ([]int32, []data.Message, error) {
	forgotten := 0
	for {
		ids, err := c.s.prompt(history)
		if err != nil {
			return nil, nil, err
		}
		err = c.s.fits(ids)
		if err == nil {
			if forgotten > 0 {
				c.a.console().Progress.Note(fmt.Sprintf("warning: the conversation is longer than the context: "+
					"its oldest %d messages are forgotten", forgotten))
			}
			return ids, history, nil
		}
		if len(history) < 3 {
			return nil, nil, err
		}
		history = history[2:] // a question and its answer
		forgotten += 2
	}
}
