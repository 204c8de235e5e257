package filehash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// large writes a file that is worth remembering and returns its hash.
func large(t testing.TB, path string, fill byte) string {
	t.Helper()
	raw := bytes.Repeat([]byte{fill}, Smallest)
	require.NoError(t, os.WriteFile(path, raw, 0o666))
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// later is a cache whose clock is so far ahead.
func later(dir string, d time.Duration) *Cache {
	return &Cache{dir: dir, now: func() time.Time { return time.Now().Add(d) }}
}

// entries are the files of a cache.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return files
}

func remembers(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("hashes are remembered on Linux only: elsewhere every file is read")
	}
}

func TestSum(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o666))
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for _, c := range []*Cache{nil, later(filepath.Join(t.TempDir(), "cache"), time.Hour)} {
		sum, err := c.Sum(path)
		require.NoError(t, err)
		require.Equal(t, abc, sum)
		_, err = c.Sum(path + "x")
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

// A remembered hash is used: one that was put there by hand comes back.
func TestALargeFileIsReadOnce(t *testing.T) {
	remembers(t)
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "deep", "cache")
	path := filepath.Join(dir, "model")
	want := large(t, path, 1)
	c := later(cache, time.Hour)
	sum, err := c.Sum(path)
	require.NoError(t, err)
	require.Equal(t, want, sum)
	kept := entries(t, cache)
	require.Len(t, kept, 1)
	raw, err := os.ReadFile(kept[0])
	require.NoError(t, err)
	other := hex.EncodeToString(make([]byte, 32))
	require.NoError(t, os.WriteFile(kept[0], bytes.Replace(raw, []byte(want), []byte(other), 1), 0o600))
	sum, err = later(cache, time.Hour).Sum(path)
	require.NoError(t, err)
	require.Equal(t, other, sum)

	// under another name of the same path
	t.Chdir(dir)
	sum, err = c.Sum("model")
	require.NoError(t, err)
	require.Equal(t, other, sum)
}

// Whatever changes the file is noticed, its size and its time of writing kept or not.
func TestAChangedFileIsReadAgain(t *testing.T) {
	remembers(t)
	path, cache := filepath.Join(t.TempDir(), "model"), t.TempDir()
	large(t, path, 1)
	c := later(cache, time.Hour)
	_, err := c.Sum(path)
	require.NoError(t, err)
	st, err := os.Stat(path)
	require.NoError(t, err)

	want := large(t, path, 2)
	require.NoError(t, os.Chtimes(path, st.ModTime(), st.ModTime())) // as a careless tool does
	sum, err := c.Sum(path)
	require.NoError(t, err)
	require.Equal(t, want, sum, "written in place")

	want = large(t, path+"2", 3)
	require.NoError(t, os.Chtimes(path+"2", st.ModTime(), st.ModTime()))
	require.NoError(t, os.Rename(path+"2", path))
	sum, err = c.Sum(path)
	require.NoError(t, err)
	require.Equal(t, want, sum, "another file put in its place")
}

// What was written a moment ago may be written again with the same time: it is not remembered.
func TestAFreshFileIsNotRemembered(t *testing.T) {
	path, cache := filepath.Join(t.TempDir(), "model"), t.TempDir()
	want := large(t, path, 1)
	sum, err := later(cache, 0).Sum(path)
	require.NoError(t, err)
	require.Equal(t, want, sum)
	require.Empty(t, entries(t, cache))
}

func TestASmallFileIsNotRemembered(t *testing.T) {
	path, cache := filepath.Join(t.TempDir(), "rows"), t.TempDir()
	require.NoError(t, os.WriteFile(path, make([]byte, Smallest-1), 0o666))
	_, err := later(cache, time.Hour).Sum(path)
	require.NoError(t, err)
	require.Empty(t, entries(t, cache))
}

// A damaged cache, and one that cannot be written, cost time and nothing else.
func TestADamagedCacheIsIgnored(t *testing.T) {
	remembers(t)
	path, cache := filepath.Join(t.TempDir(), "model"), t.TempDir()
	want := large(t, path, 1)
	c := later(cache, time.Hour)
	_, err := c.Sum(path)
	require.NoError(t, err)
	kept := entries(t, cache)[0]
	good, err := os.ReadFile(kept)
	require.NoError(t, err)
	for _, raw := range [][]byte{nil, []byte("{"), good[:len(good)/2], bytes.Replace(good, []byte(want), []byte("beef"),
		1), []byte("null")} {
		require.NoError(t, os.WriteFile(kept, raw, 0o600))
		sum, err := c.Sum(path)
		require.NoError(t, err)
		require.Equal(t, want, sum, "%q", raw)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	sum, err := later(filepath.Join(file, "cache"), time.Hour).Sum(path)
	require.NoError(t, err)
	require.Equal(t, want, sum)
}

// Many at once, as processes that share a folder are.
func TestCacheIsShared(t *testing.T) {
	path, cache := filepath.Join(t.TempDir(), "model"), t.TempDir()
	want := large(t, path, 1)
	var wait sync.WaitGroup
	sums := make([]string, 8)
	for i := range sums {
		wait.Go(func() {
			for range 4 {
				sums[i], _ = later(cache, time.Hour).Sum(path)
			}
		})
	}
	wait.Wait()
	for _, sum := range sums {
		require.Equal(t, want, sum)
	}
	require.LessOrEqual(t, len(entries(t, cache)), 1)
}
