package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
	"steer/internal/jobs"
	"steer/internal/workspace"
	"steer/rl/data"
	"steer/rl/train"
)

// decodeFlags are the flags of the commands that generate text.
type decodeFlags struct {
	modelFlags
	template    data.TemplateName
	system      string
	date        data.Date
	systemGiven bool
	stop        []string
	maxNew      int
	sampling    lm.Sampling
	seed        uint64
}

func (f *decodeFlags) bind(cmd *cobra.Command) {
	f.modelFlags.bind(cmd)
	flags := cmd.Flags()
	enumVar(flags, &f.template, "template", "form in which the model is asked (default: that of the adapters)")
	flags.StringVar(&f.system, "system", "", "system message, in place of the one trained with")
	flags.StringVar((*string)(&f.date), "date", "", "what the model's own template shows as today, such as 2026-01-31")
	flags.StringArrayVar(&f.stop, "stop", nil, "end an answer at this `TEXT`; may be repeated")
	flags.IntVar(&f.maxNew, "max-new", 128, "most tokens of an answer")
	flags.Float32Var(&f.sampling.Temperature, "temperature", 0.7, "divides the logits; 0 takes the likeliest token")
	flags.IntVar(&f.sampling.TopK, "top-k", 0, "draw from the likeliest K tokens (0: all)")
	flags.Float32Var(&f.sampling.TopP, "top-p", 0, "draw from the likeliest tokens that make up this probability (0: all)")
	flags.Float32Var(&f.sampling.MinP, "min-p", 0, "leave out tokens less likely than this share of the likeliest (0: none)")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of everything random; the same seed gives the same answers")
}

