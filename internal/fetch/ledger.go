package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"steer/internal/atomicfile"
)

// LedgerFile is the file of a data or models folder that says what was fetched into it.
const LedgerFile = "FETCHED.json"

// Entry says where a file of the folder came from and what it was then.
type Entry struct {
	Found
	From string `json:"from"`
	// Commit of the hub's repository.
	Commit string `json:"commit,omitempty"`
	Time   string `json:"time"`
}

// ledger maps paths below the folder, as they lie there, to where they came from.
type ledger struct {
	Files map[string]Entry `json:"files"`
}

func readLedger(dir string) (ledger, error) {
	l := ledger{Files: map[string]Entry{}}
	raw, err := os.ReadFile(filepath.Join(dir, LedgerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &l)
	}
	if err != nil {
		return l, fmt.Errorf("%s: %w; remove it if it is damaged: it only says what was fetched",
			filepath.Join(dir, LedgerFile), err)
	}
	if l.Files == nil {
		l.Files = map[string]Entry{}
	}
	return l, nil
}

func (l ledger) write(dir string) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, LedgerFile), append(raw, '\n'), 0o666)
}

// workFolder holds what is being fetched, below the folder that it is for.
const workFolder = ".fetch"

// lock makes the work folder and keeps other processes out of it; the system drops the lock
// with the process.
func lock(dir string) (work string, unlock func() error, err error) {
	work = filepath.Join(dir, workFolder)
	if err := os.MkdirAll(work, 0o777); err != nil {
		return "", nil, err
	}
	path := filepath.Join(work, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return "", nil, fmt.Errorf("%s: cannot lock: %w", path, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 64))
		return "", nil, fmt.Errorf("%s: process %s is fetching into this folder: wait for it",
			dir, strings.TrimSpace(string(pid)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return "", nil, errors.Join(err, f.Close())
	}
	return work, func() error {
		// Parts that a later call goes on with stay; a folder with nothing else goes.
		err := f.Close()
		if entries, e := os.ReadDir(work); e == nil && len(entries) == 1 {
			err = errors.Join(err, os.RemoveAll(work))
		}
		return err
	}, nil
}
