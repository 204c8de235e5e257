package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"steer/internal/fetch"
	"steer/internal/hub/hubtest"
)

// large is a file of a few packets.
var large = bytes.Repeat([]byte("0123456789abcdef"), 40_000)

const card = "---\nlicense: apache-2.0\nlanguage: en\n---\n# A model\n"

func folder(extra ...string) fstest.MapFS {
	f := fstest.MapFS{
		"org/name/README.md":          {Data: []byte(card)},
		"org/name/config.json":        {Data: []byte(`{"a": 1}`)},
		"org/name/sub/model.gguf":     {Data: large},
		"org/name/empty.txt":          {},
		"datasets/org/rows/x.parquet": {Data: []byte("PAR1")},
	}
	for _, name := range extra {
		f[name] = &fstest.MapFile{Data: []byte(name)}
	}
	return f
}

// setup is a hub, and a client of it that waits for nothing; told collects what it is told, and the
// times it would have waited.
type setup struct {
	*hubtest.Server
	client *Client
	notes  []string
	waited []time.Duration
}

func newSetup(t *testing.T) *setup {
	s := &setup{Server: hubtest.New(t, folder())}
	s.client = s.newClient(t.TempDir())
	return s
}

func (s *setup) newClient(dir string) *Client {
	note := func(text string) { s.notes = append(s.notes, text) }
	return &Client{
		Cache: Cache{Dir: dir}, Endpoint: s.URL, Note: note,
		HTTP: &fetch.Client{Note: note, Sleep: func(ctx context.Context, d time.Duration) error {
			s.waited = append(s.waited, d)
			return ctx.Err()
		}},
	}
}

func parse(t *testing.T, name string) Ref {
	t.Helper()
	r, err := Parse(name)
	require.NoError(t, err)
	return r
}

// get fetches files of a repository.
func (s *setup) get(t *testing.T, name string, files ...string) ([]string, error) {
	t.Helper()
	return getBy(t.Context(), s.client, parse(t, name), files...)
}

func getBy(ctx context.Context, c *Client, r Ref, files ...string) ([]string, error) {
	repo, err := c.Repository(ctx, r)
	if err != nil {
		return nil, err
	}
	var want []File
	for _, f := range repo.Files {
		for _, name := range files {
			if f.Path == name {
				want = append(want, f)
			}
		}
	}
	return c.Get(ctx, repo, want)
}

// whole: the large file is where it should be, and nothing half.
func (s *setup) whole(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(large, raw), "%d bytes", len(raw))
	parts, err := filepath.Glob(filepath.Join(s.client.Cache.Dir, "*", "blobs", "*.incomplete"))
	require.NoError(t, err)
	require.Empty(t, parts)
}

// The layout is the one of huggingface_hub: its documentation, "Understand caching".
func TestLayout(t *testing.T) {
	s := newSetup(t)
	paths, err := s.get(t, "hf:org/name", "config.json", "empty.txt", "sub/model.gguf")
	require.NoError(t, err)
	commit, dir := s.Commit("org/name"), filepath.Join(s.client.Cache.Dir, "models--org--name")
	require.Equal(t, filepath.Join(dir, "snapshots", commit, "sub", "model.gguf"), paths[2])
	s.whole(t, paths[2])
	target, err := os.Readlink(paths[2])
	require.NoError(t, err)
	require.Equal(t, "../../../blobs/"+fileSHA256(t, paths[2]), target)
	target, err = os.Readlink(paths[0])
	require.NoError(t, err)
	require.Equal(t, "../../blobs", filepath.Dir(target))
	require.Len(t, filepath.Base(target), 40, "git's hash")
	ref, err := os.ReadFile(filepath.Join(dir, "refs", "main"))
	require.NoError(t, err)
	require.Equal(t, commit, string(ref))
	found, ok := Origin(paths[2])
	require.True(t, ok)
	require.Equal(t, "hf:org/name@"+commit+":sub/model.gguf", found.String())

	// Once it is there, nothing but the description is asked for.
	s.Asked()
	_, err = s.get(t, "hf:org/name", "config.json", "sub/model.gguf")
	require.NoError(t, err)
	require.Len(t, s.Asked(), 1)
	snap, ok, err := s.client.Cache.Find(parse(t, "hf:org/name"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, snap.Files, 3)
	require.Equal(t, commit, snap.Commit)
	for _, f := range snap.Files {
		require.NoError(t, snap.Verify(t.Context(), f))
	}
	_, err = s.get(t, "hf:datasets/org/rows", "x.parquet")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(s.client.Cache.Dir, "datasets--org--rows", "refs", "main"))
}

