package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"steer/internal/fetch"
	"steer/internal/hub"
	"steer/internal/hub/hubtest"
	"steer/rl/run"
)

type setup struct {
	*hubtest.Server
	finder *Finder
	notes  []string
}

func newSetup(t *testing.T) *setup {
	s := &setup{Server: hubtest.New(t, fstest.MapFS{
		"o/two/a-Q4_0.gguf":                       {Data: []byte("four")},
		"o/two/a-Q8_0.gguf":                       {Data: []byte("eight")},
		"o/safe/README.md":                        {Data: []byte("---\nlicense: mit\n---\n")},
		"o/safe/config.json":                      {Data: []byte("{}")},
		"o/safe/model-00001-of-00002.safetensors": {Data: []byte("1")},
		"o/safe/model-00002-of-00002.safetensors": {Data: []byte("2")},
	})}
	s.finder = s.another(t.TempDir())
	return s
}

// another is a finder of another process on the same cache.
func (s *setup) another(dir string) *Finder {
	return &Finder{Hub: &hub.Client{Cache: hub.Cache{Dir: dir}, Endpoint: s.URL, HTTP: &fetch.Client{Tries: 1}},
		Note: func(text string) { s.notes = append(s.notes, text) }}
}

func (s *setup) again() *Finder { return s.another(s.finder.Hub.Cache.Dir) }

func TestPathsStayAsTheyAre(t *testing.T) {
	path, found, err := (&Finder{}).Find(t.Context(), Model, "models/a.gguf", nil)
	require.NoError(t, err)
	require.Nil(t, found)
	require.Equal(t, "models/a.gguf", path)
}

func TestFind(t *testing.T) {
	s := newSetup(t)
	path, found, err := s.finder.Find(t.Context(), Model, "hf:o/two:q8_0", nil)
	require.NoError(t, err)
	commit := s.Commit("o/two")
	require.Equal(t, &run.Source{Name: "hf:o/two:q8_0", Commit: commit, File: "a-Q8_0.gguf"}, found)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "eight", string(raw))
	require.Len(t, s.notes, 1)
	require.Contains(t, s.notes[0], "is not in the cache: fetching a-Q8_0.gguf of commit "+commit[:7]+", 5 bytes, ")

	// In the cache, without the hub; what was meant by a name is known there, too.
	s.Asked()
	same, _, err := s.again().Find(t.Context(), Model, "hf:o/two:q8_0", nil)
	require.NoError(t, err)
	require.Equal(t, path, same)
	_, _, err = s.again().Find(t.Context(), Model, "hf:o/two", nil)
	require.ErrorContains(t, err, "it holds 2 models (GGUF)")
	require.Empty(t, s.Asked())

	// The branch moves: what is pinned stays, what is not stays as well until it is fetched.
	s.Publish(t, "o/two", "main", fstest.MapFS{"a-Q8_0.gguf": {Data: []byte("nine")}})
	same, _, err = s.again().Find(t.Context(), Model, "hf:o/two:q8_0", nil)
	require.NoError(t, err)
	require.Equal(t, path, same)
	f := s.again()
	answer, err := f.Ask(t.Context(), Model, hub.Ref{ID: "o/two"})
	require.NoError(t, err)
	newer, err := f.Fetch(t.Context(), answer)
	require.NoError(t, err)
	require.NotEqual(t, path, newer)
	same, _, err = s.again().Find(t.Context(), Model, "hf:o/two:q8_0", nil)
	require.NoError(t, err)
	require.Equal(t, newer, same)
	same, pinned, err := s.again().Find(t.Context(), Model, "hf:o/two:q8_0", found)
	require.NoError(t, err)
	require.Equal(t, path, same)
	require.Equal(t, found, pinned)
	require.Contains(t, s.notes[len(s.notes)-1], ", as when the run began, in the cache")
	other := *found
	other.Name = "hf:o/two:other"
	same, _, err = s.again().Find(t.Context(), Model, "hf:o/two:q8_0", &other)
	require.NoError(t, err)
	require.Equal(t, newer, same, "a pin of another name is none")
}

// A checkpoint is a folder, and is there only if all of it is.
func TestFindACheckpoint(t *testing.T) {
	s := newSetup(t)
	path, found, err := s.finder.Find(t.Context(), Checkpoint, "hf:o/safe", nil)
	require.NoError(t, err)
	require.Equal(t, "mit", found.Licence)
	for _, name := range []string{"config.json", "model-00001-of-00002.safetensors"} {
		require.FileExists(t, filepath.Join(path, name))
	}
	require.NoError(t, os.Remove(filepath.Join(path, "model-00001-of-00002.safetensors")))
	f := s.again()
	f.Hub.Offline = "--offline is given"
	_, _, err = f.Find(t.Context(), Checkpoint, "hf:o/safe", nil)
	var offline *hub.OfflineError
	require.ErrorAs(t, err, &offline)
	_, _, err = s.again().Find(t.Context(), Checkpoint, "hf:o/safe", nil)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(path, "model-00001-of-00002.safetensors"))
}

// What another tool has fetched is understood by its path; a shorter name is asked about, or, where
// nobody can be asked, taken for what is there, aloud.
func TestFindWhatAnotherToolFetched(t *testing.T) {
	s := newSetup(t)
	path, _, err := s.finder.Find(t.Context(), Model, "hf:o/two:Q4_0", nil)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(s.finder.Hub.Cache.Dir, "models--o--two", ".steer")))
	s.Asked()
	same, _, err := s.again().Find(t.Context(), Model, "hf:o/two:a-Q4_0.gguf", nil)
	require.NoError(t, err)
	require.Equal(t, path, same)
	require.Empty(t, s.Asked())
	_, _, err = s.again().Find(t.Context(), Model, "hf:o/two", nil)
	require.ErrorContains(t, err, "it holds 2 models")
	require.Len(t, s.Asked(), 1)
	f := s.again()
	f.Hub.Offline = "--offline is given"
	same, _, err = f.Find(t.Context(), Model, "hf:o/two", nil)
	require.NoError(t, err)
	require.Equal(t, path, same)
	require.True(t, strings.HasPrefix(s.notes[len(s.notes)-1], "hf:o/two: the hub cannot be asked what else is in the "+
		"repository: of what is in the cache it is a-Q4_0.gguf"))
}

func TestNothingIsFetchedWhereThatIsSaid(t *testing.T) {
	s := newSetup(t)
	s.finder.NoFetch = "a plan fetches nothing"
	_, _, err := s.finder.Find(t.Context(), Model, "hf:o/two:Q4_0", nil)
	require.ErrorContains(t, err, "since a plan fetches nothing: fetch it where there is a network: steer fetch "+
		"hf:o/two:Q4_0")
	require.Empty(t, s.Asked())
}
