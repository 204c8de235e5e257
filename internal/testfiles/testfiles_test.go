package testfiles

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every golden file is listed with its hash, and every listed file is there and unchanged.
func TestGoldensAreThoseOfTheList(t *testing.T) {
	dir := Golden(t, ".")
	f, err := os.Open(filepath.Join(dir, "SHA256SUMS"))
	require.NoError(t, err)
	defer f.Close()
	listed := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		require.True(t, ok, lines.Text())
		listed[name] = sum
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		name := filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))
		if d.IsDir() && name == "peers" {
			return fs.SkipDir // programs, not numbers
		}
		if d.IsDir() || name == "SHA256SUMS" || name == "README.md" {
			return nil
		}
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		sum := sha256.Sum256(body)
		require.Equal(t, listed[name], hex.EncodeToString(sum[:]), "%s is not as listed in SHA256SUMS", name)
		delete(listed, name)
		return nil
	}))
	require.Empty(t, listed, "listed but not there")
}

// A data file that is not here skips and says how to get it; one that is here is found in the
// mirror only, packed or not, and by the beginning of its name.
func TestDataIsFoundInTheMirror(t *testing.T) {
	mirror := t.TempDir()
	t.Setenv("STEER_MIRROR", mirror)
	require.NoError(t, os.MkdirAll(filepath.Join(mirror, "a"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(mirror, "a", "rows.jsonl.gz"), nil, 0o600))
	require.Equal(t, filepath.Join(mirror, "a", "rows.jsonl"), Data(t, "a/rows.jsonl"))
	require.Equal(t, filepath.Join(mirror, "a", "ro"), Data(t, "a/ro"))

	e := &skips{TB: t}
	require.Empty(t, Data(e, "a/none.csv"))
	require.Contains(t, e.reason, "make data")
	require.Contains(t, e.reason, "a/none.csv")
}

// skips is a test that writes down why it would be skipped, and goes on.
type skips struct {
	testing.TB
	reason string
}

func (s *skips) Skipf(format string, args ...any) { s.reason = fmt.Sprintf(format, args...) }
