package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	out := flag.String("o", "", "the folder to make")
	goTool := flag.String("go", "go", "the go command")
	flag.Parse()
	if err := collect(*goTool, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// named are the files that say under which terms, and by whom.
var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|authors|patents)([-._].*)?$`)

func collect(goTool, out string, packages []string) error {
	const form = `{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}|{{.Dir}}{{end}}{{end}}|{{.Dir}}|{{.Standard}}`
	cmd := exec.Command(goTool, append([]string{"list", "-deps", "-f", form}, packages...)...)
	cmd.Stderr = os.Stderr
	list, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%v: %w", cmd.Args, err)
	}
	found := map[string]int{"go": 0}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		f := strings.Split(lines.Text(), "|")
		if len(f) != 4 || f[0] == "" {
			continue // the standard library and this module
		}
		n, err := copyAbove(f[1], f[2], filepath.Join(out, filepath.FromSlash(f[0])))
		if err != nil {
			return err
		}
		found[f[0]] += n
	}
	goroot, err := exec.Command(goTool, "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	root := strings.TrimSpace(string(goroot))
	if found["go"], err = copyAbove(root, root, filepath.Join(out, "go")); err != nil {
		return err
	}
	for module, n := range found {
		if n == 0 {
			return fmt.Errorf("%s: no file that says its licence", module)
		}
	}
	return nil
}

// copyAbove copies the named files of dir and the folders above it up to root, keeping their places,
// and those of folders called licenses.
func copyAbove(root, dir, out string) (copied int, err error) {
	for ; strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return copied, err
		}
		for _, e := range entries {
			from := []string{filepath.Join(dir, e.Name())}
			switch {
			case e.IsDir() && !strings.EqualFold(e.Name(), "licenses"), !e.IsDir() && !named.MatchString(e.Name()):
				continue
			case e.IsDir():
				if from, err = filepath.Glob(filepath.Join(from[0], "*.*")); err != nil {
					return copied, err
				}
			}
			for _, path := range from {
				if filepath.Ext(path) == ".go" {
					continue
				}
				if err := copyFile(path, filepath.Join(out, strings.TrimPrefix(path, root))); err != nil {
					return copied, err
				}
				copied++
			}
		}
	}
	return copied, nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