func fileSHA256(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	require.NoError(t, err)
	h := Hash(filepath.Base(target))
	require.NotEmpty(t, h.SHA256())
	return h.SHA256()
}

// Git names this content so: git hash-object.
func TestGitsNameOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("hello\n"), 0o600))
	f := File{Path: "f", Bytes: 6, Hash: "ce013625030ba8dba906f756967f9e9ca394464a"}
	require.NoError(t, check(t.Context(), path, f))
	f.Hash = "ce013625030ba8dba906f756967f9e9ca394464b"
	require.ErrorIs(t, check(t.Context(), path, f), fetch.ErrChecksum)
}

// A commit that shares files with another fetches what differs.
func TestCommitsShareContent(t *testing.T) {
	s := newSetup(t)
	first, err := s.get(t, "hf:org/name", "config.json", "sub/model.gguf")
	require.NoError(t, err)
	old := s.Commit("org/name")
	s.Publish(t, "org/name", "main", fstest.MapFS{"config.json": {Data: []byte("{}")}, "sub/model.gguf": {Data: large}})
	s.Asked()
	second, err := s.get(t, "hf:org/name", "config.json", "sub/model.gguf")
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	for _, r := range s.Asked() {
		require.NotContains(t, r.Path, "model.gguf")
	}
	s.whole(t, second[1])
	for name, commit := range map[string]string{"hf:org/name": s.Commit("org/name"), "hf:org/name@" + old: old,
		"hf:org/name@" + old[:8]: old} {
		snap, ok, err := s.client.Cache.Find(parse(t, name))
		require.NoError(t, err)
		require.True(t, ok, name)
		require.Equal(t, commit, snap.Commit)
	}
	paths, err := s.get(t, "hf:org/name@"+old, "config.json")
	require.NoError(t, err)
	require.Equal(t, first[0], paths[0])
}

// The token goes to the hub, and to no other host.
func TestTheTokenStaysAtTheHub(t *testing.T) {
	s := newSetup(t)
	s.Gate("org/name", "hf_secret")
	s.client.Token = "hf_secret"
	paths, err := s.get(t, "hf:org/name", "sub/model.gguf")
	require.NoError(t, err)
	s.whole(t, paths[0])
	cdn := 0
	for _, r := range s.Asked() {
		if r.CDN {
			cdn++
			require.Empty(t, r.Authorization)
		} else {
			require.Equal(t, "Bearer hf_secret", r.Authorization)
		}
	}
	require.Equal(t, 1, cdn)
}

