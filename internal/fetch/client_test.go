package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// content is a file of a few packets.
var content = bytes.Repeat([]byte("0123456789abcdef"), 40_000)

// server answers with content as a file server does, unless handle has answered.
func server(
	t *testing.T, handle func(n int64, w http.ResponseWriter, r *http.Request) bool,
) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		w.Header().Set("ETag", `"v1"`)
		if handle == nil || !handle(n, w, r) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

// impatient is a client that waits for nothing, and remembers how long it would have.
func impatient() (*Client, *[]time.Duration, *[]string) {
	var waited []time.Duration
	var notes []string
	return &Client{Sleep: func(ctx context.Context, d time.Duration) error {
		waited = append(waited, d)
		return ctx.Err()
	}, Note: func(text string) { notes = append(notes, text) }}, &waited, &notes
}

func request(t *testing.T, url string) Request {
	return Request{URL: url, To: filepath.Join(t.TempDir(), "file.part"), Most: 1 << 30}
}

// whole: the file is there, and nothing else.
func whole(t *testing.T, r Request) {
	t.Helper()
	got, err := os.ReadFile(r.To)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got), "%d bytes", len(got))
	require.NoFileExists(t, r.To+".from")
}

// half writes the first n bytes of the content and breaks the connection off.
func half(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestDownload(t *testing.T) {
	s, asked := server(t, func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
		require.Equal(t, "steer", r.UserAgent())
		require.Equal(t, "identity", r.Header.Get("Accept-Encoding"))
		require.Empty(t, r.Header.Get("Range"))
		return false
	})
	c, waited, notes := impatient()
	r := request(t, s.URL)
	var last, total int64
	r.Progress = func(done, all int64) { last, total = done, all }
	_, err := c.Download(t.Context(), r)
	require.NoError(t, err)
	whole(t, r)
	require.Equal(t, int64(len(content)), last)
	require.Equal(t, int64(len(content)), total)
	require.EqualValues(t, 1, asked.Load())
	require.Empty(t, *waited)
	require.Empty(t, *notes)
}

// A connection that breaks off is gone on with where it ended, as long as the file is the same.
func TestDownloadGoesOn(t *testing.T) {
	const part = 200_000
	for name, c := range map[string]struct {
		changed bool
		ranges  []string
	}{"same file": {false, []string{"", "bytes=200000-"}}, "changed meanwhile": {true, []string{"", "bytes=200000-"}}} {
		t.Run(name, func(t *testing.T) {
			var ranges []string
			s, _ := server(t, func(n int64, w http.ResponseWriter, r *http.Request) bool {
				ranges = append(ranges, r.Header.Get("Range"))
				if n == 1 {
					half(w, part)
				}
				require.Equal(t, `"v1"`, r.Header.Get("If-Range"))
				if c.changed {
					w.Header().Set("ETag", `"v2"`)
				}
				return false
			})
			client, waited, notes := impatient()
			r := request(t, s.URL)
			_, err := client.Download(t.Context(), r)
			require.NoError(t, err)
			whole(t, r)
			require.Equal(t, c.ranges, ranges)
			require.Equal(t, []time.Duration{time.Second}, *waited)
			require.Len(t, *notes, 1)
			require.Contains(t, (*notes)[0], "cannot be reached: unexpected EOF")
		})
	}
}

// An interruption keeps the part; a later call of another process goes on with it.
func TestDownloadInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var ranges []string
	s, _ := server(t, func(n int64, w http.ResponseWriter, r *http.Request) bool {
		ranges = append(ranges, r.Header.Get("Range"))
		if n > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:100_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	c, waited, _ := impatient()
	r := request(t, s.URL)
	r.Progress = func(done, _ int64) {
		if done == 100_000 {
			cancel()
		}
	}
	_, err := c.Download(ctx, r)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, *waited)
	require.EqualValues(t, 100_000, sizeOf(r.To))
	r.Progress = nil
	_, err = c.Download(t.Context(), r)
	require.NoError(t, err)
	whole(t, r)
	require.Equal(t, []string{"", "bytes=100000-"}, ranges)
}

