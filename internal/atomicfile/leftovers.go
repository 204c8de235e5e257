package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// A temporary file belongs to the process that holds its lock (flock): the kernel drops it
// with the process, however that ends, on whatever machine or in whatever container it ran.
// One that nobody holds is left over from a process that was killed.

// tempPattern matches the names that tempName gives, and no others.
var tempPattern = regexp.MustCompile(`^\.(.+)\.tmp-[0-9a-f]{8}$`)

func tempName(name string) string { return fmt.Sprintf(".%s.tmp-%08x", name, rand.Uint32()) }

// claim takes the lock of a temporary file just made. It is false if a sweep took the file
// away first. Where the file system knows no locks nobody can sweep either.
func claim(f *os.File) bool {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return false
	}
	here, err := f.Stat()
	there, gone := os.Stat(f.Name())
	return err == nil && gone == nil && os.SameFile(here, there)
}

// RemoveLeftovers deletes the temporary files directly inside dir that a killed process left
// behind, and no file that a living one is writing. A folder that is not there holds none.
func RemoveLeftovers(dir string) error {
	return sweep(dir, func(string) bool { return true })
}

// sweep removes the leftovers in dir of the destinations that of accepts.
func sweep(dir string, of func(name string) bool) error {
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if m := tempPattern.FindStringSubmatch(e.Name()); m != nil && e.Type().IsRegular() && of(m[1]) {
			errs = append(errs, removeAbandoned(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// removeAbandoned removes a temporary file unless somebody holds it.
func removeAbandoned(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // committed or swept meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // it is being written, or the file system knows no locks and nobody can tell: it stays
	}
	// Held only now: its writer may have committed it, and another made one of the same name.
	here, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(here, there) {
		return nil
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
