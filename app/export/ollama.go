package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ollama "github.com/ollama/ollama/fs/ggml"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
	"steer/internal/atomicfile"
	"steer/rl/data"
)

// The files of a folder for Ollama.
const (
	modelfileName = "Modelfile"
	adapterName   = "adapter.gguf"
	modelName     = "model.gguf"
)

// OllamaOptions say how a model is put up for Ollama.
type OllamaOptions struct {
	// Form is how conversations are put before the model; what it leaves open is that of the adapters,
	// then the model's own.
	Form workspace.Form
	// Template, if it is not "", is the text of a template of Ollama's, in place of the one that is
	// made of the chat template.
	Template string
	Stop     []string // further texts that end an answer
	Parameters
	// Merge is the type of the model that adapters are merged into; "" leaves them an adapter where
	// Ollama can use one.
	Merge Type
	// From names a model of Ollama's library that the adapter is laid on, in place of a copy of the base.
	From string
}

// OllamaResult says what was made.
type OllamaResult struct {
	Files    []string
	Template data.TemplateName
	// Compared is nil where the template was given and the model has none of its own.
	Compared *Compared
	Notes    []string
}

// Ollama makes a folder that "ollama create" takes: the model with its adapters as one, and a Modelfile
// with the chat template in Ollama's language. dir must be empty or not exist, unless overwrite is set.
func (s Stack) Ollama(ctx context.Context, dir string, opt OllamaOptions) (*OllamaResult, error) {
	placed, notes, err := s.Load()
	if err != nil {
		return nil, err
	}
	for _, p := range placed {
		if p.Role() == adapter.RoleReward {
			return nil, fmt.Errorf("%s is a reward model: it scores texts, Ollama only generates them; "+
				"for llama.cpp there is \"steer adapter export --format rank\"", p.Path)
		}
	}
	r := &OllamaResult{Notes: notes}
	m, err := s.describe(placed, opt, r)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if err := s.weights(ctx, dir, placed, opt, m, r); err != nil {
		return nil, err
	}
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	// The Modelfile is last: a folder that has one is whole.
	r.Files = append(r.Files, modelfileName)
	return r, atomicfile.WriteFile(filepath.Join(dir, modelfileName), text, 0o644)
}

// describe opens the model to learn how it is asked, and fills in everything but the weights.
func (s Stack) describe(placed []adapter.Placed, opt OllamaOptions, r *OllamaResult) (m *recipe, err error) {
	w, err := workspace.OpenWith(s.Model, workspace.DefaultEngine(), ggml.ModelOptions{Decode: true, SkipCheck: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	form, formNotes, err := workspace.ChooseForm(w.Tok, opt.Form, placed, "")
	if err != nil {
		return nil, err
	}
	if form.Template == "" {
		var why string
		if form.Template, why, err = workspace.GuessTemplate(s.Model); err != nil {
			return nil, err
		}
		formNotes = append(formNotes, fmt.Sprintf("template %s (%s); --template names another", form.Template, why))
	}
	r.Notes = append(r.Notes, formNotes...)
	t, _, err := w.Template(form)
	if err != nil {
		return nil, err
	}
	r.Template = t.Name()
	m = &recipe{Parameters: opt.Parameters, system: t.System()}
	m.comments = []string{"Made by steer export ollama. Build it: ollama create NAME -f Modelfile"}
	if err := s.template(m, w, t, form, opt, r); err != nil {
		return nil, err
	}
	m.stop = distinct(append(append(t.StopStrings(), t.StopTokens()...), opt.Stop...))
	if d := t.Date(); !d.IsZero() {
		r.Notes = append(r.Notes, fmt.Sprintf("the template shows the date %s: in Ollama it stays that day, for ever",
			d.Format("2006-01-02")))
	}
	return m, nil
}

// template chooses the template in Ollama's language and compares it with the chat template.
func (s Stack) template(m *recipe, w *workspace.Workspace, t *data.Template, form workspace.Form,
	opt OllamaOptions, r *OllamaResult) error {
	// A system message of ours stands in the Modelfile, where Ollama says it first; so the template is
	// made of the one without.
	none := ""
	if m.system != "" {
		form.System = &none
	}
	bare, _, err := w.Template(form)
	if err != nil {
		return err
	}
	chat := chatBy(w.Tok, bare)
	given := opt.Template != ""
	if m.template = opt.Template; !given {
		if m.template, err = GoTemplate(chat); err != nil {
			return fmt.Errorf("template %s: %w: write one and give it with --template-file", t.Name(), err)
		}
	}
	c, err := Compare(chat, m.template)
	if err != nil {
		return err
	}
	if d, differs := c.Worst(m.system != ""); differs && !given {
		if own := named(t.Source()); own != "" {
			second, err := Compare(chat, own)
			if _, worse := second.Worst(m.system != ""); err == nil && !worse {
				m.template, c, differs = own, second, false
			}
		}
		if differs {
			return fmt.Errorf("the chat template (%s) cannot be written in Ollama's language: %s: write a template of "+
				"Ollama's and give it with --template-file, or take another with --template", t.Name(), d)
		}
	}
	r.Compared = c
	for _, d := range c.Differences {
		r.Notes = append(r.Notes, "template: "+d.String())
	}
	if len(c.Refused) > 0 {
		r.Notes = append(r.Notes, "template: the model's own refuses these, Ollama's does not: "+
			strings.Join(c.Refused, "; "))
	}
	return nil
}

// chatBy renders prompts as the text that Ollama is to make. Ollama puts BOS before the whole of it
// where the vocabulary asks for that, so that the template must not write it.
func chatBy(tok *ggml.Tokenizer, t *data.Template) Chat {
	var chat lm.Chat = tok.Chat()
	bos, eos := chat.Names["bos_token"], chat.Names["eos_token"]
	return func(messages []data.Message) (string, error) {
		segments, err := t.Prompt(messages)
		if err != nil {
			return "", err
		}
		text := data.Text(segments, bos, eos)
		if tok.AddsBOS() {
			text = strings.TrimPrefix(text, bos)
		}
		return text, nil
	}
}

// weights puts the model and what lies on it into the folder.
func (s Stack) weights(ctx context.Context, dir string, placed []adapter.Placed, opt OllamaOptions, m *recipe,
	r *OllamaResult) error {
	if len(placed) == 0 {
		return s.base(dir, opt, m, r)
	}
	one, err := s.combine(placed)
	if err != nil {
		return err
	}
	if one.HeadFrom >= 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("the %s of %s is left out: Ollama does not read it", headName(one.Head),
			placed[one.HeadFrom].Path))
		one.Head = nil
	}
	why, err := s.mustMerge()
	if err != nil {
		return err
	}
	kind := opt.Merge
	if why != "" && kind == "" {
		kind = Same
		r.Notes = append(r.Notes, why+": the adapters are merged into the model (--merge names the type of its "+
			"matrices); compare it with \"steer model merge\"")
	}
	if kind != "" {
		if opt.From != "" {
			return fmt.Errorf("--from %s: %s", opt.From, cmp.Or(why, "--merge makes a model of its own"))
		}
		_, more, err := s.mergeOne(ctx, one.Adapter, filepath.Join(dir, modelName), kind)
		if err != nil {
			return err
		}
		r.Notes = append(r.Notes, more...)
		m.from, r.Files = "./"+modelName, append(r.Files, modelName)
		m.comments = append(m.comments, fmt.Sprintf("%s is the base with %s merged into it.", modelName,
			strings.Join(s.Paths, ", ")))
		return nil
	}
	if err := one.Save(filepath.Join(dir, adapterName)); err != nil {
		return err
	}
	m.adapter, r.Files = "./"+adapterName, append(r.Files, adapterName)
	m.comments = append(m.comments, fmt.Sprintf(
		"%s is %s as one: of several ADAPTER lines Ollama keeps the last alone.", adapterName,
		strings.Join(s.Paths, ", ")))
	r.Notes = append(r.Notes, roundedNotes(one)...)
	return s.base(dir, opt, m, r)
}

