package workspace

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
	"steer/rl/data"
)

// Form is how conversations are put before a model.
type Form struct {
	Template data.TemplateName
	// System is said first where a conversation brings no system message; nil is the template's own.
	System *string
	// Date is what a model's own template shows as today; "" leaves that to the template.
	Date data.Date
	// Vars are variables of a model's own template.
	Vars data.TemplateVars
}

// ChooseForm gives the form in which a stack is asked, lowest adapter first. What is given
// comes first, then what the topmost adapter that knows its template was trained with, then
// otherwise, which may be "" for none. notes say where an adapter was trained in another form than it
// is used in; for them tok, which may be nil, knows the model's own template.
func ChooseForm(
	tok lm.Tokenizer, given Form, stack []adapter.Placed, otherwise data.TemplateName,
) (f Form, notes []string, err error) {
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
		if f.Template == data.TemplateModel && name == string(f.Template) && f.Date == "" {
			f.Date = data.Date(stack[i].Meta[adapter.MetaDate])
		}
		if f.Template == data.TemplateModel && name == string(f.Template) && f.Vars == nil {
			if f.Vars, err = data.ParseTemplateVars(stack[i].Meta[adapter.MetaTemplateVars]); err != nil {
				return f, nil, fmt.Errorf("adapter %s: %s: %w", stack[i].Path, adapter.MetaTemplateVars, err)
			}
		}
		break
	}
	if f.Template == "" {
		f.Template = otherwise
	}
	if f.Template == "" || f.Template == data.TemplateModel && tok == nil {
		return f, nil, nil
	}
	used, err := data.OpenTemplate(tok, f.Template, f.System, f.Date, f.Vars)
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

// GuessTemplate chooses the chat template of a GGUF model or, where it cannot be read, the one that it
// resembles, and says why.
func GuessTemplate(model string) (name data.TemplateName, why string, err error) {
	f, err := modelfile.Open(model)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	chat, _ := f.String("tokenizer.chat_template") // "" where there is none
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
	if text := p.Meta[adapter.MetaTemplateText]; used.SHA256() != "" && text != "" && text != used.Source() {
		return fmt.Sprintf("adapter %s was trained with another model's chat template (SHA-256 %.12s) than this "+
			"model's file holds (%.12s): what it learned in the one may not hold in the other",
			p.Path, sumOf(text), used.SHA256())
	}
	was := defaultSystem(used.Name())
	if system != nil {
		was = *system
	}
	if was != used.System() {
		return fmt.Sprintf("adapter %s was trained with system message %.60q, used with %.60q", p.Path, was,
			used.System())
	}
	if d := p.Meta[adapter.MetaDate]; d != "" && d != dateText(used) {
		return fmt.Sprintf("adapter %s was trained with the date %s, used with %q", p.Path, d, dateText(used))
	}
	if v := p.Meta[adapter.MetaTemplateVars]; used.SHA256() != "" && v != used.Vars().Text() {
		return fmt.Sprintf("adapter %s was trained with the template variables %s, used with %s", p.Path,
			cmp.Or(v, "{}"), cmp.Or(used.Vars().Text(), "{}"))
	}
	return ""
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// NoteForm warns of adapters that were trained in another form than they are used in.
func (w *Workspace) NoteForm(used *data.Template, stack ...adapter.Placed) {
	for _, p := range stack {
		if note := otherForm(p, used); note != "" {
			w.warnOnce(note)
		}
	}
}

// defaultSystem is the system message that a template brings itself; what a model's own says is not
// known here.
func defaultSystem(name data.TemplateName) string {
	t, err := data.NewTemplate(name, nil)
	if err != nil {
		return ""
	}
	return t.System()
}

// dateText is the date of a template as configurations write it, "" for none.
func dateText(t *data.Template) string {
	if t.Date().IsZero() {
		return ""
	}
	return t.Date().Format("2006-01-02T15:04:05")
}

// FormMeta is what an adapter trained on conversations in this form says of it.
func FormMeta(t *data.Template) map[string]string {
	m := map[string]string{adapter.MetaTemplate: string(t.Name()), adapter.MetaSystem: t.System()}
	for k, v := range OwnMeta(t) {
		m[k] = v
	}
	return m
}

// OwnMeta is what an adapter of any role says of a model's own template, nothing of others.
func OwnMeta(t *data.Template) map[string]string {
	m := map[string]string{}
	if t.Source() != "" {
		m[adapter.MetaTemplateText] = t.Source()
	}
	if d := dateText(t); d != "" {
		m[adapter.MetaDate] = d
	}
	if v := t.Vars().Text(); v != "" {
		m[adapter.MetaTemplateVars] = v
	}
	return m
}

// Meta is FormMeta of a form whose template is opened, or, before it is, as much as the form tells.
func (f Form) Meta(opened *data.Template) map[string]string {
	if opened != nil {
		return FormMeta(opened)
	}
	if t, err := data.NewTemplate(f.Template, f.System); err == nil {
		return FormMeta(t)
	}
	m := map[string]string{}
	if f.Template == data.TemplateModel {
		m[adapter.MetaTemplate], m[adapter.MetaSystem] = string(f.Template), ""
		if f.System != nil {
			m[adapter.MetaSystem] = *f.System
		}
	}
	return m
}

// OwnOr is the template of a model that nothing else is said of: its own, or chatml where its file
// brings none.
func OwnOr(model string) data.TemplateName {
	f, err := modelfile.Open(model)
	if err != nil {
		return data.TemplateChatML // loading complains
	}
	defer f.Close()
	if modelfile.HasTemplate(f) {
		return data.TemplateModel
	}
	return data.TemplateChatML
}

// FillForm completes a job's form from what its adapters say, before they are loaded, or from the
// model. Adapters that cannot be read are left for the loading to complain of.
func FillForm(
	model string, name *data.TemplateName, system **string, date *data.Date, vars *data.TemplateVars, paths []string,
) error {
	var stack []adapter.Placed
	for _, p := range paths {
		if meta, err := adapter.ReadMeta(p); err == nil {
			stack = append(stack, adapter.Placed{Path: p, Adapter: &adapter.Adapter{Meta: meta}})
		}
	}
	f, _, err := ChooseForm(nil, Form{*name, *system, *date, *vars}, stack, "")
	if f.Template == "" {
		f.Template = OwnOr(model)
	}
	*name, *system, *date, *vars = f.Template, f.System, f.Date, f.Vars
	return err
}
