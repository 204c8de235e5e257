package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"steer/internal/bytesize"
)

// State is what is known of a file on disk.
type State string

// The states. All but missing and changed are fit for use.
const (
	Missing  State = "missing"
	Release  State = "release"  // its hash is the release's
	Edition  State = "copy"     // its hash is that of the known copy
	Recorded State = "recorded" // its hash is the one it was fetched with
	Unknown  State = "unknown"  // it is there, and nothing is known to compare it by
	There    State = "there"    // it is there and was not read
	Changed  State = "changed"  // it is another file than the release, or than what was fetched
)

// Status is a file of a set on disk.
type Status struct {
	File File
	// Path is where it lies, packed or not; where it would, if it is missing.
	Path  string
	State State
	Found Found // of the content, if it was read
	Note  string
}

// Fit tells whether the file can be used.
func (s Status) Fit() bool { return s.State != Missing && s.State != Changed }

// folder is where the files of a set lie.
func (f *Fetcher) folder(s Set) string {
	if s.Kind == Model {
		return f.Models
	}
	return f.Data
}

// Look finds the files of a set on disk; read tells whether to hash them.
func (f *Fetcher) Look(s Set, read bool) ([]Status, error) {
	l, err := readLedger(f.folder(s))
	if err != nil {
		return nil, err
	}
	out := make([]Status, len(s.Files))
	for i, file := range s.Files {
		if out[i], err = f.look(s, file, l, read); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *Fetcher) look(s Set, file File, l ledger, read bool) (Status, error) {
	st := Status{File: file, State: Missing, Path: filepath.Join(f.folder(s), filepath.FromSlash(file.Path))}
	for _, packing := range append([]string{""}, packings...) {
		path := st.Path + packing
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return st, err
		}
		if !info.Mode().IsRegular() {
			return st, fmt.Errorf("%s is not a regular file", path)
		}
		st.Path, st.State = path, There
		if !read {
			return st, nil
		}
		if st.Found, err = sumOf(path, packing, most(file)); err != nil {
			return st, err
		}
		st.State, st.Note = judge(s, file, st.Found, l.Files[file.Path+packing].SHA256)
		return st, nil
	}
	return st, nil
}

// judge says what a file with this hash is.
func judge(s Set, file File, found Found, recorded string) (State, string) {
	switch {
	case found.SHA256 == file.SHA256:
		return Release, ""
	case file.Copy != nil && found.SHA256 == file.Copy.SHA256:
		return Edition, file.note(s)
	case file.SHA256 != "":
		return Changed, fmt.Sprintf("it is not the release: %s, not %s", found, file.SHA256)
	case recorded == found.SHA256:
		return Recorded, ""
	case recorded != "":
		return Changed, fmt.Sprintf("it is not what was fetched: %s, not %s", found, recorded)
	}
	return Unknown, "nothing is known to compare it by"
}

// note is what is to be said of the copy.
func (f File) note(s Set) string {
	if f.Copy.Note != "" {
		return f.Copy.Note
	}
	return s.CopyNote
}

// most is how many bytes a file may have.
func most(file File) int64 {
	if file.Format == "gguf" {
		return 200 << 30
	}
	return 4 << 30
}

// sizeText is about how large a set is.
func (s Set) sizeText() string {
	sum, unknown := s.Size()
	switch {
	case sum == 0:
		return "size not known"
	case unknown:
		return bytesize.Transferred(sum) + " and more"
	}
	return bytesize.Transferred(sum)
}

// Size sums what is known of the files' sizes; unknown tells whether that is not all.
func (s Set) Size() (sum int64, unknown bool) {
	for _, file := range s.Files {
		sum += file.Size()
		unknown = unknown || file.Size() == 0
	}
	return sum, unknown
}