// A part that nothing vouches for is not gone on with: of another address, or of a server that
// gives nothing to compare by, unless a hash will tell.
func TestPartsThatAreNotTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		from  string // first line of the note beside the part; "" for none
		tag   string
		known bool
		want  string
	}{
		"no note":         {"", "", true, ""},
		"other address":   {"http://elsewhere/x", `"v1"`, true, ""},
		"nothing to say":  {"URL", "", false, ""},
		"a hash will say": {"URL", "", true, "bytes=5-"},
		"tag":             {"URL", `"v1"`, false, "bytes=5-"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked string
			s, _ := server(t, func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
				asked = r.Header.Get("Range")
				return false
			})
			client, _, _ := impatient()
			r := request(t, s.URL)
			r.Known = c.known
			require.NoError(t, os.WriteFile(r.To, content[:5], 0o600))
			if c.from != "" {
				require.NoError(t,
					os.WriteFile(r.To+".from", []byte(strings.Replace(c.from, "URL", s.URL, 1)+"\n"+c.tag+"\n"), 0o600))
			}
			_, err := client.Download(t.Context(), r)
			require.NoError(t, err)
			whole(t, r)
			require.Equal(t, c.want, asked)
		})
	}
}

// A server that refuses ranges, or answers with another one, is asked from the beginning.
func TestRangesRefused(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"416": func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
		"416 of another size": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes */4")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		},
		"another range": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(content)
		},
		"nonsense": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "5 bytes")
			w.WriteHeader(http.StatusPartialContent)
		},
		"200, the whole": func(w http.ResponseWriter) { _, _ = w.Write(content) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := server(t, func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Range") == "" {
					return false
				}
				answer(w)
				return true
			})
			client, waited, _ := impatient()
			r := request(t, s.URL)
			require.NoError(t, os.WriteFile(r.To, content[:5], 0o600))
			require.NoError(t, os.WriteFile(r.To+".from", []byte(s.URL+"\n\"v1\"\n"), 0o600))
			_, err := client.Download(t.Context(), r)
			require.NoError(t, err)
			whole(t, r)
			require.Empty(t, *waited)
		})
	}
}

// A part that is the whole already is not asked for again.
func TestPartThatIsWhole(t *testing.T) {
	s, asked := server(t, nil)
	client, _, _ := impatient()
	r := request(t, s.URL)
	require.NoError(t, os.WriteFile(r.To, content, 0o600))
	require.NoError(t, os.WriteFile(r.To+".from", []byte(s.URL+"\n\"v1\"\n"), 0o600))
	_, err := client.Download(t.Context(), r)
	require.NoError(t, err)
	whole(t, r)
	require.EqualValues(t, 1, asked.Load())
}

// Faults of a moment are tried again, longer and longer, as the server asks to wait.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		waits  []time.Duration
		fails  string
	}{
		"500": {500, "", []time.Duration{1e9, 2e9, 4e9, 8e9},
			"answers 500 Internal Server Error: a fault of theirs, try again later (given up after 5 attempts)"},
		"503, 7 seconds":  {503, "7", []time.Duration{7e9, 7e9, 7e9, 7e9}, "503"},
		"429":             {429, "", []time.Duration{1e9, 2e9, 4e9, 8e9}, "too many requests"},
		"429, an hour":    {429, "3600", nil, "too many requests, try again in 1h0m0s"},
		"429, long ago":   {429, "Mon, 02 Jan 2006 15:04:05 GMT", []time.Duration{1e9, 2e9, 4e9, 8e9}, "too many"},
		"501":             {501, "", nil, "501"},
		"400":             {400, "", nil, "answers 400 Bad Request"},
		"401":             {401, "", nil, "it wants to know who asks"},
		"403":             {403, "", nil, "it wants to know who asks"},
		"404":             {404, "", nil, "the file has moved or was taken away"},
		"204, no content": {204, "", nil, "answers 204"},
	} {
		t.Run(name, func(t *testing.T) {
			s, asked := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Retry-After", c.after)
				w.WriteHeader(c.status)
				return true
			})
			client, waited, _ := impatient()
			r := request(t, s.URL)
			_, err := client.Download(t.Context(), r)
			require.ErrorContains(t, err, c.fails)
			require.Equal(t, c.waits, *waited)
			require.EqualValues(t, len(c.waits)+1, asked.Load())
			require.NoFileExists(t, r.To)
			require.Equal(t, c.status == 404, errors.Is(err, ErrNotThere))
		})
	}
}

