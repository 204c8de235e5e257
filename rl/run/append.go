package run

import (
	"errors"
	"fmt"
	"os"
)

// appendFile is a log that grows by whole records and can be cut back to a size.
type appendFile struct {
	folder *Folder
	f      *os.File
	size   int64 // bytes of whole records
}

func openAppend(r *Folder, name string) (*appendFile, error) {
	f, err := os.OpenFile(r.Path(name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, r.explain(r.Path(name), err)
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &appendFile{folder: r, f: f, size: stat.Size()}, nil
}

// write appends one record in one system call; what a full disk cut short is removed.
func (a *appendFile) write(record []byte) error {
	n, err := a.f.Write(record)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, a.f.Truncate(a.size))
		}
		return a.folder.explain(a.f.Name(), err)
	}
	a.size += int64(n)
	return nil
}

// sync makes the file durable and returns its size.
func (a *appendFile) sync() (int64, error) {
	if err := a.f.Sync(); err != nil {
		return 0, a.folder.explain(a.f.Name(), err)
	}
	return a.size, nil
}

// cut drops what was appended after the file had size bytes.
func (a *appendFile) cut(size int64) error {
	if size >= a.size {
		return nil
	}
	if err := a.f.Truncate(size); err != nil {
		return fmt.Errorf("cutting back: %w", err)
	}
	a.size = size
	return nil
}

func (a *appendFile) close() error { return a.f.Close() }
