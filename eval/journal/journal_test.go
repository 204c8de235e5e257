package journal

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/rl/run"
)

// However much a journal holds, of each batch only its place is in memory.
func TestJournalsKeepAnswersOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.part")
	j, err := Open(path, run.Fingerprint{Program: "1"}, func(string) {})
	require.NoError(t, err)
	const batches, numbers = 100, 5000
	ask := func(i int) []float64 {
		out := make([]float64, numbers)
		for k := range out {
			out[k] = float64(i) + float64(k)/numbers
		}
		return out
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range batches {
		_, err := recall(j, "m", "k", i, func() ([]float64, error) { return ask(i), nil })
		require.NoError(t, err)
	}
	require.Greater(t, j.size, int64(batches*numbers*5))
	require.Less(t, heap()-before, j.size/10)
	require.NoError(t, j.Close())

	before = heap()
	j, err = Open(path, run.Fingerprint{Program: "1"}, func(string) {})
	require.NoError(t, err)
	require.Equal(t, batches, j.Found())
	require.Less(t, heap()-before, j.size/10)
	for i := batches - 1; i >= 0; i-- {
		got, err := recall(j, "m", "k", i, func() ([]float64, error) { return nil, eval.ErrNoItems })
		require.NoError(t, err)
		require.Equal(t, ask(i), got)
	}
	require.NoError(t, j.Remove())
}

// A full disk ends the measurement with what was kept before intact.
func TestJournalThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.part")
	j, err := Open(path, run.Fingerprint{Program: "1"}, func(string) {})
	require.NoError(t, err)
	one, err := recall(j, "m", "k", 1, func() (int, error) { return 11, nil })
	require.NoError(t, err)
	require.Equal(t, 11, one)
	require.NoError(t, j.f.Close())
	_, err = recall(j, "m", "k", 2, func() (int, error) { return 12, nil })
	require.ErrorContains(t, err, "keeping what was measured")
	j, err = Open(path, run.Fingerprint{Program: "1"}, func(string) {})
	require.NoError(t, err)
	require.Equal(t, 1, j.Found())
	never := func() (int, error) { return 0, fmt.Errorf("asked again") }
	one, err = recall(j, "m", "k", 1, never)
	require.NoError(t, err)
	require.Equal(t, 11, one)
	for _, other := range []func() (int, error){
		func() (int, error) { return recall(j, "n", "k", 1, never) },
		func() (int, error) { return recall(j, "m", "l", 1, never) },
		func() (int, error) { return recall(j, "m", "k", 3, never) },
	} {
		_, err := other()
		require.ErrorContains(t, err, "asked again")
	}
	require.NoError(t, j.Remove())
	require.NoFileExists(t, path)
}
