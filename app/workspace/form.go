package workspace

import (
	"fmt"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/rl/data"
)

// Form is a template and its system message; nil is the template's own.
type Form struct {
	Template data.TemplateName
	System   *string
}

// open gives the template.
func (f Form) open() (*data.Template, error) { return data.NewTemplate(f.Template, f.System) }

// ChooseForm gives the form in which a stack is asked, lowest adapter first. What is given
// comes first, then what the topmost adapter that knows its template was trained with, then
// otherwise, which may be "" for none. notes say where an adapter was trained in another form than it is used in.
func ChooseForm(given Form, stack []adapter.Placed, otherwise data.TemplateName) (f Form, notes []string, err error) {
	f = given
	for i := len(stack) - 1; i >= 0; i-- {
		name, system := stack[i].Template()
		if name == "" {
			continue
		}
		if f.Template == "" {
			f.Template = data.TemplateName(name)
		}
		// The stored message is left out where it is the template's own.
		if f.System == nil && f.Template == data.TemplateName(name) && system != nil &&
			*system != defaultSystem(f.Template) {
			f.System = system
		}
		break
	}
	if f.Template == "" {
		f.Template = otherwise
	}
	if f.Template == "" {
		return f, nil, nil
	}
	used, err := f.open()
	if err != nil {
		return f, nil, err
	}
	for _, p := range stack {
		if note := otherForm(p, used); note != "" {
			notes = append(notes, note)
		}
	}
	return f, notes, nil
}

// GuessTemplate chooses the template that the chat template of a GGUF model resembles, and says why.
func GuessTemplate(model string) (name data.TemplateName, why string, err error) {
	f, err := modelfile.Open(model)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	chat, _ := f.String("tokenizer.chat_template") // "" where there is none
	switch {
	case strings.Contains(chat, "<|im_start|>"):
		return data.TemplateChatML, "as the model's own", nil
	case strings.Contains(chat, "[INST]"):
		return data.TemplateLlama2, "as the model's own", nil
	case chat != "":
		return data.TemplateGuanaco, "the model's own is not known", nil
	}
	return data.TemplateGuanaco, "the model has none", nil
}

// otherForm says that an adapter was trained with another template or system message than
// the one it is used with, "" if it was not, or does not say.
func otherForm(p adapter.Placed, used *data.Template) string {
	name, system := p.Template()
	if name == "" {
		return ""
	}
	if name != string(used.Name()) {
		return fmt.Sprintf("adapter %s was trained with template %s, used with %s: what it learned in the one may "+
			"not hold in the other",
			p.Path, name, used.Name())
	}
	was := defaultSystem(used.Name())
	if system != nil {
		was = *system
	}
	if was != used.System() {
		return fmt.Sprintf("adapter %s was trained with system message %.60q, used with %.60q", p.Path, was,
			used.System())
	}
	return ""
}

// NoteForm warns of adapters that were trained in another form than they are used in.
func (w *Workspace) NoteForm(used *data.Template, stack ...adapter.Placed) {
	for _, p := range stack {
		if note := otherForm(p, used); note != "" {
			w.warnOnce(note)
		}
	}
}

// defaultSystem is the system message that a template brings itself.
func defaultSystem(name data.TemplateName) string {
	t, err := data.NewTemplate(name, nil)
	if err != nil {
		return ""
	}
	return t.System()
}

// FormMeta is what an adapter trained on conversations in this form says of it.
func FormMeta(t *data.Template) map[string]string {
	return map[string]string{adapter.MetaTemplate: string(t.Name()), adapter.MetaSystem: t.System()}
}

// FillForm completes a job's template from what its adapters say, before they are loaded.
// Adapters that cannot be read are left for the loading to complain of.
func FillForm(name *data.TemplateName, system **string, paths []string, otherwise data.TemplateName) error {
	var stack []adapter.Placed
	for _, p := range paths {
		if meta, err := adapter.ReadMeta(p); err == nil {
			stack = append(stack, adapter.Placed{Path: p, Adapter: &adapter.Adapter{Meta: meta}})
		}
	}
	f, _, err := ChooseForm(Form{*name, *system}, stack, otherwise)
	*name, *system = f.Template, f.System
	return err
}