// What networks and servers fail at for a moment.
func TestDownloadsGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		fault  hubtest.Fault
		ranges []string // asked of the host that has the bytes
		waited []time.Duration
	}{
		"broken off": {hubtest.Fault{Path: "model.gguf", Break: true, After: 200_000, Times: 1}, []string{"",
			"bytes=200000-"}, []time.Duration{time.Second}},
		"broken off three times": {hubtest.Fault{Path: "model.gguf", Break: true, After: 100_000, Times: 3},
			[]string{"", "bytes=100000-", "bytes=200000-", "bytes=300000-"},
			[]time.Duration{time.Second, time.Second, time.Second}},
		"too many requests": {hubtest.Fault{Path: "sub/model.gguf", Status: 429, Header: map[string]string{
			"Retry-After": "7"}, Times: 2}, []string{""}, []time.Duration{7 * time.Second, 7 * time.Second}},
		"too many, of the description": {hubtest.Fault{Path: "revision/main", Status: 429, Header: map[string]string{
			"Retry-After": "3"}, Times: 1}, []string{""}, []time.Duration{3 * time.Second}},
		"a fault of theirs": {hubtest.Fault{Path: "sub/model.gguf", Status: 503, Times: 2}, []string{""},
			[]time.Duration{time.Second, 2 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.Break(c.fault)
			paths, err := s.get(t, "hf:org/name", "sub/model.gguf")
			require.NoError(t, err)
			s.whole(t, paths[0])
			var ranges []string
			for _, r := range s.Asked() {
				if r.CDN {
					ranges = append(ranges, r.Range)
				}
			}
			require.Equal(t, c.ranges, ranges)
			require.Equal(t, c.waited, s.waited)
			require.Len(t, s.notes, len(c.waited))
		})
	}
}

// A server that refuses ranges, and a part that is none of this file.
func TestPartsThatCannotBeGoneOnWith(t *testing.T) {
	for name, c := range map[string]struct {
		fault hubtest.Fault
		part  []byte
		notes int
	}{
		"range refused":  {hubtest.Fault{Path: "model.gguf", NoRange: true}, large[:1000], 0},
		"another's part": {hubtest.Fault{}, bytes.Repeat([]byte("x"), 5000), 1},
		"too long":       {hubtest.Fault{}, append(bytes.Clone(large), 1), 1},
		"whole already":  {hubtest.Fault{}, large, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			if c.fault.Path != "" {
				s.Break(c.fault)
			}
			repo, err := s.client.Repository(t.Context(), parse(t, "hf:org/name"))
			require.NoError(t, err)
			for _, f := range repo.Files {
				if f.Path != "sub/model.gguf" {
					continue
				}
				part := s.client.part(repo, f)
				require.NoError(t, os.MkdirAll(filepath.Dir(part), 0o777))
				require.NoError(t, os.WriteFile(part, c.part, 0o666))
				paths, err := s.client.Get(t.Context(), repo, []File{f})
				require.NoError(t, err)
				s.whole(t, paths[0])
			}
			require.Len(t, s.notes, c.notes, s.notes)
		})
	}
}

func TestWrongBytesAreNotKept(t *testing.T) {
	s := newSetup(t)
	s.Break(hubtest.Fault{Path: "model.gguf", Corrupt: true})
	s.Break(hubtest.Fault{Path: "config.json", Corrupt: true})
	for _, file := range []string{"config.json", "sub/model.gguf"} {
		_, err := s.get(t, "hf:org/name", file)
		require.ErrorIs(t, err, fetch.ErrChecksum)
		require.ErrorContains(t, err, "hf:org/name:"+file)
		require.ErrorContains(t, err, "was not kept")
	}
	blobs, err := filepath.Glob(filepath.Join(s.client.Cache.Dir, "*", "blobs", "*"))
	require.NoError(t, err)
	require.Empty(t, blobs)
	_, ok, err := s.client.Cache.Find(parse(t, "hf:org/name"))
	require.NoError(t, err)
	require.False(t, ok, "no branch without its files")
	s.Mend()
	paths, err := s.get(t, "hf:org/name", "config.json", "sub/model.gguf")
	require.NoError(t, err)
	s.whole(t, paths[1])
}

