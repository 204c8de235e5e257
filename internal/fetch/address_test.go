package fetch

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseAddress(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	a, err := ParseAddress("https://h.org/x/m.GGUF?download=1#sha256=" + strings.ToUpper(sum))
	require.NoError(t, err)
	require.Equal(t, Address{URL: "https://h.org/x/m.GGUF?download=1", Kind: Model,
		File: File{Path: "m.GGUF", Format: "gguf", SHA256: sum}}, a)
	a, err = ParseAddress("https://h.org/chat.jsonl")
	require.NoError(t, err)
	require.Equal(t, Data, a.Kind)
	for _, bad := range []string{"https://h.org", "https://h.org/", "x.jsonl", "https://h.org/x#sha256=12",
		"https://h.org/x#y", "https://h.org/..", "https://h.org/.x", "https://h.org/a%5Cb"} {
		_, err := ParseAddress(bad)
		require.Error(t, err, bad)
	}
}

func TestGetAddress(t *testing.T) {
	body := "one\n"
	s, asked := server(t, func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "page.csv") {
			_, _ = w.Write([]byte("\n<!DOCTYPE html><html>sign in</html>"))
		} else {
			_, _ = w.Write([]byte(body))
		}
		return true
	})
	dir := t.TempDir()
	f := &Fetcher{Data: filepath.Join(dir, "data"), Models: filepath.Join(dir, "models")}
	get := func(url string) (Result, error) {
		a, err := ParseAddress(url)
		require.NoError(t, err)
		return f.GetAddress(t.Context(), a)
	}
	r, err := get(s.URL + "/x/a.csv")
	require.NoError(t, err)
	require.True(t, r.Fetched)
	raw, err := os.ReadFile(filepath.Join(dir, "data", "a.csv"))
	require.NoError(t, err)
	require.Equal(t, body, string(raw))
	n := asked.Load()
	r, err = get(s.URL + "/x/a.csv")
	require.NoError(t, err)
	require.False(t, r.Fetched)
	require.Equal(t, n, asked.Load(), "it is there")

	_, err = get(s.URL + "/y/a.csv")
	require.ErrorContains(t, err, "did not come from "+s.URL+"/y/a.csv")
	_, err = get(s.URL + "/page.csv")
	require.ErrorContains(t, err, "a web page, not a file")
	_, err = get(s.URL + "/b.csv#sha256=" + strings.Repeat("a", 64))
	require.ErrorIs(t, err, ErrChecksum)
	require.NoFileExists(t, filepath.Join(dir, "data", "b.csv"))
	r, err = get(s.URL + "/b.csv#sha256=2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806")
	require.NoError(t, err)
	require.True(t, r.Fetched)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "a.csv"), []byte("two\n"), 0o600))
	_, err = get(s.URL + "/x/a.csv")
	require.ErrorIs(t, err, ErrChecksum)
	f.Force = true
	_, err = get(s.URL + "/x/a.csv")
	require.NoError(t, err)
	f.Force, f.Offline = false, true
	_, err = get(s.URL + "/c.csv")
	require.ErrorIs(t, err, ErrOffline)
	entries, err := os.ReadDir(filepath.Join(dir, "data"))
	require.NoError(t, err)
	require.Len(t, entries, 3, "a.csv, b.csv and the ledger")
}
