package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked: another process works in the folder.
var ErrLocked = errors.New("is in use")

// Lock makes a folder that holds run folders and takes its exclusive lock; another process gets
// ErrLocked with the holder's pid. Reading needs no lock. what names the folder in errors.
func Lock(dir, what string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("%s %s: cannot be made: %w", what, dir, err)
	}
	f, err := lockDir(dir, what)
	if err != nil {
		return nil, err
	}
	return held{f}, nil
}

// held is a lock in whose file nobody's pid is left: who finds nothing to do changes no byte.
type held struct{ f *os.File }

// Close releases the lock.
func (h held) Close() error { return errors.Join(h.f.Truncate(0), h.f.Close()) }

// lockDir takes the exclusive lock of a folder. The kernel drops it with the
// process, however that ends, so no stale lock can remain; the file itself does.
func lockDir(dir, what string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("%s %s: not writable: %w", what, dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s %s: cannot lock: %w", what, dir, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 64))
		return nil, fmt.Errorf("%s %w: %s, by process %s: wait for it, stop it, or choose another folder",
			what, ErrLocked, dir, strings.TrimSpace(string(pid)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s: not writable: %w", what, dir, err), f.Close())
	}
	return f, nil
}
