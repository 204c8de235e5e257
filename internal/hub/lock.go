package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock keeps other processes from fetching the same content; huggingface_hub takes the same lock. It
// waits for whoever has it. The file stays: who waits for it has it open. The system drops the lock
// with the process.
func (c *Client) lock(ctx context.Context, repo *Repository, f File) (unlock func() error, err error) {
	path := filepath.Join(c.Cache.Dir, ".locks", repo.Ref.folder(), string(f.Hash)+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	for waited := false; ; waited = true {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("%s: cannot lock: %w", path, err), file.Close())
		}
		if !waited {
			c.note("another process is fetching %s: waiting for it", f.Path)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// freeBytes is how much may be written into a folder.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
