package hubtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a hub and, at another address, the host that it redirects large files to.
type Server struct {
	// URL of the hub and CDN of the other host.
	URL, CDN string

	mu     sync.Mutex
	repos  map[string]*repository // by "ORG/NAME" or "datasets/ORG/NAME"
	faults []*Fault
	asked  []Request
	plain  bool // descriptions without sizes and hashes
}

// Request is what the server was asked.
type Request struct {
	CDN           bool // it came to the other host
	Method, Path  string
	Range         string
	Authorization string
	Agent         string
}

// Fault is something that goes wrong with requests for paths that end in Path.
type Fault struct {
	// Path is what the request's path ends in; for the API, the repository's.
	Path string
	// Times is how often it happens; 0: always.
	Times int
	// After is how many bytes come before the connection breaks, if Break is set.
	After int
	Break bool
	// Corrupt changes a byte.
	Corrupt bool
	// NoRange: the whole file comes whatever part was asked for.
	NoRange bool
	// Status and Header are answered in place of the file.
	Status int
	Header map[string]string
	// Stall is how long nothing comes.
	Stall time.Duration
	// Each is how long every 64 kB take.
	Each time.Duration

	happened int
}

// New is a hub of a folder, closed when the test ends.
func New(t testing.TB, folder fs.FS) *Server {
	t.Helper()
	s, err := Serve(folder)
	if err != nil {
		t.Fatal(err)
	}
	hub, cdn := httptest.NewServer(s.Hub()), httptest.NewServer(s.Other())
	s.URL, s.CDN = hub.URL, cdn.URL
	t.Cleanup(func() {
		hub.CloseClientConnections()
		cdn.CloseClientConnections()
		hub.Close()
		cdn.Close()
	})
	return s
}

// Serve reads a folder. Whoever calls it listens: [Server.Hub] at URL, [Server.Other] at CDN, which are to be
// set.
func Serve(folder fs.FS) (*Server, error) {
	s := &Server{repos: map[string]*repository{}}
	for _, pattern := range []string{"*/*", "datasets/*/*"} {
		names, err := fs.Glob(folder, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if st, err := fs.Stat(folder, name); err != nil || !st.IsDir() ||
				strings.HasPrefix(name, "datasets/") && strings.Count(name, "/") == 1 {
				continue
			}
			sub, err := fs.Sub(folder, name)
			if err != nil {
				return nil, err
			}
			if _, err := s.publish(name, "main", sub); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// Publish makes a folder the newest commit of a branch of a repository, which may be new, and gives the
// commit. Older ones stay.
func (s *Server) Publish(t testing.TB, name, branch string, folder fs.FS) string {
	t.Helper()
	sha, err := s.publish(name, branch, folder)
	if err != nil {
		t.Fatal(err)
	}
	return sha
}

func (s *Server) publish(name, branch string, folder fs.FS) (string, error) {
	c, err := newCommit(folder)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[name]
	if r == nil {
		id, dataset := strings.CutPrefix(name, "datasets/")
		r = &repository{id: id, dataset: dataset, commits: map[string]*commit{}, refs: map[string]string{}}
		s.repos[name] = r
	}
	r.commits[c.sha], r.refs[branch] = c, c.sha
	return c.sha, nil
}

// Commit is the newest commit of a repository's main branch.
func (s *Server) Commit(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[name].refs["main"]
}

// Has tells whether there is such a repository.
func (s *Server) Has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[name] != nil
}

// Gate makes a repository one that only this token opens.
func (s *Server) Gate(name, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name].gate = token
}

// Hide makes a repository a private one of whoever has this token.
func (s *Server) Hide(name, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name].gate, s.repos[name].private = token, true
}

// Plain leaves sizes and hashes out of descriptions, as servers do that only resemble the hub.
func (s *Server) Plain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain = true
}

// Break adds a fault.
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Mend forgets all faults.
func (s *Server) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Asked is what the server was asked since the last time.
func (s *Server) Asked() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// note remembers a request and finds what is to go wrong with it.
func (s *Server) note(r *http.Request, cdn bool) (fault Fault, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, Request{cdn, r.Method, r.URL.Path, r.Header.Get("Range"),
		r.Header.Get("Authorization"), r.UserAgent()})
	for _, f := range s.faults {
		// A large file passes by both hosts: what is about its bytes happens at the one that has them.
		bytes := f.Break || f.Corrupt || f.NoRange || f.Each > 0
		spent := f.Times > 0 && f.happened >= f.Times
		if !strings.HasSuffix(r.URL.Path, f.Path) || spent || bytes && !s.serves(r, cdn) {
			continue
		}
		f.happened++
		return *f, true
	}
	return Fault{}, false
}

// serves tells whether a request is answered with the bytes of a file.
func (s *Server) serves(r *http.Request, cdn bool) bool {
	if cdn {
		return true
	}
	repo, rev, name, ok := split(r.URL.Path)
	if !ok || s.repos[repo] == nil {
		return false
	}
	c, ok := s.repos[repo].find(rev)
	return ok && !c.files[name].large
}

