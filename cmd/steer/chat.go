package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"steer/ggml/seam"
	"steer/rl/data"
	"steer/rl/train"
)

func newChatCommand(a *app) *cobra.Command {
	f := decodeFlags{}
	cmd := &cobra.Command{
		Use: "chat --model FILE", GroupID: "use", Short: "Talk with a base and adapters",
		Long: `Reads messages from standard input, a line each, and answers them; the model sees
the whole conversation. When it grows longer than the context, its oldest turns are
forgotten, aloud. Ends with Ctrl-D or /exit; /reset starts anew, /help lists these.

Without --template the one that the model's own chat template resembles is taken:
name the one your adapters were trained with.`,
		Example: `  steer chat -m base.gguf -a runs/sft/adapter.gguf --template chatml
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

const chatHelp = "/reset  forget the conversation\n/exit   leave (or Ctrl-D)"

// chatter is a conversation in progress.
type chatter struct {
	a        *app
	s        *speaker
	history  []data.Message
	turn     uint64
	terminal bool // somebody types
}

func (a *app) chat(ctx context.Context, f *decodeFlags) (err error) {
	if f.template == "" {
		name, why, err := guessTemplate(f.model)
		if err != nil {
			return err
		}
		f.template = name
		fmt.Fprintf(a.err, "template %s (%s; --template names another)\n", name, why)
	}
	b, s, err := f.openSpeaker(a.console())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	in, ok := a.in.(*os.File)
	c := &chatter{a: a, s: s, terminal: ok && term.IsTerminal(int(in.Fd()))}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	if c.terminal {
		fmt.Fprintln(a.out, chatHelp)
	}
	return c.run(ctx)
}

// run answers line after line until the input ends.
func (c *chatter) run(ctx context.Context) error {
	lines := bufio.NewScanner(c.a.in)
	lines.Buffer(make([]byte, 1<<16), data.MaxRecordBytes)
	for {
		if c.terminal {
			fmt.Fprint(c.a.out, "> ")
		}
		// Reading waits aside, so that Ctrl-C is heard while nobody types.
		read := make(chan bool, 1)
		go func() { read <- lines.Scan() }()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case more := <-read:
			if err := lines.Err(); err != nil {
				return fmt.Errorf("chat: standard input: %w", err)
			}
			if !more {
				return nil
			}
		}
		leave, err := c.line(ctx, lines.Text())
		if err != nil || leave {
			return err
		}
	}
}

// line deals with one line of the user.
func (c *chatter) line(ctx context.Context, text string) (leave bool, err error) {
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == "":
		return false, nil
	case trimmed == "/exit" || trimmed == "/quit":
		return true, nil
	case trimmed == "/reset":
		c.history = nil
		fmt.Fprintln(c.a.err, "the conversation starts anew")
		return false, nil
	case strings.HasPrefix(trimmed, "/"):
		fmt.Fprintln(c.a.err, chatHelp)
		return false, nil
	case !utf8.ValidString(text):
		return false, c.complain(fmt.Errorf("chat: that line is %w: set the terminal to UTF-8, or convert the file", data.ErrNotUTF8))
	}
	history := append(c.history, data.Message{Role: data.RoleUser, Content: text})
	prompt, history, err := c.prompt(history)
	if err != nil {
		return false, c.complain(fmt.Errorf("chat: %w", err))
	}
	c.turn++
	out, err := c.s.generator.Generate(ctx, []seam.Request{c.s.request(prompt, train.DeriveSeed(c.s.f.seed, "chat", c.turn))}, c.s.f.sampling)
	if err != nil {
		return false, fmt.Errorf("chat: %w", err)
	}
	answer := c.s.text(out[0])
	c.history = append(history, data.Message{Role: data.RoleAssistant, Content: answer})
	_, err = fmt.Fprintln(c.a.out, answer)
	return false, err
}

// complain shows an error to somebody who can type again; a script fails.
func (c *chatter) complain(err error) error {
	if !c.terminal {
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
				fmt.Fprintf(c.a.err, "the conversation is longer than the context: its oldest %d messages are forgotten\n", forgotten)
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
