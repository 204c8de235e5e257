package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"steer/app/chat"
	"steer/app/jobs"
	"steer/app/workspace"
	"steer/ggml/lm"
	"steer/rl/data"
)

// generationFlags are the flags of the commands that generate text.
type generationFlags struct {
	modelFlags
	form    workspace.Form
	system  string
	vars    []string
	options chat.Options
	seed    uint64
}

func (f *generationFlags) bind(cmd *cobra.Command) {
	f.modelFlags.bind(cmd)
	flags := cmd.Flags()
	enumVar(flags, &f.form.Template, "template", "form in which the model is asked (default: that of the adapters)")
	flags.StringVar(&f.system, "system", "", "system message, in place of the one trained with")
	flags.StringVar((*string)(&f.form.Date), "date", "",
		"what the model's own template shows as today, such as 2026-01-31")
	flags.StringArrayVar(&f.vars, "template-var", nil,
		"variable of the model's own template, `NAME=VALUE`; may be repeated")
	flags.StringArrayVar(&f.options.Stop, "stop", nil, "end an answer at this `TEXT`; may be repeated")
	flags.IntVar(&f.options.MaxNew, "max-new", 128, "most tokens of an answer")
	flags.Float32Var(&f.options.Sampling.Temperature, "temperature", 0.7,
		"divides the logits; 0 takes the likeliest token")
	flags.IntVar(&f.options.Sampling.TopK, "top-k", 0, "draw from the likeliest K tokens (0: all)")
	flags.Float32Var(&f.options.Sampling.TopP, "top-p", 0,
		"draw from the likeliest tokens that make up this probability (0: all)")
	flags.Float32Var(&f.options.Sampling.MinP, "min-p", 0,
		"leave out tokens less likely than this share of the likeliest (0: none)")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of everything random; the same seed gives the same answers")
}

// check refuses what can be refused before anything is loaded.
func (f *generationFlags) check(cmd *cobra.Command, a *app) error {
	if cmd.Flags().Changed("system") {
		f.form.System = &f.system
	}
	for _, v := range f.vars {
		if f.form.Vars == nil {
			f.form.Vars = data.TemplateVars{}
		}
		if err := f.form.Vars.ParseVar(v); err != nil {
			return usagef("--template-var: %v", err)
		}
	}
	s := f.options.Sampling
	switch {
	case f.options.MaxNew < 1:
		return usagef("--max-new: want at least 1, got %d", f.options.MaxNew)
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return usagef("--temperature: want 0 to 100, got %g", s.Temperature)
	case s.TopK < 0:
		return usagef("--top-k: want 0 or more, got %d", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return usagef("--top-p: want 0 to 1, got %g", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return usagef("--min-p: want 0 to 1, got %g", s.MinP)
	case len(f.adapters) > 2:
		return usagef("--adapter: text is generated with at most two adapters (the SFT adapter and a policy's), got %d",
			len(f.adapters))
	case slices.Contains(f.options.Stop, ""):
		return usagef("--stop: want a text, got an empty one")
	}
	return f.modelFlags.check(cmd.Context(), a)
}

// open loads the model and its adapters, and chooses the template: the one given, else that of the
// adapters, else the one that otherwise gives. It says where the template is from, unless that was given.
// The caller closes the workspace.
func (f *generationFlags) open(con jobs.Console, otherwise chat.Guess) (*workspace.Workspace, *chat.Assistant, error) {
	w, stack, placed, err := f.modelFlags.open(con, workspace.UsePolicy)
	if err != nil {
		return nil, nil, err
	}
	c, err := chat.ChooseForm(w.Tok, f.form, placed, otherwise)
	if err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	for _, text := range c.Warnings {
		con.Progress.Note("warning: " + text)
	}
	if c.Why != "" {
		con.Progress.Note(fmt.Sprintf("template %s (%s; --template names another)", c.Form.Template, c.Why))
	}
	a, err := chat.New(chat.ModelOf(w, stack, placed), c.Form, f.options)
	if err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	return w, a, nil
}

// tooLong names the flag in an error about a prompt that leaves no room for an answer.
func tooLong(err error) error {
	var of *chat.PromptError
	if errors.As(err, &of) {
		return &chat.PromptError{Where: of.Where, Err: tooLong(of.Err)}
	}
	var long *chat.TooLongError
	if !errors.As(err, &long) {
		return err
	}
	if long.Prompt >= long.Context {
		return fmt.Errorf("the prompt has %d tokens, the model's context holds %d, an answer (--max-new %d) among "+
			"them: %w: shorten the prompt, or take a model with a longer context",
			long.Prompt, long.Context, long.MaxNew, lm.ErrContextFull)
	}
	return fmt.Errorf("%d tokens and --max-new %d are more than the model's context of %d: %w: shorten the prompt or "+
		"lower --max-new", long.Prompt, long.MaxNew, long.Context, lm.ErrContextFull)
}
