package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file being written aside; it becomes visible under its name by Commit.
type File struct {
	f    *os.File
	path string // destination
	done bool
}

// WriteFile replaces path by data with permissions perm (before umask).
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := create(path, perm)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Create starts a replacement of path with permissions 0666 (before umask).
func Create(path string) (*File, error) { return create(path, 0o666) }

func create(path string, perm fs.FileMode) (*File, error) {
	dir, name := filepath.Split(path)
	if name == "" {
		return nil, fmt.Errorf("atomicfile: %q names no file", path)
	}
	// What a killed process left of this very file goes; that it cannot is no reason not to write.
	_ = sweep(dir, func(of string) bool { return of == name })
	for {
		tmp := filepath.Join(dir, tempName(name))
		f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !claim(f) { // a sweep has come between creation and claim
			if err := f.Close(); err != nil {
				return nil, err
			}
			continue
		}
		return &File{f: f, path: path}, nil
	}
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) { return f.f.Write(p) }

// Name is the destination.
func (f *File) Name() string { return f.path }

// Aside is where the content lies until Commit, for a writer that wants a path. It may truncate the file, not
// replace it.
func (f *File) Aside() string { return f.f.Name() }

// Commit syncs the content and puts it in place of the destination. After an error
// the destination is as it was and the temporary file is gone.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("atomicfile: %s: already committed or aborted", f.path)
	}
	f.done = true
	err := f.f.Sync()
	if err == nil {
		err = os.Rename(f.f.Name(), f.path) // before Close, which gives up the claim
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.f.Name()), f.f.Close())
	}
	return errors.Join(f.f.Close(), SyncDir(filepath.Dir(f.path)))
}

// Abort drops what was written; after Commit it does nothing.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(os.Remove(f.f.Name()), f.f.Close())
}

// RenameDir puts the finished folder tmp at path, which must not exist, and syncs both
// the folder and its parent. The files inside must be synced already.
func RenameDir(tmp, path string) error {
	if err := SyncDir(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the entries of a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
