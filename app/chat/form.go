package chat

import (
	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/data"
)

// Guess gives a template for a stack that does not say its own, with why; "" is not worth a word.
type Guess func() (name data.TemplateName, why string, err error)

// Choice is the form in which a stack is asked.
type Choice struct {
	Form workspace.Form
	// Why it is this template; "" where it was given, or is not worth a word.
	Why string
	// Warnings tell where an adapter was trained in another form.
	Warnings []string
}

// ChooseForm chooses the form in which a stack is asked, lowest adapter first: what is given comes first,
// then what the adapters were trained with, then what otherwise gives, which is asked only then. tok
// knows the model's own template.
func ChooseForm(
	tok lm.Tokenizer, given workspace.Form, stack []adapter.Placed, otherwise Guess,
) (c Choice, err error) {
	named := given.Template != ""
	if c.Form, c.Warnings, err = workspace.ChooseForm(tok, given, stack, ""); err != nil {
		return c, err
	}
	c.Why = "that of the adapter"
	if c.Form.Template == "" {
		if given.Template, c.Why, err = otherwise(); err != nil {
			return c, err
		}
		if c.Form, c.Warnings, err = workspace.ChooseForm(tok, given, stack, ""); err != nil {
			return c, err
		}
	}
	if named {
		c.Why = ""
	}
	return c, nil
}
