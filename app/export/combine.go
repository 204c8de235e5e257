package export

import (
	"fmt"
	"os"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
)

// Stack is what is exported: adapters of one base, lowest first.
type Stack struct {
	// Model is the base, a GGUF file; "" where no adapter is a PEFT folder and nothing needs it.
	Model string
	Paths []string
	// Scales multiply what the adapters add; nil: 1 each.
	Scales []float32
	// Any allows a stack in which an adapter lies on others than it was trained on.
	Any    bool
	Hashes *filehash.Cache
	// alone: the one adapter is converted by itself, whatever it lies on.
	alone bool
}

// Load reads the adapters of a stack and checks that they belong together. notes are sentences that
// the user has to see.
func (s Stack) Load() (placed []adapter.Placed, notes []string, err error) {
	if len(s.Scales) > 0 && len(s.Scales) != len(s.Paths) {
		return nil, nil, fmt.Errorf("%d scales for %d adapters: want one for each, in their order", len(s.Scales),
			len(s.Paths))
	}
	var shape adapter.Shape
	if s.Model != "" {
		if shape, err = modelfile.Shape(s.Model); err != nil {
			return nil, nil, err
		}
	}
	for _, path := range s.Paths {
		var a *adapter.Adapter
		if s.Model != "" {
			a, err = adapter.LoadFor(path, shape)
		} else {
			a, err = adapter.Load(path)
		}
		if err != nil {
			return nil, nil, err
		}
		for _, n := range a.Notices {
			notes = append(notes, path+": "+n)
		}
		placed = append(placed, adapter.Placed{Path: path, Adapter: a, Content: a.ContentSHA256()})
	}
	more, err := s.check(placed)
	return placed, append(notes, more...), err
}

// check compares the adapters with each other and with the base.
func (s Stack) check(placed []adapter.Placed) (notes []string, err error) {
	unknown, err := adapter.CheckStack(placed)
	switch {
	case err != nil && s.alone:
		notes = append(notes, fmt.Sprintf("%s was trained on other adapters (%s): it means something on these alone; "+
			"name them before it to have all joined into one", placed[0].Path, placed[0].Meta[adapter.MetaTrainedOn]))
	case err != nil && s.Any:
		notes = append(notes, err.Error()+" (allowed by --any-stack)")
	case err != nil:
		return nil, fmt.Errorf("%w; to join them all the same, and be told so: --any-stack", err)
	}
	if len(unknown) > 0 && len(placed) > 1 {
		notes = append(notes, strings.Join(unknown, ", ")+": not said on which adapters this was trained, so that "+
			"the stack cannot be checked")
	}
	have := ""
	if s.Model != "" {
		if have, err = s.Hashes.Sum(s.Model); err != nil {
			return nil, err
		}
	}
	bases := map[string]string{}
	for _, p := range placed {
		base := p.Meta[adapter.MetaBase]
		if base == "" {
			continue
		}
		if have != "" && base != have {
			notes = append(notes, fmt.Sprintf("%s was trained on another file than %s (SHA-256 %.12s there, "+
				"%.12s here)", p.Path, s.Model, base, have))
		}
		bases[base] = p.Path
	}
	if have == "" && len(bases) > 1 {
		var paths []string
		for _, p := range placed {
			if base := p.Meta[adapter.MetaBase]; base != "" {
				paths = append(paths, fmt.Sprintf("%s (base SHA-256 %.12s)", p.Path, base))
			}
		}
		text := "the adapters were trained on different files of a base: " + strings.Join(paths, ", ")
		if !s.Any {
			return nil, fmt.Errorf("%s: %w: name the base that they are used on with --model, or allow it with "+
				"--any-stack", text, adapter.ErrMismatch)
		}
		notes = append(notes, text+" (allowed by --any-stack)")
	}
	return notes, nil
}

// scale is what adapter i is multiplied by.
func (s Stack) scale(i int) float32 {
	if len(s.Scales) == 0 {
		return 1
	}
	return s.Scales[i]
}

// Combine joins the adapters of a stack into one.
func (s Stack) Combine() (*adapter.Combined, []string, error) {
	placed, notes, err := s.Load()
	if err != nil {
		return nil, nil, err
	}
	c, err := s.combine(placed)
	if err != nil {
		return nil, nil, err
	}
	return c, append(notes, combineNotes(c, placed)...), nil
}

func (s Stack) combine(placed []adapter.Placed) (*adapter.Combined, error) {
	parts := make([]adapter.Part, len(placed))
	files := make([]string, len(placed))
	for i, p := range placed {
		parts[i] = adapter.Part{Adapter: p.Adapter, Scale: s.scale(i)}
		files[i] = "-"
		if st, err := os.Stat(p.Path); err == nil && !st.IsDir() {
			if files[i], err = s.Hashes.Sum(p.Path); err != nil {
				return nil, err
			}
		}
	}
	c, err := adapter.Combine(parts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(s.Paths, ", "), err)
	}
	c.Meta[adapter.MetaCombinedFiles] = strings.Join(files, " ")
	return c, nil
}

// combineNotes says what is not as it was in the adapters: the heads and what was rounded.
func combineNotes(c *adapter.Combined, placed []adapter.Placed) (notes []string) {
	if c.HeadFrom >= 0 {
		notes = append(notes, fmt.Sprintf("the %s of %s is kept: steer reads it, llama.cpp and Ollama do not",
			headName(c.Head), placed[c.HeadFrom].Path))
	}
	for _, i := range c.Dropped {
		notes = append(notes, fmt.Sprintf("the %s of %s is left out: one adapter has one head, the topmost's",
			headName(placed[i].Head), placed[i].Path))
	}
	return append(notes, roundedNotes(c)...)
}

func roundedNotes(c *adapter.Combined) []string {
	if c.Rounded == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d values of B carry a scale that is no power of two and were rounded to "+
		"float32 once, by at most one part in 16.8 million of themselves; all other values are as they were",
		c.Rounded)}
}

// headName says what a head is.
func headName(h *adapter.Head) string {
	if h.HasBias {
		return "value head"
	}
	return "score head"
}
