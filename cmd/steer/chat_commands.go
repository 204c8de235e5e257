package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"steer/app/chat"
	"steer/internal/nearest"
	"steer/internal/printable"
)

// chatCommand is a line of the user that is not said to the model.
type chatCommand struct {
	name, argument, about string
	also                  string // another name
	run                   func(c *chatter, ctx context.Context, argument string) (leave bool, err error)
}

// chatCommands are all there are, as /help lists them.
func chatCommands() []chatCommand {
	return []chatCommand{
		{name: "/help", about: "list these", run: (*chatter).help},
		{name: "/reset", also: "/clear", about: "forget the conversation", run: (*chatter).reset},
		{name: "/undo", about: "take the last question and its answer back", run: (*chatter).undo},
		{name: "/retry", about: "answer the last question anew", run: (*chatter).retry},
		{name: "/system", argument: "TEXT", about: "set the system message (- for none), or show it",
			run: (*chatter).system},
		{name: "/stack", about: "show model, adapters and template", run: (*chatter).showStack},
		{name: "/exit", also: "/quit", about: "leave",
			run: func(*chatter, context.Context, string) (bool, error) { return true, nil }},
	}
}

// commandHelp is the text of /help.
func commandHelp() string {
	var b strings.Builder
	for _, c := range chatCommands() {
		fmt.Fprintf(&b, "%-13s %s\n", strings.TrimSpace(c.name+" "+c.argument), c.about)
	}
	fmt.Fprintf(&b, "%-13s %s", "//...", "say a text that begins with a slash")
	return b.String()
}

func indent(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }

// command runs a command.
func (c *chatter) command(ctx context.Context, line string) (leave bool, err error) {
	name, argument, _ := strings.Cut(line, " ")
	var names []string
	for _, k := range chatCommands() {
		if name == k.name || name == k.also {
			return k.run(c, ctx, strings.TrimSpace(argument))
		}
		names = append(names, k.name)
	}
	meant := "want one of " + strings.Join(names, ", ")
	if near, ok := nearest.Word(name, names); ok {
		meant = "did you mean " + near + "?"
	}
	fmt.Fprintf(c.app.err, "unknown command %s: %s\n(/help lists the commands; to say it to the model: /%s)\n",
		printable.Text(name, 20), meant, printable.Text(line, 40))
	return false, nil
}

func (c *chatter) help(context.Context, string) (bool, error) {
	fmt.Fprintln(c.app.err, commandHelp())
	return false, nil
}

func (c *chatter) reset(context.Context, string) (bool, error) {
	c.conversation.Reset()
	fmt.Fprintln(c.app.err, "the conversation starts anew")
	return false, nil
}

func (c *chatter) undo(context.Context, string) (bool, error) {
	question, err := c.conversation.Undo()
	if err != nil {
		fmt.Fprintln(c.app.err, err)
		return false, nil
	}
	fmt.Fprintf(c.app.err, "taken back: %s\n", printable.Text(question, 60))
	return false, nil
}

func (c *chatter) retry(ctx context.Context, _ string) (bool, error) {
	turn, err := c.conversation.Retry()
	if errors.Is(err, chat.ErrNothingSaid) {
		fmt.Fprintln(c.app.err, err)
		return false, nil
	}
	return false, c.answer(ctx, turn, err)
}

func (c *chatter) system(_ context.Context, text string) (bool, error) {
	if text != "" {
		form := c.assistant.Form()
		set := text
		if text == "-" {
			set = ""
		}
		form.System = &set
		if err := c.assistant.SetForm(form); err != nil {
			return false, c.complain(fmt.Errorf("chat: /system: %w", err))
		}
	}
	fmt.Fprintf(c.app.err, "system message: %s\n", c.systemMessage())
	return false, nil
}

// systemMessage is that of the template, fit to be shown.
func (c *chatter) systemMessage() string {
	return cmp.Or(printable.Text(c.assistant.Template().System(), 400), "none")
}

func (c *chatter) showStack(context.Context, string) (bool, error) {
	fmt.Fprintf(c.app.err, "model     %s\n", c.model)
	for _, p := range c.assistant.Stack() {
		fmt.Fprintf(c.app.err, "adapter   %s (%s)\n", p.Path, cmp.Or(string(p.Role()), "made elsewhere"))
	}
	fmt.Fprintf(c.app.err, "template  %s\nsystem    %s\n", c.assistant.Template().Name(), c.systemMessage())
	return false, nil
}
