package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/ggml/gguf"
)

// readTemplates finds the chat template where transformers finds it: chat_template.jinja, with those of
// additional_chat_templates/, before "chat_template" of tokenizer_config.json, before chat_template.json.
func (t *Tokenizer) readTemplates(f *files) error {
	fromFile, err := t.readTemplateFiles(f)
	if err != nil {
		return err
	}
	raw := f.config["chat_template"]
	from := f.path("tokenizer_config.json")
	if raw == nil {
		var c configJSON
		from = f.path("chat_template.json")
		if err := readJSON(from, &c); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		raw = c["chat_template"]
	}
	if raw == nil || string(raw) == "null" {
		return nil
	}
	def, named, err := templatesOf(raw)
	if err != nil {
		return fmt.Errorf("%s: chat_template: %w", from, err)
	}
	if fromFile {
		if def != t.Template {
			t.notice("%s has another chat template than chat_template.jinja: the latter is taken, as transformers does",
				filepath.Base(from))
		}
		return nil
	}
	t.Template, t.Named = def, named
	return nil
}

// readTemplateFiles reads templates that are files of their own, and tells whether there is one.
func (t *Tokenizer) readTemplateFiles(f *files) (bool, error) {
	raw, err := os.ReadFile(f.path("chat_template.jinja"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.Template = string(raw)
	more, err := filepath.Glob(filepath.Join(f.path("additional_chat_templates"), "*.jinja"))
	if err != nil {
		return false, err
	}
	for _, path := range more {
		raw, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		t.Named[safeName(strings.TrimSuffix(filepath.Base(path), ".jinja"))] = string(raw)
	}
	return true, nil
}

// templatesOf reads a template, or a list of templates with names, of which "default" is the one.
func templatesOf(raw json.RawMessage) (def string, named map[string]string, err error) {
	if json.Unmarshal(raw, &def) == nil {
		return def, nil, nil
	}
	var list []struct {
		Name     string  `json:"name"`
		Template *string `json:"template"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return "", nil, errors.New("want a text or a list of objects with name and template")
	}
	named = map[string]string{}
	for i, e := range list {
		switch {
		case e.Name == "" || e.Template == nil:
			return "", nil, fmt.Errorf("entry %d: want name and template", i)
		case e.Name == "default":
			def = *e.Template
		default:
			named[safeName(e.Name)] = *e.Template
		}
	}
	return def, named, nil
}

// safeName is a template's name as a part of a metadata key.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

func (t *Tokenizer) writeTemplates(w *gguf.Writer) {
	var names []string
	for name := range t.Named {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w.SetString("tokenizer.chat_template."+name, t.Named[name])
	}
	if len(names) > 0 {
		w.SetStrings("tokenizer.chat_templates", names)
	}
	if t.Template != "" {
		w.SetString("tokenizer.chat_template", t.Template)
	}
}
