package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/internal/atomicfile"
)

// Cache is the folder of all repositories:
//
//	models--ORG--NAME/
//	  blobs/HASH           a file's content; HASH is the SHA-256 of a large file, Git's SHA-1 of another
//	  refs/REVISION        the commit that a branch or tag was when it was last fetched
//	  snapshots/COMMIT/FILE -> ../../blobs/HASH
//	  .steer/COMMIT.json   what all the repository holds, which no other tool notes
//	.locks/models--ORG--NAME/HASH.lock
//
// Where links cannot be made, the file itself stands in snapshots.
type Cache struct {
	// Dir is the folder, such as ~/.cache/huggingface/hub.
	Dir string
}

// Snapshot is what the cache has of a repository at a commit.
type Snapshot struct {
	Ref    Ref // at Commit
	Commit string
	// Dir holds the files, by their paths in the repository.
	Dir string
	// Files are those that are there, in order.
	Files []File
	// All is what the hub said of the repository, nil if another tool fetched it.
	All *Repository
	// Licence as the repository's card names it, "" if it is not known.
	Licence string
}

// repository is the folder of a repository.
func (c Cache) repository(r Ref) string { return filepath.Join(c.Dir, r.folder()) }

// Folder is where the files of a commit stand.
func (c Cache) Folder(r Ref, commit string) string {
	return filepath.Join(c.repository(r), "snapshots", commit)
}

// commit finds which commit a revision was when it was last fetched; ok is false if it never was.
func (c Cache) commit(r Ref) (commit string, ok bool) {
	rev := r.revision()
	if IsCommit(rev) {
		_, err := os.Stat(c.Folder(r, rev))
		return rev, err == nil
	}
	raw, err := os.ReadFile(filepath.Join(c.repository(r), "refs", filepath.FromSlash(rev)))
	if commit := strings.TrimSpace(string(raw)); err == nil && IsCommit(commit) {
		return commit, true
	}
	if !beginPattern.MatchString(rev) {
		return "", false
	}
	all, err := filepath.Glob(filepath.Join(c.repository(r), "snapshots", rev+"*"))
	if err != nil || len(all) != 1 {
		return "", false
	}
	return filepath.Base(all[0]), true
}

// Find tells what is there of a repository; ok is false if nothing is.
func (c Cache) Find(r Ref) (s *Snapshot, ok bool, err error) {
	commit, ok := c.commit(r)
	if !ok {
		return nil, false, nil
	}
	s = &Snapshot{Ref: r.Of().At(commit), Commit: commit, Dir: c.Folder(r, commit)}
	err = filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a link whose content was removed
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Dir, path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		f := File{Path: filepath.ToSlash(rel), Bytes: info.Size()}
		f.Hash = hashOf(path)
		s.Files = append(s.Files, f)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cache of the hub: %w", err)
	}
	slices.SortFunc(s.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	if s.All = c.listed(s.Ref); s.All != nil {
		s.Licence = s.All.Licence
	} else if raw, err := os.ReadFile(filepath.Join(s.Dir, Card)); err == nil {
		s.Licence = licenceOf(raw)
	}
	return s, len(s.Files) > 0, nil
}

// hashOf reads the hash of a file of a snapshot from the name of what it links to, "" if it is no link.
func hashOf(path string) Hash {
	target, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	h := Hash(filepath.Base(target))
	if !h.valid() {
		return ""
	}
	return h
}

// blob is where content of a hash lies.
func (c Cache) blob(r Ref, h Hash) string { return filepath.Join(c.repository(r), "blobs", string(h)) }

// file is where a file of a commit stands.
func (c Cache) file(r Ref, commit, file string) string {
	return filepath.Join(c.Folder(r, commit), filepath.FromSlash(file))
}

// remember notes which commit a branch or tag is.
func (c Cache) remember(r Ref, commit string) error {
	if r.revision() == commit || beginPattern.MatchString(r.revision()) {
		return nil
	}
	path := filepath.Join(c.repository(r), "refs", filepath.FromSlash(r.revision()))
	if raw, err := os.ReadFile(path); err == nil && string(raw) == commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, []byte(commit), 0o666)
}

// listing is where it is noted what a commit holds.
func (c Cache) listing(r Ref, commit string) string {
	return filepath.Join(c.repository(r), ".steer", commit+".json")
}

// list notes what a commit holds: without it a name could not be understood offline as it is online.
func (c Cache) list(repo *Repository) error {
	raw, err := json.Marshal(repo)
	if err != nil {
		return err
	}
	path := c.listing(repo.Ref, repo.Commit)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, raw, 0o666)
}

// listed reads it; a damaged note is none. r is at a commit.
func (c Cache) listed(r Ref) *Repository {
	raw, err := os.ReadFile(c.listing(r, r.Revision))
	var repo Repository
	if err != nil || json.Unmarshal(raw, &repo) != nil || repo.Commit != r.Revision {
		return nil
	}
	if slices.ContainsFunc(repo.Files, func(f File) bool { return !local(f.Path) }) {
		return nil
	}
	repo.Ref = r
	return &repo
}

// place makes a file of a commit out of content that is there: a link where links can be made.
// Otherwise the content itself moves there; linked tells which.
func (c Cache) place(r Ref, commit string, f File) (linked bool, err error) {
	blob, path := c.blob(r, f.Hash), c.file(r, commit, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return false, err
	}
	target, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return false, err
	}
	if now, err := os.Readlink(path); err == nil && now == target {
		return true, nil
	}
	tmp := path + ".new"
	if err := removeIfThere(tmp); err != nil {
		return false, err
	}
	if err := symlink(target, tmp); err != nil {
		if err := os.Rename(blob, path); err != nil {
			return false, err
		}
		return false, atomicfile.SyncDir(filepath.Dir(path))
	}
	return true, errors.Join(os.Rename(tmp, path), atomicfile.SyncDir(filepath.Dir(path)))
}

// symlink makes a link; tests take the possibility away.
var symlink = os.Symlink

// Origin tells of a file which repository, commit and file of it it is, if it lies in a cache of the
// hub, this one or another.
func Origin(path string) (r Ref, ok bool) {
	parts := strings.Split(filepath.ToSlash(path), "/")
	at := slices.Index(parts, "snapshots")
	if at < 1 || len(parts) < at+2 || !IsCommit(parts[at+1]) {
		return r, false
	}
	kind, id, cut := strings.Cut(parts[at-1], "--")
	if !cut || kind != "models" && kind != "datasets" {
		return r, false
	}
	return Ref{Dataset: kind == "datasets", ID: strings.ReplaceAll(id, "--", "/"), Revision: parts[at+1],
		File: strings.Join(parts[at+2:], "/")}, true
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