// base puts the base itself into the folder, or names it.
func (s Stack) base(dir string, opt OllamaOptions, m *recipe, r *OllamaResult) error {
	if opt.From != "" {
		m.from = opt.From
		r.Notes = append(r.Notes, fmt.Sprintf("Ollama's %s has to be the very model that the adapters were trained "+
			"on: nothing checks that", opt.From))
		return nil
	}
	f, err := modelfile.Open(s.Model)
	if err != nil {
		return err
	}
	split := f.Has("split.count")
	if err := f.Close(); err != nil {
		return err
	}
	if split {
		return fmt.Errorf("%s is split into several files, which Ollama does not take: join them with llama.cpp's "+
			"llama-gguf-split --merge, or merge the adapters with --merge same", s.Model)
	}
	linked, err := linkOrCopy(s.Model, filepath.Join(dir, modelName))
	if err != nil {
		return err
	}
	m.from, r.Files = "./"+modelName, append(r.Files, modelName)
	if linked {
		r.Notes = append(r.Notes, fmt.Sprintf("%s is a hard link to %s: it takes no room of its own", modelName,
			s.Model))
	}
	return nil
}

// mustMerge says why Ollama cannot lay an adapter on the base, "" where it can.
func (s Stack) mustMerge() (string, error) {
	f, err := modelfile.Open(s.Model)
	if err != nil {
		return "", err
	}
	defer f.Close()
	arch, err := f.String("general.architecture")
	if err != nil {
		return "", err
	}
	if (ollama.KV{"general.architecture": arch}).OllamaEngineRequired() {
		return fmt.Sprintf("Ollama computes %s by an engine of its own, which takes no adapters", arch), nil
	}
	return "", nil
}

// linkOrCopy makes a file appear at a second path: by a hard link where the file system has them, else
// as a copy.
func linkOrCopy(from, to string) (linked bool, err error) {
	if from, err = filepath.EvalSymlinks(from); err != nil {
		return false, err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if os.Link(from, to) == nil {
		return true, nil
	}
	in, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer in.Close()
	out, err := atomicfile.Create(to)
	if err != nil {
		return false, err
	}
	if _, err := io.Copy(out, in); err != nil {
		return false, errors.Join(err, out.Abort())
	}
	return false, out.Commit()
}