// check refuses what can be refused before anything is loaded.
func (f *decodeFlags) check(cmd *cobra.Command) error {
	f.systemGiven = cmd.Flags().Changed("system")
	s := f.sampling
	switch {
	case f.maxNew < 1:
		return usagef("--max-new: want at least 1, got %d", f.maxNew)
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return usagef("--temperature: want 0 to 100, got %g", s.Temperature)
	case s.TopK < 0:
		return usagef("--top-k: want 0 or more, got %d", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return usagef("--top-p: want 0 to 1, got %g", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return usagef("--min-p: want 0 to 1, got %g", s.MinP)
	case len(f.adapters) > 2:
		return usagef("--adapter: text is generated with at most two adapters (the SFT adapter and a policy's), got %d", len(f.adapters))
	case slices.Contains(f.stop, ""):
		return usagef("--stop: want a text, got an empty one")
	}
	return f.modelFlags.check()
}

// speaker renders prompts for a model and reads its answers.
type speaker struct {
	f           *decodeFlags
	tok         lm.Tokenizer
	template    *data.Template
	form        workspace.Form
	stack       []adapter.Placed
	context     int // tokens of the model
	stopTokens  []int32
	stopStrings []string
	generator   lm.Generator
}

// guess is a template for a stack that does not say its own, with why; "" is not worth a word.
type guess func() (name data.TemplateName, why string, err error)

// openSpeaker loads the model and its adapters and chooses the template: the one given, else
// that of the adapters, else the one that otherwise gives, with why. The caller closes the bench.
func (f *decodeFlags) openSpeaker(con jobs.Console, otherwise guess) (*workspace.Workspace, *speaker, error) {
	f.speaks = true
	b, stack, err := f.open(con)
	if err != nil {
		return nil, nil, err
	}
	s := &speaker{
		f: f, tok: b.Tok, stack: f.placed(stack), context: b.Model.Info().CtxTrain, generator: b.Generator(stack...),
	}
	if err := s.choose(con.Progress, otherwise); err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	if err := s.setForm(b, s.form); err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, s, nil
}

// choose decides on the form and says where it is from, unless it was given.
func (s *speaker) choose(p train.Progress, otherwise guess) error {
	given := workspace.Form{Template: s.f.template, Date: s.f.date}
	if s.f.systemGiven {
		given.System = &s.f.system
	}
	form, notes, err := workspace.ChooseForm(s.tok, given, s.stack, "")
	if err != nil {
		return err
	}
	why := "that of the adapter"
	if form.Template == "" {
		if given.Template, why, err = otherwise(); err != nil {
			return err
		}
		if form, notes, err = workspace.ChooseForm(s.tok, given, s.stack, ""); err != nil {
			return err
		}
	}
	for _, n := range notes {
		p.Note("warning: " + n)
	}
	if s.form = form; s.f.template == "" && why != "" {
		p.Note(fmt.Sprintf("template %s (%s; --template names another)", form.Template, why))
	}
	return nil
}

// setForm makes the speaker ask in a form.
func (s *speaker) setForm(b *workspace.Workspace, form workspace.Form) error {
	template, stop, err := b.Template(form)
	if err != nil {
		return err
	}
	s.form, s.template, s.stopTokens = form, template, stop
	s.stopStrings = append(template.StopStrings(), s.f.stop...)
	return nil
}

// prompt gives the tokens of a conversation up to where the answer begins.
func (s *speaker) prompt(messages []data.Message) ([]int32, error) {
	segments, err := s.template.Prompt(messages)
	if err != nil {
		return nil, err
	}
	if s.template.Name() == data.TemplatePlain {
		for i := range segments {
			segments[i].Special = true // what is typed as a raw prompt may spell special tokens
		}
	}
	x, err := data.Tokenize(s.tok, segments, data.TokenizeOptions{})
	if err == nil && len(x.IDs) == 0 {
		err = errors.New("the prompt has no token: write something")
	}
	return x.IDs, err
}

// fits is an error if prompt and answer are longer than the context.
func (s *speaker) fits(prompt []int32) error {
	if len(prompt) >= s.context {
		return fmt.Errorf("the prompt has %d tokens, the model's context holds %d, an answer (--max-new %d) among them: %w: "+
			"shorten the prompt, or take a model with a longer context", len(prompt), s.context, s.f.maxNew, lm.ErrContextFull)
	}
	if n := len(prompt) + s.f.maxNew; n > s.context {
		return fmt.Errorf("%d tokens and --max-new %d are more than the model's context of %d: %w: shorten the prompt or lower --max-new",
			len(prompt), s.f.maxNew, s.context, lm.ErrContextFull)
	}
	return nil
}

// request asks for one answer.
func (s *speaker) request(prompt []int32, seed uint64) lm.Request {
	return lm.Request{Prompt: prompt, MaxNew: s.f.maxNew, Seed: seed, StopTokens: s.stopTokens, StopStrings: s.stopStrings}
}

// text is an answer as people read it: without the token or text that ended it and,
// but for the plain template, without the blanks of the template around it.
func (s *speaker) text(g lm.Generation) string {
	text := s.tok.Decode(g.Tokens, false)
	if g.Finish == lm.FinishStopString {
		end := len(text)
		for _, stop := range s.stopStrings {
			if i := strings.Index(text, stop); i >= 0 {
				end = min(end, i)
			}
		}
		text = text[:end]
	}
	if s.template.Name() != data.TemplatePlain {
		text = strings.TrimSpace(text)
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// guessTemplate chooses the chat template of a GGUF model or, where it cannot be read, the one that
// it resembles.
func guessTemplate(model string) (name data.TemplateName, why string, err error) {
	f, err := modelfile.Open(model)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	chat := ggufText(f, "tokenizer.chat_template")
	if chat == "" {
		return data.TemplateGuanaco, "the model has none", nil
	}
	if _, err = data.NewOwnTemplate(lm.Chat{Template: chat}, nil, time.Time{}); err == nil {
		return data.TemplateModel, "the model's own", nil
	}
	why = fmt.Sprintf("the model's own cannot be read: %v", errors.Unwrap(err))
	switch {
	case strings.Contains(chat, "<|im_start|>"):
		return data.TemplateChatML, why, nil
	case strings.Contains(chat, "[INST]"):
		return data.TemplateLlama2, why, nil
	}
	return data.TemplateGuanaco, why, nil
}
