package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryModuleOfAProgramHasItsLicence(t *testing.T) {
	goTool, err := exec.LookPath("go")
	require.NoError(t, err)
	out := t.TempDir()
	require.NoError(t, collect(goTool, out, []string{"steer/app/report"}))
	require.FileExists(t, filepath.Join(out, "go", "LICENSE"))
	modules, err := filepath.Glob(filepath.Join(out, "gonum.org", "v1", "plot@*", "LICENSE"))
	require.NoError(t, err)
	require.Len(t, modules, 1)
}

func TestLicencesOfInnerFoldersAreKept(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	for _, name := range []string{"LICENSE", "a/COPYING.txt", "a/b/NOTICE", "a/license.go", "c/LICENSE",
		"licenses/ftl.txt"} {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(name), 0o600))
	}
	n, err := copyAbove(root, filepath.Join(root, "a", "b"), out)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	for _, name := range []string{"LICENSE", "a/COPYING.txt", "a/b/NOTICE", "licenses/ftl.txt"} {
		require.FileExists(t, filepath.Join(out, filepath.FromSlash(name)))
	}
	require.NoFileExists(t, filepath.Join(out, "a", "license.go"))
	require.NoFileExists(t, filepath.Join(out, "c", "LICENSE"), "no package of it is linked")
}
