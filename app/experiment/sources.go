package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/internal/fetch"
	"steer/internal/hub"
	"steer/rl/data"
)

// SourcesError says of files that are not there, and that the catalogue of package fetch knows,
// what fetches them: a line for each set.
type SourcesError struct {
	// File is the experiment whose files they are: one command fetches all of them. "" if none.
	File string
	Sets []fetch.Set // each with the files that are missing, and no others
	dirs []string    // where they were looked for, by set
	rest []error     // what else is wrong
	all  []error
}

// Error implements error.
func (e *SourcesError) Error() string {
	var b strings.Builder
	b.WriteString("files that it reads are not there:")
	var commands []string
	name, command := 0, 0
	for i, s := range e.Sets {
		commands = append(commands, e.Command(i))
		name, command = max(name, len(s.Name)), max(command, len(commands[i]))
	}
	for i, s := range e.Sets {
		fmt.Fprintf(&b, "\n  %-*s  %-*s  %s", name, s.Name, command, commands[i], s.Source())
	}
	if e.File != "" {
		fmt.Fprintf(&b, "\nAll of them at once:\n  steer fetch --for %s", e.File)
	}
	for _, err := range e.rest {
		fmt.Fprintf(&b, "\n%v", err)
	}
	return b.String()
}

// Command is what fetches Sets[i] into the folder where it was looked for.
func (e *SourcesError) Command(i int) string {
	return e.Sets[i].Command() + folderFlag(e.Sets[i].Kind, e.dirs[i])
}

// Unwrap gives what it was made of.
func (e *SourcesError) Unwrap() []error { return e.all }

// folderFlag names the folder for steer fetch, where it is not the one that it takes by itself.
func folderFlag(kind fetch.Kind, dir string) string {
	flag, usual := "--data", "data"
	if kind == fetch.Model {
		flag, usual = "--models", "models"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && len(rel) < len(dir) {
			dir = rel
		}
	}
	if dir == usual {
		return ""
	}
	return " " + flag + " " + dir
}

// WithSources makes a [SourcesError] of an error that joins others, if some of them are about
// missing files of the catalogue; otherwise it is the error as it was.
func WithSources(err error) error {
	known := fetch.Known()
	e := &SourcesError{}
	for _, leaf := range leaves(err) {
		e.all = append(e.all, leaf)
		path := missingFile(leaf)
		s, f, dir, ok := known.Find(path)
		if path == "" || !ok {
			e.rest = append(e.rest, leaf)
			continue
		}
		i := -1
		for k := range e.Sets {
			if e.Sets[k].Name == s.Name && e.dirs[k] == dir {
				i = k
			}
		}
		if i < 0 {
			i = len(e.Sets)
			s.Files = nil
			e.Sets, e.dirs = append(e.Sets, s), append(e.dirs, dir)
		}
		if !slices.ContainsFunc(e.Sets[i].Files, func(g fetch.File) bool { return g.Path == f.Path }) {
			e.Sets[i].Files = append(e.Sets[i].Files, f)
		}
	}
	if len(e.Sets) == 0 {
		return err
	}
	return e
}

// leaves are the errors that an error joins.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e)...)
	}
	return out
}

// missingFile is the path of the file that an error says is not there, "" if it says no such thing.
func missingFile(err error) string {
	var notFound *data.NotFoundError
	var pathError *fs.PathError
	switch {
	case errors.As(err, &notFound):
		return notFound.Path
	case errors.As(err, &pathError) && errors.Is(err, fs.ErrNotExist):
		return pathError.Path
	}
	return ""
}

// Need is what an experiment reads of a set, and the folder it looks in.
type Need struct {
	Set fetch.Set // with the files that are needed, and no others
	Dir string
}

// Needs lists what of the catalogue the study reads, whether it is there or not, and which of
// its other files are not there. Of a suite's data it lists every file that would do.
func (s *Study) Needs() (needs []Need, rest []error) {
	known := fetch.Known()
	seen := map[string]bool{}
	add := func(path string) {
		set, f, dir, ok := known.Find(path)
		switch {
		case path == "" || seen[path] || hub.IsName(path): // see HubNames
			return
		case !ok:
			if _, err := data.Resolve(path); err != nil {
				rest = append(rest, err)
			}
		default:
			i := slices.IndexFunc(needs, func(n Need) bool { return n.Set.Name == set.Name && n.Dir == dir })
			if i < 0 {
				i = len(needs)
				set.Files = nil
				needs = append(needs, Need{set, dir})
			}
			if !slices.ContainsFunc(needs[i].Set.Files, func(g fetch.File) bool { return g.Path == f.Path }) {
				needs[i].Set.Files = append(needs[i].Set.Files, f)
			}
		}
		seen[path] = true
	}
	for _, e := range s.Runs {
		for _, f := range e.inputs() {
			add(f.path)
		}
		for _, m := range e.Eval.Missing {
			first, _, _, _ := known.Find(m.Files[0])
			for _, f := range m.Files { // a mirror may lack the first, or its source be gone
				if set, _, _, ok := known.Find(f); ok && set.Name == first.Name {
					add(filepath.Join(e.Eval.Data, filepath.FromSlash(f)))
				}
			}
		}
	}
	return needs, rest
}
