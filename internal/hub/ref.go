package hub

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Prefix begins every name of the hub.
const Prefix = "hf:"

// MainRevision is the branch that is meant where none is named.
const MainRevision = "main"

// Ref names a repository of the hub, or one of its files.
type Ref struct {
	// Dataset: it is a repository of data, not of a model.
	Dataset bool
	// ID is ORG/NAME; a few old repositories have a NAME alone.
	ID string
	// Revision is a branch, a tag or a commit; "" is [MainRevision].
	Revision string
	// File is a path in the repository, or another word for a file of it; "" names none.
	File string
}

// IsName tells a name of the hub from a path on disk.
func IsName(text string) bool { return strings.HasPrefix(text, Prefix) }

// shape is what a name looks like.
const shape = "hf:ORG/NAME[@REVISION][:FILE], or hf:datasets/ORG/NAME[@REVISION][:FILE]"

var (
	idPattern       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$`)
	revisionPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]*$`)
)

// NameError: a text begins as a name of the hub does and is none.
type NameError struct{ Name, Want string }

// Error implements error.
func (e *NameError) Error() string { return fmt.Sprintf("%q: %s", e.Name, e.Want) }

// Parse reads a name. What is none is a [*NameError].
func Parse(name string) (r Ref, err error) {
	wrong := func(format string, args ...any) (Ref, error) {
		return Ref{}, &NameError{name, fmt.Sprintf(format, args...)}
	}
	rest, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return wrong("want %s", shape)
	}
	rest = strings.TrimPrefix(rest, "//") // as fsspec writes it
	repo, file, named := strings.Cut(rest, ":")
	r.File = file
	if r.ID, r.Revision, ok = strings.Cut(repo, "@"); ok && !validRevision(r.Revision) {
		return wrong("revision %q: want the name of a branch or tag, or a commit", r.Revision)
	}
	for _, kind := range []string{"datasets/", "models/", "spaces/"} {
		if id, ok := strings.CutPrefix(r.ID, kind); ok {
			r.ID, r.Dataset = id, kind == "datasets/"
			if kind == "spaces/" {
				return wrong("a space is a program: neither a model nor a data set is in it")
			}
		}
	}
	switch parts := strings.Split(r.ID, "/"); {
	case len(parts) > 2 && idPattern.MatchString(strings.Join(parts[:2], "/")):
		r.ID, r.File = strings.Join(parts[:2], "/"), strings.Join(parts[2:], "/")
		return wrong("a file stands behind a colon: did you mean %s?", r)
	case !idPattern.MatchString(r.ID) || strings.Contains(r.ID, "--") || strings.Contains(r.ID, ".."):
		return wrong("want %s", shape)
	case named && !local(r.File):
		return wrong("file %q: want a path inside the repository", r.File)
	}
	return r, nil
}

func validRevision(rev string) bool {
	return revisionPattern.MatchString(rev) && !strings.Contains(rev, "..") && path.Clean(rev) == rev
}

// local tells whether a path with slashes stays below the folder it starts from, and is clean.
func local(p string) bool {
	return p != "" && path.Clean(p) == p && p != "." && p != ".." && !strings.HasPrefix(p, "/") &&
		!strings.HasPrefix(p, "../") && !strings.ContainsAny(p, "\\\x00")
}

// FromURL reads the address of a page or a file of the hub at endpoint, as a browser shows it; ok
// tells whether it is one.
func FromURL(address, endpoint string) (r Ref, ok bool) {
	u, err := url.Parse(address)
	hub, errHub := url.Parse(endpoint)
	if errors.Join(err, errHub) != nil || u.Host == "" {
		return r, false
	}
	if u.Host != hub.Host && u.Host != "huggingface.co" && u.Host != "hf.co" {
		return r, false
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if parts[0] == "datasets" {
		r.Dataset, parts = true, parts[1:]
	}
	if len(parts) < 2 || parts[0] == "api" {
		return r, false
	}
	r.ID = parts[0] + "/" + parts[1]
	if len(parts) > 3 && (parts[2] == "blob" || parts[2] == "resolve" || parts[2] == "tree" || parts[2] == "raw") {
		r.Revision, r.File = parts[3], strings.Join(parts[4:], "/")
	} else if len(parts) > 2 {
		return r, false
	}
	back, err := Parse(r.String())
	return back, err == nil
}

// String writes the name, as [Parse] reads it.
func (r Ref) String() string {
	text := Prefix
	if r.Dataset {
		text += "datasets/"
	}
	text += r.ID
	if r.Revision != "" {
		text += "@" + r.Revision
	}
	if r.File != "" {
		text += ":" + r.File
	}
	return text
}

// Of is the repository alone, at its revision.
func (r Ref) Of() Ref {
	r.File = ""
	return r
}

// With names a file of the repository.
func (r Ref) With(file string) Ref {
	r.File = file
	return r
}

// At is the same at another revision.
func (r Ref) At(revision string) Ref {
	r.Revision = revision
	return r
}

// revision is the revision that is meant.
func (r Ref) revision() string {
	if r.Revision == "" {
		return MainRevision
	}
	return r.Revision
}

// IsCommit tells a whole commit from a branch, a tag and the beginning of a commit.
func IsCommit(revision string) bool { return commitPattern.MatchString(revision) }

var (
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
	beginPattern  = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
)

// folder is the repository's name in the cache.
func (r Ref) folder() string {
	kind := "models--"
	if r.Dataset {
		kind = "datasets--"
	}
	return kind + strings.ReplaceAll(r.ID, "/", "--")
}

// escape makes a path of a URL.
func escape(file string) string {
	parts := strings.Split(file, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