// What the hub refuses is explained.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		ref, file, token string
		gate, hide       string
		kind             error
		says             []string
	}{
		"gated, no token": {"hf:org/name", "sub/model.gguf", "", "t", "", ErrGated, []string{
			"agree to their terms at URL/org/name,", "URL/settings/tokens", "export HF_TOKEN=hf_"}},
		"gated, not let in": {"hf:org/name", "sub/model.gguf", "other", "t", "", ErrGated, []string{
			"the account of the token in HF_TOKEN has not been let in", "URL/org/name"}},
		"bad token": {"hf:org/name", "", "bad", "", "", ErrToken, []string{"does not know the token in HF_TOKEN",
			"URL/settings/tokens"}},
		"no repository": {"hf:org/other", "", "", "", "", ErrNoRepository, []string{"hf:org/other: there is no such " +
			"repository", "A data set of that name would be hf:datasets/org/other;", "a private one needs a token"}},
		"no repository, with a token": {"hf:datasets/org/other", "", "t", "", "", ErrNoRepository, []string{
			"A model of that name would be hf:org/other;", "URL/datasets/org/other"}},
		"private": {"hf:org/name", "", "", "", "t", ErrNoRepository, nil},
		"no revision": {"hf:org/name@v9", "", "", "", "", ErrNoRevision,
			[]string{"hf:org/name@v9: there is no such revision"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.client.Token = c.token
			if c.gate != "" {
				s.Gate("org/name", c.gate)
			}
			if c.hide != "" {
				s.Hide("org/name", c.hide)
			}
			_, err := s.get(t, c.ref, c.file)
			require.ErrorIs(t, err, c.kind)
			for _, text := range c.says {
				require.ErrorContains(t, err, strings.ReplaceAll(text, "URL", s.URL))
			}
			require.Empty(t, s.waited, "what is refused once is refused again")
		})
	}
	s := newSetup(t)
	repo, err := s.client.Repository(t.Context(), parse(t, "hf:org/name"))
	require.NoError(t, err)
	_, err = s.client.Get(t.Context(), repo, []File{{Path: "gone.gguf", Bytes: 5, Hash: Hash(strings.Repeat("a", 64))}})
	require.ErrorIs(t, err, ErrNoFile)
	require.ErrorContains(t, err, "steer fetch --list hf:org/name")
	s.client.HTTP.Tries = 2
	s.Break(hubtest.Fault{Path: "revision/main", Status: 429, Header: map[string]string{"Retry-After": "3600"}})
	_, err = s.client.Repository(t.Context(), parse(t, "hf:org/name"))
	require.ErrorContains(t, err, "too many requests, try again in 1h0m0s")
}

func TestOffline(t *testing.T) {
	s := newSetup(t)
	s.client.Offline = "HF_HUB_OFFLINE is set"
	_, err := s.get(t, "hf:org/name")
	var offline *OfflineError
	require.ErrorAs(t, err, &offline)
	require.ErrorContains(t, err, "since HF_HUB_OFFLINE is set")
	require.ErrorContains(t, err, "steer fetch hf:org/name")
	require.Empty(t, s.Asked())
}

// A server that only resembles the hub: descriptions without sizes and hashes.
func TestDescriptionsWithoutHashes(t *testing.T) {
	s := newSetup(t)
	s.Plain()
	paths, err := s.get(t, "hf:org/name", "config.json", "sub/model.gguf")
	require.NoError(t, err)
	s.whole(t, paths[1])
	s.Break(hubtest.Fault{Path: "README.md", Status: 200})
	_, err = s.get(t, "hf:org/name", "README.md")
	require.ErrorContains(t, err, "the hub names no hash of the file")
}

// Two at once fetch a file once.
func TestTwoAtOnce(t *testing.T) {
	s := newSetup(t)
	s.Break(hubtest.Fault{Path: "model.gguf", Each: 20 * time.Millisecond})
	dir := s.client.Cache.Dir
	var wait sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wait.Go(func() {
			c := &Client{Cache: Cache{Dir: dir}, Endpoint: s.URL}
			_, errs[i] = getBy(t.Context(), c, Ref{ID: "org/name"}, "sub/model.gguf")
		})
	}
	wait.Wait()
	require.NoError(t, errors.Join(errs...))
	cdn := 0
	for _, r := range s.Asked() {
		if r.CDN {
			cdn++
		}
	}
	require.Equal(t, 1, cdn)
	s.whole(t, filepath.Join(dir, "models--org--name", "snapshots", s.Commit("org/name"), "sub", "model.gguf"))
}

