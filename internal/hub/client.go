package hub

import (
	"cmp"
	"context"
	"crypto/sha1" // Git's names of small files
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"steer/internal/atomicfile"
	"steer/internal/bytesize"
	"steer/internal/fetch"
)

// Client asks a hub, and keeps what it fetches in the cache.
type Client struct {
	Cache Cache
	// Endpoint is the hub's address, "" for [fetch.Endpoint].
	Endpoint string
	// Token is sent to the hub and to nobody else; TokenFrom says where it was found.
	Token, TokenFrom string
	// Offline is why the hub is not to be asked, such as "--offline"; "" if it may be.
	Offline string
	// Force fetches what is there already.
	Force bool
	// HTTP does the requests; nil: one of its own.
	HTTP *fetch.Client
	// Note is told what the user should know, Progress how a download goes on; both may be nil.
	Note     func(string)
	Progress func(what string, done, total int64)
}

func (c *Client) endpoint() string {
	return strings.TrimSuffix(cmp.Or(c.Endpoint, fetch.Endpoint), "/")
}

func (c *Client) http() *fetch.Client {
	if c.HTTP == nil {
		c.HTTP = &fetch.Client{Note: c.Note}
	}
	return c.HTTP
}

func (c *Client) note(format string, args ...any) {
	if c.Note != nil {
		c.Note(fmt.Sprintf(format, args...))
	}
}

// Missing are those of the files that the cache lacks, and their sizes together.
func (c *Client) Missing(repo *Repository, files []File) (missing []File, bytes int64) {
	for _, f := range files {
		if c.Force || !c.there(repo, f) {
			missing = append(missing, f)
			bytes += max(f.Bytes, 0)
		}
	}
	return missing, bytes
}

// there tells whether the cache has a file of the repository, whole.
func (c *Client) there(repo *Repository, f File) bool {
	st, err := os.Stat(c.Cache.file(repo.Ref, repo.Commit, f.Path))
	return err == nil && st.Mode().IsRegular() && (f.Bytes < 0 || st.Size() == f.Bytes)
}

// Get fetches those of the files that the cache lacks, and gives the paths of all. An interrupted call
// goes on where it was.
func (c *Client) Get(ctx context.Context, repo *Repository, files []File) (paths []string, err error) {
	missing, _ := c.Missing(repo, files)
	if len(missing) > 0 && c.Offline != "" {
		return nil, &OfflineError{Ref: repo.Ref.At(repo.Commit).With(missing[0].Path), Since: c.Offline}
	}
	for i := range missing {
		if err := c.complete(ctx, repo, &missing[i]); err != nil {
			return nil, err
		}
	}
	if err := c.room(repo, missing); err != nil {
		return nil, err
	}
	for _, f := range missing {
		if err := c.get(ctx, repo, f); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		paths = append(paths, c.Cache.file(repo.Ref, repo.Commit, f.Path))
	}
	return paths, errors.Join(c.Cache.list(repo), c.Cache.remember(repo.Ref, repo.Commit))
}

// room is an error if the files do not fit on the disk.
func (c *Client) room(repo *Repository, files []File) error {
	var need int64
	for _, f := range files {
		if _, err := os.Stat(c.Cache.blob(repo.Ref, f.Hash)); err == nil && !c.Force {
			continue
		}
		need += f.Bytes
		if st, err := os.Stat(c.part(repo, f)); err == nil {
			need -= min(st.Size(), f.Bytes)
		}
	}
	if need <= 0 {
		return nil
	}
	dir := c.Cache.Dir
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	free, err := freeBytes(dir)
	if err != nil || free >= need {
		return err
	}
	return &Error{repo.Ref, ErrDiskFull, fmt.Sprintf("%s are to be fetched, and %s are free in %s: make room, or name "+
		"another folder with HF_HOME or HF_HUB_CACHE", bytesize.Text(need), bytesize.Text(free), dir)}
}

// part is where a file is while it is being fetched.
func (c *Client) part(repo *Repository, f File) string {
	return c.Cache.blob(repo.Ref, f.Hash) + ".incomplete"
}

// get fetches one file, while no other process does.
func (c *Client) get(ctx context.Context, repo *Repository, f File) (err error) {
	unlock, err := c.lock(ctx, repo, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	blob := c.Cache.blob(repo.Ref, f.Hash)
	if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
		return err
	}
	if st, err := os.Stat(blob); c.Force || err != nil || st.Size() != f.Bytes { // else another commit has it
		if c.there(repo, f) && !c.Force {
			return nil // another process was faster
		}
		if err := c.download(ctx, repo, f, blob); err != nil {
			return err
		}
	}
	linked, err := c.Cache.place(repo.Ref, repo.Commit, f)
	if err == nil && !linked {
		c.note("%s: no links can be made in %s: files are stored once for each commit", f.Path, c.Cache.Dir)
	}
	return err
}

// download fetches content and checks it. A part that another process left may be damaged: then the
// whole is fetched once more.
func (c *Client) download(ctx context.Context, repo *Repository, f File, blob string) error {
	part := c.part(repo, f)
	if c.Force {
		if err := removeIfThere(part); err != nil {
			return err
		}
	}
	for {
		_, err := os.Stat(part)
		begun := err == nil
		r := fetch.Request{
			URL: c.address(repo, f.Path), Token: c.Token, To: part, Bytes: f.Bytes, ByContent: true,
			Progress: func(done, total int64) {
				if c.Progress != nil {
					c.Progress(filepath.Base(f.Path), done, total)
				}
			},
		}
		_, err = c.http().Download(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wrong := errors.Is(err, fetch.ErrSize)
		if err != nil && !wrong {
			return c.explain(repo.Ref.With(f.Path), err)
		}
		if err == nil {
			if err = check(ctx, part, f); err == nil {
				return errors.Join(os.Rename(part, blob), atomicfile.SyncDir(filepath.Dir(blob)))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rm := removeIfThere(part); rm != nil || !begun {
			return errors.Join(fmt.Errorf("%s: %w: what came was not kept: give the same command again",
				repo.Ref.With(f.Path), err), rm)
		}
		c.note("%s: what an earlier call had fetched of it was damaged: from the beginning", f.Path)
	}
}

// check compares a file with its hash.
func check(ctx context.Context, path string, f File) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var h hash.Hash
	name := "sha256"
	if f.Hash.SHA256() != "" {
		h = sha256.New()
	} else {
		h, name = sha1.New(), "git's sha1"
		fmt.Fprintf(h, "blob %d\x00", f.Bytes)
	}
	if _, err := io.Copy(h, &interruptible{ctx, in}); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != string(f.Hash) {
		return fmt.Errorf("%w: %s is %s, not %s", fetch.ErrChecksum, name, sum, f.Hash)
	}
	return nil
}

// interruptible is a reader that ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// Verify compares the files of a snapshot with the hashes that they stand under; whether a file is
// unlike its own is told by its error.
func (s *Snapshot) Verify(ctx context.Context, f File) error {
	if f.Hash == "" {
		return nil // no link: nothing is known to compare it by
	}
	return check(ctx, filepath.Join(s.Dir, filepath.FromSlash(f.Path)), f)
}
