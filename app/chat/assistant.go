package chat

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/data"
)

// Model is what answers.
type Model struct {
	Tokenizer lm.Tokenizer
	Generator lm.Generator
	// Template opens a template and gives the token ids that end its answers.
	Template func(workspace.Form) (*data.Template, []int32, error)
	Context  int              // tokens that it holds, prompt and answer
	Stack    []adapter.Placed // on it, lowest first
	AtOnce   int              // answers that it makes at the same time
}

// ModelOf is the model of a workspace with a stack that it has loaded, lowest adapter first.
func ModelOf(w *workspace.Workspace, stack []*ggml.Adapter, placed []adapter.Placed) Model {
	return Model{
		Tokenizer: w.Tok, Generator: w.Generator(stack...), Template: w.Template,
		Context: w.Model.Info().CtxTrain, Stack: placed, AtOnce: w.Engine.Sequences,
	}
}

// Options say how answers are made.
type Options struct {
	MaxNew   int      // most tokens of an answer
	Stop     []string // texts that end an answer, beside those of the template
	Sampling lm.Sampling
}

// Assistant renders prompts for a model and reads its answers. It belongs to one goroutine.
type Assistant struct {
	model       Model
	opt         Options
	form        workspace.Form
	template    *data.Template
	stopTokens  []int32
	stopStrings []string
}

// New makes an assistant that is asked in a form.
func New(m Model, form workspace.Form, opt Options) (*Assistant, error) {
	a := &Assistant{model: m, opt: opt}
	if err := a.SetForm(form); err != nil {
		return nil, err
	}
	return a, nil
}

// SetForm has the assistant asked in another form from now on; after an error it is as it was.
func (a *Assistant) SetForm(form workspace.Form) error {
	template, stop, err := a.model.Template(form)
	if err != nil {
		return err
	}
	a.form, a.template, a.stopTokens = form, template, stop
	a.stopStrings = append(template.StopStrings(), a.opt.Stop...)
	return nil
}

// Form is the form in which it is asked, and Template that form opened.
func (a *Assistant) Form() workspace.Form { return a.form }

// Template is the open template of Form.
func (a *Assistant) Template() *data.Template { return a.template }

// Stack is what lies on the model, lowest adapter first.
func (a *Assistant) Stack() []adapter.Placed { return a.model.Stack }

// TooLongError says that prompt and answer are longer than the context, in tokens.
type TooLongError struct{ Prompt, MaxNew, Context int }

// Error implements error.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("%d tokens and an answer of up to %d are more than the model's context of %d: %v",
		e.Prompt, e.MaxNew, e.Context, lm.ErrContextFull)
}

// Unwrap makes it an [lm.ErrContextFull].
func (e *TooLongError) Unwrap() error { return lm.ErrContextFull }

// Prompt gives the tokens of a conversation up to where the answer begins. One that leaves no room for
// an answer is a *[TooLongError].
func (a *Assistant) Prompt(messages []data.Message) ([]int32, error) {
	segments, err := a.template.Prompt(messages)
	if err != nil {
		return nil, err
	}
	if a.template.Name() == data.TemplatePlain {
		for i := range segments {
			segments[i].Special = true // what is typed as a raw prompt may spell special tokens
		}
	}
	x, err := data.Tokenize(a.model.Tokenizer, segments, data.TokenizeOptions{})
	switch {
	case err != nil:
		return nil, err
	case len(x.IDs) == 0:
		return nil, errors.New("the prompt has no token: write something")
	case len(x.IDs)+a.opt.MaxNew > a.model.Context:
		return nil, &TooLongError{Prompt: len(x.IDs), MaxNew: a.opt.MaxNew, Context: a.model.Context}
	}
	return x.IDs, nil
}

// request asks for one answer.
func (a *Assistant) request(prompt []int32, seed uint64) lm.Request {
	return lm.Request{
		Prompt: prompt, MaxNew: a.opt.MaxNew, Seed: seed, StopTokens: a.stopTokens, StopStrings: a.stopStrings,
	}
}

// Requests ask for n answers to each prompt, those of one prompt together. Each has a seed of its own
// that only its place and the given seed determine. Errors are of type *[PromptError].
func (a *Assistant) Requests(prompts []Prompt, n int, base uint64) ([]lm.Request, error) {
	var reqs []lm.Request
	for i, p := range prompts {
		ids, err := a.Prompt(p.Messages)
		if err != nil {
			return nil, &PromptError{p.Where, err}
		}
		for j := range n {
			reqs = append(reqs, a.request(ids, seed.Derive(base, "generate", uint64(i), uint64(j))))
		}
	}
	return reqs, nil
}

// Answers makes the answers to requests, in order; an error ends them.
func (a *Assistant) Answers(ctx context.Context, reqs []lm.Request) iter.Seq2[lm.Generation, error] {
	// Some more than are decoded at once, so that a slot that becomes free is filled again, and
	// results appear as they come.
	chunk := 4 * a.model.AtOnce
	return func(yield func(lm.Generation, error) bool) {
		for done := 0; done < len(reqs); done += chunk {
			out, err := a.model.Generator.Generate(ctx, reqs[done:min(done+chunk, len(reqs))], a.opt.Sampling)
			if err != nil {
				yield(lm.Generation{}, err)
				return
			}
			for _, g := range out {
				if !yield(g, nil) {
					return
				}
			}
		}
	}
}

// Stream makes the answer to a request and hands its text, without the line ends at its end, to show
// as it comes. Only what no further token changes is shown: no part of a character or of a stop string.
func (a *Assistant) Stream(ctx context.Context, req lm.Request, show func(text string) error) error {
	s := a.stream(show)
	req.OnToken = s.token
	got, err := a.model.Generator.Generate(ctx, []lm.Request{req}, a.opt.Sampling)
	if err != nil {
		return err
	}
	return s.end(strings.TrimRight(a.Text(got[0]), "\n"))
}

// Text is an answer as people read it: without the token or text that ended it and,
// but for the plain template, without the blanks of the template around it.
func (a *Assistant) Text(g lm.Generation) string {
	text := a.model.Tokenizer.Decode(g.Tokens, false)
	if g.Finish == lm.FinishStopString {
		end := len(text)
		for _, stop := range a.stopStrings {
			if i := strings.Index(text, stop); i >= 0 {
				end = min(end, i)
			}
		}
		text = text[:end]
	}
	if a.template.Name() != data.TemplatePlain {
		text = strings.TrimSpace(text)
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
