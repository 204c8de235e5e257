package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"steer/app/experiment"
	"steer/app/jobs"
	"steer/app/source"
	"steer/internal/fetch"
	"steer/internal/hub"
)

// hubClient is a client of the hub as the environment says, by the variables of huggingface_hub.
func (a *app) hubClient(progress func(what string, done, total int64), note func(string)) *hub.Client {
	home := os.Getenv("HF_HOME")
	if home == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if user, err := os.UserHomeDir(); cache == "" && err == nil {
			cache = filepath.Join(user, ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	dir := cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE"), filepath.Join(home, "hub"))
	token, from := hubToken(expandHome(home))
	return &hub.Client{
		Cache: hub.Cache{Dir: expandHome(dir)}, Endpoint: os.Getenv("HF_ENDPOINT"), Token: token, TokenFrom: from,
		Offline: a.hubOffline(), Note: note, Progress: progress,
		HTTP: &fetch.Client{Agent: "steer/" + version, Note: note},
	}
}

// hubOffline is why the hub is not to be asked, "" if it may be.
func (a *app) hubOffline() string {
	if a.global.offline {
		return "--offline is given"
	}
	for _, name := range []string{"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		if isOn(os.Getenv(name)) {
			return name + " is set"
		}
	}
	return ""
}

// isOn tells whether a variable of huggingface_hub is set to yes.
func isOn(value string) bool {
	switch strings.ToUpper(value) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// hubToken finds the token: in the environment, or where "hf auth login" puts it.
func hubToken(home string) (token, from string) {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if token = strings.TrimSpace(os.Getenv(name)); token != "" {
			return token, name
		}
	}
	if isOn(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return "", ""
	}
	path := cmp.Or(expandHome(os.Getenv("HF_TOKEN_PATH")), filepath.Join(home, "token"))
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", "" // nobody has logged in
	}
	return strings.TrimSpace(string(raw)), path
}

// expandHome puts the user's folder in place of a ~ that begins a path.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if user, err := os.UserHomeDir(); ok && err == nil {
		return filepath.Join(user, rest)
	}
	return path
}

// finder finds what names of the hub mean, and fetches what is not in the cache; noFetch is why nothing
// is to be fetched, "" if it is.
func (a *app) finder(noFetch string) *source.Finder {
	con := a.console()
	p := newDownloads(a.err, isTerminal(a.err))
	progress := p.progress
	if a.global.quiet {
		progress = nil
	}
	note := func(text string) {
		p.end()
		con.Progress.Note(text)
	}
	return &source.Finder{Hub: a.hubClient(progress, note), NoFetch: noFetch, Note: note}
}

// locate puts the path in place of a name of the hub, if it is one; what names the flag or argument.
func (a *app) locate(ctx context.Context, kind source.Kind, what string, name *string) error {
	if !hub.IsName(*name) {
		return nil
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	path, _, err := a.finder("").Find(ctx, kind, *name, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	*name = path
	return nil
}

// locateJob puts paths in place of the names of the hub in a job; dir is the folder of its run, whose
// pins hold unless fresh.
func (a *app) locateJob(ctx context.Context, job jobs.Job, dir string, fresh bool, noFetch string) error {
	pins := jobs.Pins{}
	if !fresh && dir != "" {
		pins = jobs.PinsOf(dir)
	}
	find := a.finder(noFetch)
	if e, ok := job.(*jobs.Eval); ok {
		e.FindDataset = jobs.DatasetFinder(ctx, find, e)
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	return jobs.Locate(ctx, job, find, pins)
}

// locateStudy puts paths in place of the names of the hub in an experiment.
func (a *app) locateStudy(ctx context.Context, s *experiment.Study, fresh bool, noFetch string) error {
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	return s.Locate(ctx, a.finder(noFetch), fresh)
}
