package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// TempDir makes a folder of which the name begins with prefix, in parent ("" is the system's
// folder of temporary files), and first removes those that killed processes left there under
// this prefix. Remove removes it; it is locked until then, as temporary files are.
func TempDir(parent, prefix string) (dir string, remove func() error, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweepDirs(parent, prefix)
	const tries = 8 // a sweep may be faster than the lock
	for range tries {
		if dir, err = os.MkdirTemp(parent, prefix); err != nil {
			return "", nil, err
		}
		var f *os.File
		if f, err = os.Open(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, errors.Join(err, os.Remove(dir))
		}
		if claim(f) {
			return dir, func() error { return errors.Join(os.RemoveAll(dir), f.Close()) }, nil
		}
		err = errors.Join(fs.ErrExist, f.Close())
	}
	return "", nil, err
}

// sweepDirs removes the folders that nobody holds. What cannot be removed, as what belongs
// to somebody else, stays: it is in nobody's way.
func sweepDirs(parent, prefix string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // making the folder says why
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		f.Close()
	}
}