// Attempts that gain bytes do not count among those that fail in a row.
func TestEveryByteIsProgress(t *testing.T) {
	s, asked := server(t, func(n int64, w http.ResponseWriter, r *http.Request) bool {
		if n > 12 {
			return false
		}
		from := 0
		if v := r.Header.Get("Range"); v != "" {
			_, err := fmt.Sscanf(v, "bytes=%d-", &from)
			require.NoError(t, err)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(content[from : from+1000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		half(w, 1000)
		return true
	})
	client, waited, _ := impatient()
	r := request(t, s.URL)
	_, err := client.Download(t.Context(), r)
	require.NoError(t, err)
	whole(t, r)
	require.EqualValues(t, 13, asked.Load())
	require.Len(t, *waited, 12)
}

func TestSizes(t *testing.T) {
	s, asked := server(t, nil)
	client, waited, _ := impatient()
	r := request(t, s.URL)
	r.Bytes = 7
	_, err := client.Download(t.Context(), r)
	require.ErrorIs(t, err, ErrSize)
	require.ErrorContains(t, err, fmt.Sprintf("the server has %d bytes, the release 7", len(content)))
	r.Bytes, r.Most = 0, 100
	_, err = client.Download(t.Context(), r)
	require.ErrorIs(t, err, ErrBounds)
	require.EqualValues(t, 2, asked.Load())
	require.Empty(t, *waited)

	// A server that does not say how much will come is stopped, too.
	endless, _ := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for range 1000 { // far beyond the bound, and not for ever
			if _, err := w.Write(content[:1000]); err != nil {
				break
			}
		}
		return true
	})
	r = request(t, endless.URL)
	r.Most = 50_000
	_, err = client.Download(t.Context(), r)
	require.ErrorIs(t, err, ErrBounds)
	require.LessOrEqual(t, sizeOf(r.To), r.Most)
}

// A body without a length may be longer than the file: what is too much never reaches the disk.
func TestEndlessBody(t *testing.T) {
	s, _ := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		for range 100 { // were it not ended, this would come whole
			if _, err := w.Write(content); err != nil {
				break
			}
			w.(http.Flusher).Flush()
		}
		return true
	})
	c, _, _ := impatient()
	r := request(t, s.URL)
	r.Bytes, r.Most = 1000, 0
	_, err := c.Download(t.Context(), r)
	require.ErrorIs(t, err, ErrSize)
	require.LessOrEqual(t, sizeOf(r.To), r.Bytes)
}

// A server from which nothing comes any more is asked again.
func TestStalledServer(t *testing.T) {
	s, _ := server(t, func(n int64, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	client, _, notes := impatient()
	client.Stall = 50 * time.Millisecond
	r := request(t, s.URL)
	_, err := client.Download(t.Context(), r)
	require.NoError(t, err)
	whole(t, r)
	require.Contains(t, strings.Join(*notes, "\n"), "no byte for 50ms")
}

func TestNobodyListens(t *testing.T) {
	s, _ := server(t, nil)
	s.Close()
	client, waited, _ := impatient()
	_, err := client.Download(t.Context(), request(t, s.URL))
	require.ErrorIs(t, err, ErrUnreachable)
	require.Empty(t, *waited)
}

// The token goes to the host it is for, and not on to where that redirects to; what the hub
// says of the file is kept.
func TestRedirects(t *testing.T) {
	store, _ := server(t, func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
		require.Empty(t, r.Header.Get("Authorization"))
		return false
	})
	sum := strings.Repeat("ab", 32)
	hub, _ := server(t, func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		require.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		w.Header().Set("X-Linked-Etag", `"`+sum+`"`)
		w.Header().Set("X-Repo-Commit", "c0ffee")
		// Another host, as far as a client can tell.
		http.Redirect(w, r, strings.Replace(store.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
		return true
	})
	client, _, _ := impatient()
	r := request(t, hub.URL)
	r.Token = "secret"
	resp, err := client.Download(t.Context(), r)
	require.NoError(t, err)
	whole(t, r)
	require.Equal(t, Response{SHA256: sum, Commit: "c0ffee"}, resp)

	endless, _ := server(t, func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, r.URL.String(), http.StatusFound)
		return true
	})
	client.Tries = 1
	_, err = client.Download(t.Context(), request(t, endless.URL))
	require.ErrorContains(t, err, "more than 10 redirects")
}

func TestContentRange(t *testing.T) {
	for value, want := range map[string][3]int64{
		"bytes 5-9/10": {5, 10, 1}, "bytes */10": {0, 10, 1}, "bytes 5-9/*": {5, 0, 1},
		"": {}, "bytes": {}, "bytes 5": {}, "items 5-9/10": {}, "bytes x-9/10": {0, 10, 0}, "bytes 5-9/x": {},
		"bytes 5-9/-1": {},
	} {
		from, of, ok := contentRange(value)
		require.Equal(t, want[2] == 1, ok, value)
		if ok {
			require.Equal(t, [2]int64{want[0], want[1]}, [2]int64{from, of}, value)
		}
	}
}
