package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"steer/app/experiment"
	"steer/app/source"
	"steer/internal/bytesize"
	"steer/internal/fetch"
	"steer/internal/hub"
)

// outside is something to fetch that no catalogue knows: a name of the hub, or an address.
type outside struct {
	kind source.Kind
	ref  hub.Ref
	url  string // "" for a name of the hub
}

// outside divides what is to be fetched: the hub and addresses, and names of sets.
func (f *fetchFlags) outside(names []string) (out []outside, sets []string, err error) {
	for _, name := range names {
		isURL := strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
		r, ofHub := hub.FromURL(name, os.Getenv("HF_ENDPOINT"))
		switch {
		case hub.IsName(name):
			if r, err = hub.Parse(name); err != nil {
				return nil, nil, usage(err)
			}
			out = append(out, outside{kind: source.Any, ref: r})
		case isURL && ofHub:
			out = append(out, outside{kind: source.Any, ref: r})
		case isURL:
			if _, err := fetch.ParseAddress(name); err != nil {
				return nil, nil, usage(err)
			}
			out = append(out, outside{url: name})
		default:
			sets = append(sets, name)
		}
	}
	for _, file := range f.needed {
		s, err := experiment.LoadStudy(file, nil)
		if err != nil {
			return nil, nil, configError(err)
		}
		for _, n := range s.HubNames() {
			r, err := hub.Parse(n.Name)
			if err != nil {
				return nil, nil, usagef("%s: %s: %w", file, n.Key, err)
			}
			out = append(out, outside{kind: n.Kind, ref: r})
		}
	}
	return out, sets, nil
}

// doOutside fetches, lists or checks what no catalogue knows; what one fails at keeps no other from
// being fetched.
func (f *fetchFlags) doOutside(ctx context.Context, a *app, all []outside) error {
	var errs []error
	reports := []hubReport{}
	finder := a.finder("")
	finder.Hub.Force = f.force
	for _, o := range all {
		r := hubReport{Name: o.ref.String()}
		var err error
		switch {
		case o.url != "":
			r.Name = o.url
			err = f.fetchURL(ctx, a, o.url, &r)
		case f.list:
			err = f.listHub(ctx, a, finder, o, &r)
		case f.verify:
			err = f.verifyHub(ctx, a, finder, o, &r)
		default:
			err = f.fetchHub(ctx, a, finder, o, &r)
		}
		if ctx.Err() != nil {
			fmt.Fprintln(a.err, "  what has come is kept: the same command goes on from there")
			return ctx.Err()
		}
		if err != nil {
			r.Error = err.Error()
		}
		reports, errs = append(reports, r), append(errs, err)
	}
	if f.asJSON && len(all) > 0 {
		errs = append(errs, writeJSON(a.out, reports))
	}
	return errors.Join(errs...)
}

// hubReport is what "steer fetch --json" prints of a name of the hub.
type hubReport struct {
	Name string `json:"name"`
	// Kind of what it was found to be: model, checkpoint, adapter, data or any.
	Kind    source.Kind `json:"kind,omitempty"`
	Commit  string      `json:"commit,omitempty"`
	Licence string      `json:"licence,omitempty"`
	Page    string      `json:"page,omitempty"`
	// Path is the file, or the folder of a checkpoint.
	Path  string          `json:"path,omitempty"`
	Files []hubFileReport `json:"files,omitempty"`
	Error string          `json:"error,omitempty"`
}

type hubFileReport struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256,omitempty"`
	State   string `json:"state"` // there, missing, changed
	Fetched bool   `json:"fetched,omitempty"`
}

