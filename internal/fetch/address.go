package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"steer/internal/atomicfile"
)

// Address is a file that no catalogue knows.
type Address struct {
	URL string
	// File is the name that it gets: the last of the URL's path.
	File File
	Kind Kind // Model for GGUF files
}

// ParseAddress reads URL or URL#sha256=HEX.
func ParseAddress(text string) (a Address, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return a, err
	}
	name := path.Base(u.Path)
	if u.Host == "" || !local(name) || name == "." || strings.HasPrefix(name, ".") {
		return a, fmt.Errorf("%q: want the address of a file, https://HOST/.../FILE", text)
	}
	sum := ""
	if u.Fragment != "" {
		ok := false
		if sum, ok = strings.CutPrefix(u.Fragment, "sha256="); !ok || !isSum(sum) {
			return a, fmt.Errorf("%q: behind # want sha256= and 64 digits", text)
		}
	}
	u.Fragment = ""
	a = Address{URL: u.String(), Kind: Data, File: File{Path: name, SHA256: strings.ToLower(sum)}}
	if strings.HasSuffix(strings.ToLower(name), ".gguf") {
		a.Kind, a.File.Format = Model, "gguf"
	}
	return a, nil
}

// GetAddress fetches a file from an address into the folder of its kind. What is there already is only
// checked: against the hash that was given, or the one that it was fetched with.
func (f *Fetcher) GetAddress(ctx context.Context, a Address) (r Result, err error) {
	s := Set{Name: "address", Kind: a.Kind, Files: []File{a.File}}
	r.Status, err = f.lookAt(s, a)
	if err != nil || r.State != Missing && !f.Force {
		return r, err
	}
	if f.Offline {
		return r, fmt.Errorf("%s: %w", a.URL, ErrOffline)
	}
	dir := f.folder(s)
	work, unlock, err := lock(dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	part := filepath.Join(work, "address-"+a.File.Path+".part")
	_, err = f.client().Download(ctx, Request{
		URL: a.URL, To: part, Most: most(a.File), Known: a.File.SHA256 != "", Progress: f.progressOf(a.File.Path),
	})
	if err != nil {
		return r, err
	}
	err = f.placeAddress(a, dir, part, &r)
	return r, err
}

// lookAt finds the file on disk; one that came from another address is not taken for this one.
func (f *Fetcher) lookAt(s Set, a Address) (Status, error) {
	have, err := f.Look(s, true)
	if err != nil {
		return Status{}, err
	}
	st := have[0]
	l, err := readLedger(f.folder(s))
	if err != nil || st.State == Missing || f.Force {
		return st, err
	}
	from := l.Files[filepath.Base(st.Path)].From
	switch {
	case st.State == Changed:
		err = fmt.Errorf("%w: %s: %s (--force fetches it again)", ErrChecksum, st.Path, st.Note)
	case st.State == Unknown, from != a.URL && st.State == Recorded:
		err = fmt.Errorf("%s is there already, and did not come from %s: name another folder, or replace it "+
			"with --force", st.Path, a.URL)
	}
	return st, err
}

// placeAddress checks what was downloaded and gives it its name.
func (f *Fetcher) placeAddress(a Address, dir, part string, r *Result) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", a.URL, err), removeIfThere(part))
		}
	}()
	found, err := sumOf(part, "", most(a.File))
	if err != nil {
		return err
	}
	if a.File.SHA256 != "" && found.SHA256 != a.File.SHA256 {
		return fmt.Errorf("%w: %s, not %s", ErrChecksum, found, a.File.SHA256)
	}
	if isPage(part) && !strings.Contains(strings.ToLower(path.Ext(a.File.Path)), "htm") {
		return fmt.Errorf("%w: what came is a web page, not a file: look at it in a browser for the address behind it",
			ErrNotThere)
	}
	if f.Check != nil && a.File.Format != "" {
		if err := f.Check(part, a.File); err != nil {
			return err
		}
	}
	to := filepath.Join(dir, a.File.Path)
	if err := errors.Join(os.Rename(part, to), atomicfile.SyncDir(dir)); err != nil {
		return err
	}
	l, err := readLedger(dir)
	if err != nil {
		return err
	}
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	l.Files[a.File.Path] = Entry{Found: found, From: a.URL, Time: now().UTC().Format(time.RFC3339)}
	*r = Result{Status: Status{File: a.File, Path: to, State: Recorded, Found: found}, Fetched: true, From: a.URL}
	return l.write(dir)
}

// isPage tells a web page by how it begins.
func isPage(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	text := bytes.ToLower(bytes.TrimSpace(head[:n]))
	return bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html"))
}