// split reads /ORG/NAME/resolve/REVISION/FILE.
func split(p string) (repo, revision, file string, ok bool) {
	repo, rest, ok := strings.Cut(strings.TrimPrefix(p, "/"), "/resolve/")
	revision, file, cut := strings.Cut(rest, "/")
	return repo, revision, file, ok && cut
}

// Hub answers as the hub.
func (s *Server) Hub() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/models/", func(w http.ResponseWriter, r *http.Request) { s.api(w, r, "/api/models/", "") })
	mux.HandleFunc("GET /api/datasets/", func(w http.ResponseWriter, r *http.Request) {
		s.api(w, r, "/api/datasets/", "datasets/")
	})
	mux.HandleFunc("/", s.resolve)
	return mux
}

// Other answers as the host of large files: their addresses are their hashes.
func (s *Server) Other() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault, _ := s.note(r, true)
		if r.Header.Get("Authorization") != "" { // as signed addresses are answered
			http.Error(w, "only one way of authorization is allowed", http.StatusBadRequest)
			return
		}
		hash := path.Dir(strings.TrimPrefix(r.URL.Path, "/"))
		s.mu.Lock()
		var found *file
		for _, repo := range s.repos {
			for _, c := range repo.commits {
				for _, f := range c.files {
					if f.sha256 == hash {
						found = &f
					}
				}
			}
		}
		s.mu.Unlock()
		if found == nil {
			http.Error(w, "no such content", http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"cdn-`+found.sha256[:8]+`"`)
		send(w, r, found.content, fault)
	})
}

// refuse answers as the hub does what it will not give.
func refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	w.Header().Set("X-Error-Message", message)
	http.Error(w, `{"error":"`+message+`"}`, status)
}

// allowed finds a repository that whoever asks may know of; gated ones are described to all.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, name string, content bool) (*repository, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := s.repos[name]
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case token == "bad":
		refuse(w, http.StatusUnauthorized, "", "Invalid credentials in Authorization header")
	case repo == nil && token == "", repo != nil && repo.private && token == "":
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
	case repo == nil, repo.private && token != repo.gate:
		refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
	case content && repo.gate != "" && token == "":
		refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to model "+repo.id+" is restricted. You must have "+
			"access to it and be authenticated to access it. Please log in.")
	case content && repo.gate != "" && token != repo.gate:
		refuse(w, http.StatusForbidden, "GatedRepo", "Access to model "+repo.id+" is restricted and you are not in "+
			"the authorized list.")
	default:
		return repo, true
	}
	return nil, false
}

// api describes a repository.
func (s *Server) api(w http.ResponseWriter, r *http.Request, prefix, kind string) {
	name, revision, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, prefix), "/revision/")
	if fault, ok := s.note(r, false); ok && fault.answer(w) {
		return
	}
	repo, ok := s.allowed(w, r, kind+name, false)
	if !ok {
		return
	}
	if revision == "" {
		revision = "main"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := repo.find(revision)
	if !ok {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	raw, err := repo.describe(c, r.URL.Query().Get("blobs") != "" && !s.plain)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw)
}

// resolve gives a file, or says where it is.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request) {
	fault, _ := s.note(r, false)
	if fault.answer(w) {
		return
	}
	name, revision, filename, ok := split(r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, "", "Not found")
		return
	}
	repo, ok := s.allowed(w, r, name, true)
	if !ok {
		return
	}
	s.mu.Lock()
	c, ok := repo.find(revision)
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	w.Header().Set("X-Repo-Commit", c.sha)
	f, ok := c.files[filename]
	if !ok {
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	if f.large {
		w.Header().Set("X-Linked-Etag", `"`+f.etag()+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(f.content)))
		http.Redirect(w, r, s.CDN+"/"+f.sha256+"/"+path.Base(filename), http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+f.etag()+`"`)
	send(w, r, f.content, fault)
}

// answer gives what is answered in place of a file, if anything is.
func (f Fault) answer(w http.ResponseWriter) bool {
	time.Sleep(f.Stall)
	if f.Status == 0 {
		return false
	}
	for k, v := range f.Header {
		w.Header().Set(k, v)
	}
	http.Error(w, http.StatusText(f.Status), f.Status)
	return true
}

// send gives the bytes, as far as the fault lets them pass.
func send(w http.ResponseWriter, r *http.Request, content []byte, fault Fault) {
	if fault.NoRange {
		r.Header.Del("Range")
	}
	if fault.Corrupt && len(content) > 0 {
		content = bytes.Clone(content)
		content[len(content)/2] ^= 1
	}
	if fault.Break || fault.Each > 0 {
		w = &slow{ResponseWriter: w, fault: fault}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// slow lets bytes pass slowly, or some and no more.
type slow struct {
	http.ResponseWriter
	fault Fault
	sent  int
}

// Write implements io.Writer.
func (s *slow) Write(p []byte) (int, error) {
	if s.fault.Break && s.sent+len(p) > s.fault.After {
		_, _ = s.ResponseWriter.Write(p[:max(s.fault.After-s.sent, 0)])
		s.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := s.ResponseWriter.Write(p)
	s.sent += n
	s.ResponseWriter.(http.Flusher).Flush()
	time.Sleep(s.fault.Each * time.Duration(n) / (1 << 16))
	return n, err
}
