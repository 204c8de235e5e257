package eval

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/atomicfile"
)

// However much a journal holds, of each batch only its place is in memory.
func TestJournalsKeepAnswersOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.part")
	j, err := openJournal(path, "a: 1", func(string) {})
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
	require.NoError(t, j.close())

	before = heap()
	j, err = openJournal(path, "a: 1", func(string) {})
	require.NoError(t, err)
	require.Equal(t, batches, j.keptFromStart)
	require.Less(t, heap()-before, j.size/10)
	for i := batches - 1; i >= 0; i-- {
		got, err := recall(j, "m", "k", i, func() ([]float64, error) { return nil, ErrNoItems })
		require.NoError(t, err)
		require.Equal(t, ask(i), got)
	}
	require.NoError(t, j.remove())
}

// What a killed process left of a file in items/ goes with the next evaluation, whatever that
// measures; what a living one is writing stays.
func TestLeftoversInItemsAreRemoved(t *testing.T) {
	s := newStudy(t)
	_, err := NewSuite(s.cfg, filepath.Join(s.dir, "a"))
	require.NoError(t, err)
	items := filepath.Join(s.dir, "a", itemsFolder)
	require.NoError(t, os.WriteFile(filepath.Join(items, ".gone.loglik.x.jsonl.zst.tmp-0123abcd"), []byte("half"), 0o600))
	living, err := atomicfile.Create(filepath.Join(items, "y.json"))
	require.NoError(t, err)
	_, err = NewSuite(s.cfg, filepath.Join(s.dir, "a"))
	require.NoError(t, err)
	left, err := os.ReadDir(items)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.NoError(t, living.Commit())
}
