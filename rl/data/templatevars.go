package data

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"steer/internal/nearest"
	"steer/internal/strictjson"
)

// TemplateVars are variables of a model's own chat template, such as enable_thinking: names to values, each as
// it is written, JSON (false, 3, "a text") or else a text.
type TemplateVars map[string]string

// givenVars are set by whoever renders.
var givenVars = []string{"messages", "add_generation_prompt", "tools", "documents"}

// Values gives the values as templates take them.
func (v TemplateVars) Values() (map[string]any, error) {
	out := make(map[string]any, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		text := v[name]
		out[name] = text
		if strictjson.Check([]byte(text)) != nil {
			continue
		}
		value, err := strictjson.Value([]byte(text), func(number string) (any, error) {
			return nil, fmt.Errorf("the number %s is too large", number)
		})
		if err != nil {
			return nil, fmt.Errorf("template_vars.%s: %w", name, err)
		}
		out[name] = value
	}
	return out, nil
}

// Text writes the variables as metadata keep them: one JSON object of their texts, "" for none.
func (v TemplateVars) Text() string {
	if len(v) == 0 {
		return ""
	}
	text, err := json.Marshal(map[string]string(v), json.Deterministic(true))
	if err != nil { // texts that are not UTF-8: YAML and command lines have none
		return fmt.Sprintf("%q", v)
	}
	return string(text)
}

// ParseTemplateVars reads what Text writes.
func ParseTemplateVars(text string) (TemplateVars, error) {
	if text == "" {
		return nil, nil
	}
	var v TemplateVars
	if err := strictjson.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("data: template variables: %w", err)
	}
	return v, nil
}

// templateWord is a name in a template.
var templateWord = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// check refuses names that are not the user's to set, and those that the template does not mention.
func (v TemplateVars) check(source string, special map[string]string) error {
	words := templateWord.FindAllString(source, -1)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		_, isSpecial := special[name]
		switch {
		case slices.Contains(givenVars, name):
			return fmt.Errorf("template_vars.%s: it is set by whoever renders: leave it out", name)
		case isSpecial:
			return fmt.Errorf("template_vars.%s: it is a special token of the model: leave it out", name)
		case !slices.Contains(words, name):
			hint := ""
			if near, ok := nearest.Word(name, words); ok {
				hint = fmt.Sprintf(": did you mean %q?", near)
			}
			return fmt.Errorf("template_vars.%s: the model's chat template does not mention it%s", name, hint)
		}
	}
	return nil
}

// WithVars is a model's own template with variables of its own; the other templates have none.
func (t *Template) WithVars(v TemplateVars) (*Template, error) {
	if len(v) == 0 {
		return t, nil
	}
	if t.own == nil {
		return nil, fmt.Errorf("data: template_vars: template %s has no variables: leave them out, or set template: %s",
			t.name, TemplateModel)
	}
	if err := v.check(t.own.chat.Template, t.own.chat.Names); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	values, err := v.Values()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	own, err := newOwn(t.own.chat, t.own.date, values)
	if err != nil {
		return nil, fmt.Errorf("data: template %s: %w", t.name, err)
	}
	out := *t
	out.own, out.vars = own, v
	return &out, nil
}

// Vars are the variables of a model's own template that are set.
func (t *Template) Vars() TemplateVars { return t.vars }

// ParseVar reads NAME=VALUE into variables.
func (v TemplateVars) ParseVar(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("want NAME=VALUE, got %q", text)
	}
	v[name] = value
	return nil
}
