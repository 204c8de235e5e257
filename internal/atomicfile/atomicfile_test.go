package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestCommitReplacesAndAbortKeeps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, WriteFile(path, []byte("one"), 0o600))
	f, err := Create(path)
	require.NoError(t, err)
	_, err = f.Write([]byte("two"))
	require.NoError(t, err)
	got, _ := os.ReadFile(path)
	require.Equal(t, "one", string(got), "visible before Commit")
	require.NoError(t, f.Abort())
	require.Equal(t, []string{"a"}, names(t, dir))

	f, err = Create(path)
	require.NoError(t, err)
	_, err = f.Write([]byte("three"))
	require.NoError(t, err)
	require.NoError(t, f.Commit())
	require.NoError(t, f.Abort(), "Abort after Commit does nothing")
	require.Error(t, f.Commit())
	got, _ = os.ReadFile(path)
	require.Equal(t, "three", string(got))
	require.Equal(t, []string{"a"}, names(t, dir))
	info, _ := os.Stat(path)
	require.Equal(t, os.FileMode(0o666)&^umask(t), info.Mode().Perm())
}

// umask is read by making a file, not through the racy syscall.
func umask(t *testing.T) os.FileMode {
	path := filepath.Join(t.TempDir(), "m")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o777)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	return 0o777 &^ info.Mode().Perm()
}

func TestErrorsLeaveNothingBehind(t *testing.T) {
	dir := t.TempDir()
	require.ErrorIs(t, WriteFile(filepath.Join(dir, "no", "a"), nil, 0o666), os.ErrNotExist)
	require.Error(t, WriteFile(dir+"/", nil, 0o666))
	// A folder in the place of the file: the rename fails, the folder stays.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o777))
	require.Error(t, WriteFile(filepath.Join(dir, "d"), []byte("x"), 0o666))
	require.Equal(t, []string{"d"}, names(t, dir))
}

func TestRenameDir(t *testing.T) {
	dir := t.TempDir()
	tmp, final := filepath.Join(dir, ".tmp-x"), filepath.Join(dir, "x")
	require.NoError(t, os.Mkdir(tmp, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(tmp, "f"), []byte("1"), 0o666))
	require.NoError(t, RenameDir(tmp, final))
	require.FileExists(t, filepath.Join(final, "f"))
}
