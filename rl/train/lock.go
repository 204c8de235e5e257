package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked: another process works in the run folder.
var ErrLocked = errors.New("run folder is in use")

// lockDir takes the exclusive lock of a run folder. The kernel drops it with the
// process, however that ends, so no stale lock can remain; the file itself does.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("run folder %s: not writable: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("run folder %s: cannot lock: %w", dir, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 64))
		return nil, fmt.Errorf("%w: %s, by process %s: wait for it, stop it, or choose another folder",
			ErrLocked, dir, strings.TrimSpace(string(pid)))
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("run folder %s: not writable: %w", dir, err), f.Close())
	}
	return f, nil
}
