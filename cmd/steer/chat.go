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

	"steer/app/chat"
	"steer/app/workspace"
	"steer/rl/data"
)

func newChatCommand(a *app) *cobra.Command {
	f := generationFlags{}
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
			if err := f.check(cmd, a); err != nil {
				return err
			}
			return a.chat(cmd.Context(), &f)
		},
	}
	f.bind(cmd)
	return cmd
}

// chatter is a conversation with whoever types, or with a file.
type chatter struct {
	app          *app
	model        string // its file
	assistant    *chat.Assistant
	conversation *chat.Conversation
	// interactive: somebody types, and is shown errors instead of the end.
	interactive bool
	// stopped counts the Ctrl-C in a row.
	stopped int

	mu   sync.Mutex
	stop context.CancelFunc // of the answer that is being made; nil: none
}

func (a *app) chat(ctx context.Context, f *generationFlags) (err error) {
	guess := func() (data.TemplateName, string, error) { return workspace.GuessTemplate(f.model) }
	w, assistant, err := f.open(a.console(), guess)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	lines := a.newLineReader()
	defer func() { err = errors.Join(err, lines.close()) }()
	c := &chatter{
		app: a, model: f.model, assistant: assistant, conversation: chat.NewConversation(assistant, f.seed),
	}
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
				fmt.Fprintln(c.app.out)
			}
			return nil
		case errors.Is(err, errInterrupted):
			if c.stopped++; c.stopped > 1 {
				return nil
			}
			fmt.Fprintln(c.app.err, "once more leaves, as do Ctrl-D and /exit")
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
		return false, c.complain(fmt.Errorf("chat: that line is %w: set the terminal to UTF-8, or convert the file",
			data.ErrNotUTF8))
	case strings.HasPrefix(trimmed, "//"):
		text = strings.Replace(text, "/", "", 1)
	case strings.HasPrefix(trimmed, "/"):
		return c.command(ctx, trimmed)
	}
	turn, err := c.conversation.Ask(text)
	return false, c.answer(ctx, turn, err)
}

// answer has the model answer a turn, of which err is the error.
func (c *chatter) answer(ctx context.Context, turn *chat.Turn, err error) error {
	if err != nil {
		return c.complain(fmt.Errorf("chat: %w", tooLong(err)))
	}
	if turn.Forgotten > 0 {
		c.app.console().Progress.Note(fmt.Sprintf("warning: the conversation is longer than the context: "+
			"its oldest %d messages are forgotten", turn.Forgotten))
	}
	out := &answerWriter{w: c.app.out}
	answering, done := c.begin(ctx)
	err = turn.Answer(answering, out.show)
	done()
	if errors.Is(err, context.Canceled) && ctx.Err() == nil { // this answer alone was stopped
		var kept bool
		if kept, err = turn.KeepPartial(); !kept {
			fmt.Fprintln(c.app.err, "(stopped before a word: the question is dropped)")
			return nil
		}
		defer fmt.Fprintln(c.app.err, "(stopped)")
	}
	return out.end(err, "chat")
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
	fmt.Fprintln(c.app.err, err)
	return nil
}