// An interrupted call keeps what came, and the next goes on.
func TestInterrupted(t *testing.T) {
	s := newSetup(t)
	s.Break(hubtest.Fault{Path: "model.gguf", Each: 10 * time.Millisecond, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.client.Progress = func(_ string, done, _ int64) {
		if done > 100_000 {
			cancel()
		}
	}
	_, err := getBy(ctx, s.client, Ref{ID: "org/name"}, "sub/model.gguf")
	require.ErrorIs(t, err, context.Canceled)
	s.Asked()
	paths, err := s.get(t, "hf:org/name", "sub/model.gguf")
	require.NoError(t, err)
	s.whole(t, paths[0])
	asked := s.Asked()
	require.Regexp(t, `^bytes=\d{6}-$`, asked[len(asked)-1].Range)
}

// Where links cannot be made the file itself stands in the snapshot.
func TestWithoutLinks(t *testing.T) {
	symlink = func(string, string) error { return errors.ErrUnsupported }
	defer func() { symlink = os.Symlink }()
	s := newSetup(t)
	paths, err := s.get(t, "hf:org/name", "sub/model.gguf")
	require.NoError(t, err)
	s.whole(t, paths[0])
	require.Len(t, s.notes, 1)
	st, err := os.Lstat(paths[0])
	require.NoError(t, err)
	require.True(t, st.Mode().IsRegular())
	s.Asked()
	_, err = s.get(t, "hf:org/name", "sub/model.gguf")
	require.NoError(t, err)
	require.Len(t, s.Asked(), 1)
}

func TestRoom(t *testing.T) {
	s := newSetup(t)
	repo, err := s.client.Repository(t.Context(), parse(t, "hf:org/name"))
	require.NoError(t, err)
	_, err = s.client.Get(t.Context(), repo, []File{{Path: "m", Bytes: 1 << 60, Hash: Hash(strings.Repeat("a", 64))}})
	require.ErrorIs(t, err, ErrDiskFull)
	require.ErrorContains(t, err, "HF_HUB_CACHE")
}

func TestLicences(t *testing.T) {
	for text, want := range map[string]string{
		card:                             "apache-2.0",
		"---\r\nlicense: mit\r\n---\r\n": "mit",
		"---\nlicense: other\nlicense_name: gemma-terms\nlicense_link: x\n---\n": "gemma-terms",
		"---\nlicense: [mit, cc0-1.0]\n---\n":                                    "mit, cc0-1.0",
		"# no head":                                                              "",
		"---\nlicense: mit\n":                                                    "",
		"---\n: [\n---\n":                                                        "",
	} {
		require.Equal(t, want, licenceOf([]byte(text)), text)
	}
	s := newSetup(t)
	repo, err := s.client.Repository(t.Context(), parse(t, "hf:org/name"))
	require.NoError(t, err)
	require.Equal(t, "apache-2.0", repo.Licence)
	_, err = s.get(t, "hf:org/name", Card)
	require.NoError(t, err)
	snap, _, err := s.client.Cache.Find(parse(t, "hf:org/name"))
	require.NoError(t, err)
	require.Equal(t, "apache-2.0", snap.Licence)
}

// A description that would lead out of the cache is refused.
func TestHostileDescriptions(t *testing.T) {
	commit := `{"sha":"` + strings.Repeat("a", 40) + `",`
	for _, text := range []string{
		`{"sha":"../../x","siblings":[]}`, commit + `"siblings":[{"rfilename":"../x"}]}`,
		commit + `"siblings":[{"rfilename":"/x"}]}`, commit + `"disabled":true}`,
	} {
		_, err := answerOf(t, text)
		require.Error(t, err, text)
	}
}

func answerOf(t *testing.T, text string) (*Repository, error) {
	t.Helper()
	var a answer
	require.NoError(t, json.Unmarshal([]byte(text), &a))
	return a.repository("http://hub", Ref{ID: "org/name"})
}
