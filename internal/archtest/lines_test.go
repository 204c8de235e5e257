package archtest

import (
	"bytes"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// maxColumns is the longest line of code; a tab counts as tabColumns.
const (
	maxColumns = 120
	tabColumns = 4
)

func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

// verbatim returns the lines that lie in raw strings of several lines: what is quoted there is as long as it is.
func verbatim(src []byte) map[int]bool {
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	inside := map[int]bool{}
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return inside
		}
		if n := strings.Count(lit, "\n"); tok == token.STRING && n > 0 {
			for line := file.Line(pos); n >= 0; n-- {
				inside[line+n] = true
			}
		}
	}
}

// No line of Go, C or C++ is longer than maxColumns. Generated files and what lies in testdata are not held to it.
func TestLinesFitTheScreen(t *testing.T) {
	root := "../.."
	out, err := exec.Command("git", "-C", root, "ls-files", "*.go", "*.h", "*.cpp", "*.cu", "*.c").CombinedOutput()
	if err != nil {
		t.Skipf("git ls-files does not run here: %s", out)
	}
	files := strings.Fields(string(out))
	require.Greater(t, len(files), 100)
	for _, name := range files {
		if strings.Contains("/"+name, "/testdata/") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) { // removed, but not yet in the index
			continue
		}
		require.NoError(t, err)
		if bytes.HasPrefix(src, []byte("// Code generated ")) {
			continue
		}
		var quoted map[int]bool
		if path.Ext(name) == ".go" {
			quoted = verbatim(src)
		}
		for i, line := range strings.Split(string(src), "\n") {
			if c := columns(line); c > maxColumns && !quoted[i+1] {
				t.Errorf("%s:%d: %d columns, at most %d (a tab counts as %d)", name, i+1, c, maxColumns, tabColumns)
			}
		}
	}
}

func TestColumns(t *testing.T) {
	require.Equal(t, 0, columns(""))
	require.Equal(t, 10, columns("\ta\tb"))
	require.Equal(t, 2, columns("ßπ"))
}

func TestVerbatim(t *testing.T) {
	src := "package p\n\nvar a = `x` + `one\ntwo\nthree`\nvar b = 1\n"
	require.Equal(t, map[int]bool{3: true, 4: true, 5: true}, verbatim([]byte(src)))
}