// say prints a line of a report for people.
func (f *fetchFlags) say(a *app, format string, args ...any) {
	if !f.asJSON {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

// fetchHub fetches what a name means. Offline it says what of it is there.
func (f *fetchFlags) fetchHub(ctx context.Context, a *app, finder *source.Finder, o outside, r *hubReport) error {
	if finder.Hub.Offline != "" {
		path, s, err := finder.Find(ctx, o.kind, o.ref.String(), nil)
		if err == nil {
			r.Commit, r.Licence, r.Path = s.Commit, s.Licence, path
			f.say(a, "%s", path)
		}
		return err
	}
	answer, err := finder.Ask(ctx, o.kind, o.ref)
	if err != nil {
		return err
	}
	repo := answer.Repository
	r.Kind, r.Commit, r.Licence, r.Page = answer.Choice.Kind, repo.Commit, repo.Licence, finder.Hub.Page(o.ref)
	licence := repo.Licence
	if licence == "" {
		licence = "not named on its card"
	}
	f.say(a, "%s: %s, %s of %s to fetch", o.ref, choose(len(answer.Choice.Files) == 1, "1 file",
		fmt.Sprintf("%d files", len(answer.Choice.Files))), bytesize.Transferred(answer.Bytes),
		bytesize.Transferred(sizeOf(answer.Choice.Files)))
	f.say(a, "  commit %s", repo.Commit)
	f.say(a, "  licence %s, see %s%s", licence, r.Page, choose(repo.Gated, " (gated)", ""))
	path, err := finder.Fetch(ctx, answer)
	if err != nil {
		return err
	}
	r.Path = path
	for _, file := range answer.Choice.Files {
		fetched := false
		for _, m := range answer.Missing {
			fetched = fetched || m.Path == file.Path
		}
		r.Files = append(r.Files, hubFileReport{file.Path, file.Bytes, file.Hash.SHA256(), "there", fetched})
		f.say(a, "  %8s  %s%s", bytesize.Transferred(max(file.Bytes, 0)), file.Path, choose(fetched, "",
			"  (was there)"))
		if sum := file.Hash.SHA256(); sum != "" {
			f.say(a, "            %s", sum)
		}
	}
	f.say(a, "%s", path)
	if answer.Choice.Kind == source.Checkpoint {
		f.say(a, "A checkpoint: steer model convert %s -o base.gguf --type q4_k_m", o.ref)
	}
	if answer.Choice.Also != "" {
		f.say(a, "%s", answer.Choice.Also)
	}
	return nil
}

func sizeOf(files []hub.File) (sum int64) {
	for _, file := range files {
		sum += max(file.Bytes, 0)
	}
	return sum
}

// snapshot is what the cache has of a repository.
func snapshot(finder *source.Finder, ref hub.Ref) (*hub.Snapshot, error) {
	s, ok, err := finder.Hub.Cache.Find(ref)
	if err == nil && !ok {
		err = fmt.Errorf("%s: nothing of it is in the cache, %s", ref.Of(), finder.Hub.Cache.Dir)
	}
	return s, err
}

// listHub shows all files of a repository, and which are in the cache.
func (f *fetchFlags) listHub(ctx context.Context, a *app, finder *source.Finder, o outside, r *hubReport) error {
	var repo *hub.Repository
	if finder.Hub.Offline == "" {
		var err error
		if repo, err = finder.Hub.Repository(ctx, o.ref.Of()); err != nil {
			return err
		}
	} else {
		s, err := snapshot(finder, o.ref)
		if err != nil {
			return err
		}
		if repo = s.All; repo == nil {
			repo = &hub.Repository{Ref: s.Ref, Commit: s.Commit, Files: s.Files, Licence: s.Licence}
		}
	}
	r.Commit, r.Licence, r.Page = repo.Commit, repo.Licence, finder.Hub.Page(o.ref)
	f.say(a, "%s, commit %s", o.ref.Of(), repo.Commit)
	f.say(a, "licence %s, see %s%s", choose(repo.Licence == "", "not named on its card", repo.Licence), r.Page,
		choose(repo.Gated, " (gated)", ""))
	for _, file := range repo.Files {
		state := "there"
		if missing, _ := (&hub.Client{Cache: finder.Hub.Cache}).Missing(repo, []hub.File{file}); len(missing) > 0 {
			state = "missing"
		}
		r.Files = append(r.Files, hubFileReport{file.Path, file.Bytes, file.Hash.SHA256(), state, false})
		f.say(a, "  %-7s  %8s  %s", state, choose(file.Bytes < 0, "?", bytesize.Transferred(max(file.Bytes, 0))),
			file.Path)
	}
	return nil
}

// verifyHub compares what the cache has of a repository with the hashes that it stands under.
func (f *fetchFlags) verifyHub(ctx context.Context, a *app, finder *source.Finder, o outside, r *hubReport) error {
	s, err := snapshot(finder, o.ref)
	if err != nil {
		return err
	}
	r.Commit, r.Licence, r.Page = s.Commit, s.Licence, finder.Hub.Page(o.ref)
	var errs []error
	for _, file := range s.Files {
		state := "there"
		err := s.Verify(ctx, file)
		switch {
		case errors.Is(err, fetch.ErrChecksum):
			state = "changed"
			errs = append(errs, fmt.Errorf("%s: %w: steer fetch --force %s fetches it again",
				filepath.Join(s.Dir, file.Path), err, o.ref.Of().With(file.Path)))
		case err != nil:
			return err
		case file.Hash == "":
			state = "unknown"
		}
		r.Files = append(r.Files, hubFileReport{file.Path, file.Bytes, file.Hash.SHA256(), state, false})
		f.say(a, "%-8s  %s", state, filepath.Join(s.Dir, file.Path))
	}
	return errors.Join(errs...)
}

// fetchURL fetches a file from an address.
func (f *fetchFlags) fetchURL(ctx context.Context, a *app, address string, r *hubReport) error {
	at, err := fetch.ParseAddress(address)
	if err != nil {
		return usage(err)
	}
	if f.list || f.verify {
		return usagef("%s: --list and --verify are about sets and names of the hub", address)
	}
	p := newDownloads(a.err, isTerminal(a.err))
	x := &fetch.Fetcher{
		Data: f.data, Models: f.models, Offline: f.offline, Force: f.force, Check: experiment.CheckFormat,
		Note: p.note, Progress: p.progress,
	}
	x.Client = &fetch.Client{Agent: "steer/" + version, Note: x.Note}
	got, err := x.GetAddress(ctx, at)
	p.end()
	if err != nil {
		return err
	}
	r.Path = got.Path
	r.Files = []hubFileReport{{got.Path, got.Found.Bytes, got.Found.SHA256, "there", got.Fetched}}
	f.say(a, "  %8s  %s%s", bytesize.Transferred(got.Found.Bytes), relative(got.Path), choose(got.Fetched, "",
		"  (was there)"))
	f.say(a, "            %s", got.Found.SHA256)
	if at.File.SHA256 == "" {
		f.say(a, "  Nothing is known to compare it by: %s#sha256=%s\n  fetches this file and no other.", at.URL,
			got.Found.SHA256)
	}
	return nil
}
