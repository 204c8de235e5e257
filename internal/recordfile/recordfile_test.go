package recordfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

type wide struct {
	ID string `json:"id"`
	N  int    `json:"n"`
}

type narrow struct {
	ID string `json:"id"`
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl.zst")
	want := []wide{{"<a>", 1}, {"b", 2}}
	require.NoError(t, Write(path, want))
	got, err := Read[wide](path, RefuseUnknown)
	require.NoError(t, err)
	require.Equal(t, want, got)
	some, err := Read[narrow](path, IgnoreUnknown)
	require.NoError(t, err)
	require.Equal(t, []narrow{{"<a>"}, {"b"}}, some)
	_, err = Read[narrow](path, RefuseUnknown)
	var bad *Error
	require.ErrorAs(t, err, &bad)
	require.Equal(t, 1, bad.Record)
	_, err = Read[wide](filepath.Join(t.TempDir(), "none"), RefuseUnknown)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Error(t, Write(path, []any{make(chan int)}))
	again, err := Read[wide](path, RefuseUnknown)
	require.NoError(t, err, "what cannot be written leaves the file as it was")
	require.Equal(t, want, again)
}
