package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"steer/internal/bytesize"
	"steer/internal/fetch"
	"steer/internal/hub"
	"steer/rl/run"
)

// Finder turns names into paths.
type Finder struct {
	Hub *hub.Client
	// NoFetch is why nothing is fetched, such as "--dry-run"; "" if what is missing is.
	NoFetch string
	// Note is told what a name was found to be, and what is fetched.
	Note func(string)

	found map[key]found // what was found already: one name is one file for as long as the program runs
}

type key struct {
	kind   Kind
	name   string
	pinned run.Source
}

type found struct {
	path   string
	source *run.Source
}

// Find gives the path that a name means. For a path it is the path itself, and source is nil. What a
// run was pinned to, if it names the same, decides which commit and file it is; nil: nothing is.
func (f *Finder) Find(
	ctx context.Context, kind Kind, name string, pinned *run.Source,
) (path string, s *run.Source, err error) {
	if !hub.IsName(name) {
		return name, nil, nil
	}
	k := key{kind: kind, name: name}
	if pinned != nil && pinned.Name == name {
		k.pinned = *pinned
	}
	if x, ok := f.found[k]; ok {
		return x.path, x.source, nil
	}
	r, err := hub.Parse(name)
	if err != nil {
		return "", nil, err
	}
	if k.pinned.Commit != "" {
		r = r.At(k.pinned.Commit).With(k.pinned.File)
	}
	p, err := f.place(ctx, kind, r, name)
	if err != nil {
		return "", nil, err
	}
	x := found{p.path(f.Hub.Cache), &run.Source{Name: name, Commit: p.repo.Commit, File: p.choice.Main(),
		Licence: p.repo.Licence}}
	if f.found == nil {
		f.found = map[key]found{}
	}
	f.found[k] = x
	return x.path, x.source, nil
}

func (f *Finder) note(format string, args ...any) {
	if f.Note != nil {
		f.Note(fmt.Sprintf(format, args...))
	}
}

// place is what a name means, in the cache.
type place struct {
	repo   *hub.Repository
	choice Choice
}

// path is the file or folder on disk.
func (p place) path(c hub.Cache) string {
	return filepath.Join(c.Folder(p.repo.Ref, p.repo.Commit), filepath.FromSlash(p.choice.Main()))
}

// place finds what is meant in the cache, or fetches it; name is what was written for it.
func (f *Finder) place(ctx context.Context, kind Kind, r hub.Ref, name string) (place, error) {
	s, ok, err := f.Hub.Cache.Find(r)
	if err != nil {
		return place{}, err
	}
	if ok {
		p, there, err := f.cached(kind, r, s)
		if there {
			began := ""
			if r.String() != name {
				began = ", as when the run began"
			}
			f.note("%s: %s of commit %.7s%s, in the cache", name, what(p.choice), p.repo.Commit, began)
		}
		if there || err != nil {
			return p, err
		}
	}
	if f.NoFetch != "" && f.Hub.Offline == "" {
		return place{}, &hub.OfflineError{Ref: r, Since: f.NoFetch}
	}
	p, err := f.Ask(ctx, kind, r)
	switch {
	case err == nil:
		return place{p.Repository, p.Choice}, f.fetch(ctx, r, p)
	case !ok || ctx.Err() != nil || !errors.Is(err, fetch.ErrUnreachable) && !isOffline(err):
		return place{}, err
	}
	// Another tool fetched what is there, and did not note what else the repository holds.
	repo := &hub.Repository{Ref: s.Ref, Commit: s.Commit, Files: s.Files, Licence: s.Licence}
	choice, chooseErr := Choose(kind, r, s.Files)
	if chooseErr != nil {
		return place{}, errors.Join(err, chooseErr)
	}
	f.note("%s: the hub cannot be asked what else is in the repository: of what is in the cache it is %s", r,
		choice.Files[0].Path)
	return place{repo, choice}, nil
}

func isOffline(err error) bool {
	_, ok := errors.AsType[*hub.OfflineError](err)
	return ok
}

// cached finds what is meant in a snapshot; there is false if it lacks some of it.
func (f *Finder) cached(kind Kind, r hub.Ref, s *hub.Snapshot) (p place, there bool, err error) {
	repo := s.All
	if repo == nil {
		if r.File == "" {
			return p, false, nil // which of the files was meant nobody can tell by those that are there
		}
		repo = &hub.Repository{Ref: s.Ref, Commit: s.Commit, Files: s.Files, Licence: s.Licence}
	}
	choice, err := Choose(kind, r, repo.Files)
	if wrong, ok := errors.AsType[*ChoiceError](err); ok && (wrong.NoFile && r.Revision != s.Commit || s.All == nil) {
		return p, false, nil // a newer commit may have it
	}
	if err != nil {
		return p, false, err
	}
	if s.All == nil && choice.Files[0].Path != r.File && !choice.Folder {
		return p, false, nil
	}
	if missing, _ := (&hub.Client{Cache: f.Hub.Cache}).Missing(repo, choice.Files); len(missing) > 0 {
		return p, false, nil
	}
	return place{repo, choice}, true, nil
}

// what says which files of a repository are meant.
func what(c Choice) string {
	switch {
	case c.Folder:
		return fmt.Sprintf("%d files (%s)", len(c.Files), c.Kind)
	case len(c.Files) > 1:
		return fmt.Sprintf("%s and %d parts more", c.Files[0].Path, len(c.Files)-1)
	}
	return c.Files[0].Path
}

// Answer is what a hub has under a name.
type Answer struct {
	Repository *hub.Repository
	Choice     Choice
	// Missing are those files that the cache lacks, Bytes their sizes together.
	Missing []hub.File
	Bytes   int64
}

// Ask asks the hub what a name means.
func (f *Finder) Ask(ctx context.Context, kind Kind, r hub.Ref) (*Answer, error) {
	repo, err := f.Hub.Repository(ctx, r)
	if err != nil {
		return nil, err
	}
	a := &Answer{Repository: repo}
	if a.Choice, err = Choose(kind, r, repo.Files); err != nil {
		return nil, err
	}
	a.Missing, a.Bytes = f.Hub.Missing(repo, a.Choice.Files)
	return a, nil
}

// fetch fetches what is missing, aloud.
func (f *Finder) fetch(ctx context.Context, r hub.Ref, a *Answer) error {
	if len(a.Missing) > 0 {
		licence := "its card names no licence"
		if a.Repository.Licence != "" {
			licence = "licence " + a.Repository.Licence
		}
		f.note("%s is not in the cache: fetching %s of commit %.7s, %s, %s, into %s", r, what(a.Choice),
			a.Repository.Commit, sizeText(a.Bytes), licence, f.Hub.Cache.Dir)
	}
	_, err := f.Hub.Get(ctx, a.Repository, a.Choice.Files)
	return err
}

// Fetch fetches what of an answer is missing, and gives the path of it.
func (f *Finder) Fetch(ctx context.Context, a *Answer) (path string, err error) {
	_, err = f.Hub.Get(ctx, a.Repository, a.Choice.Files)
	return place{a.Repository, a.Choice}.path(f.Hub.Cache), err
}

func sizeText(bytes int64) string {
	if bytes <= 0 {
		return "size not known"
	}
	return bytesize.Transferred(bytes)
}
