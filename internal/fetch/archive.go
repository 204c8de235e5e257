package fetch

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Bounds of an archive, against damaged and hostile ones.
type Bounds struct {
	Members int   // how many it may list
	Bytes   int64 // to how much all of them may unpack
}

// DefaultBounds hold for the data sets: the largest release is far below.
func DefaultBounds() Bounds { return Bounds{Members: 10_000, Bytes: 8 << 30} }

// Unpack reads a .tar, .tar.gz or .zip file, recognised by content, and writes the wanted
// members: open gets a member's name and answers with where its bytes go, or nil to pass over it.
// A member that is wanted has to be a plain file with a path inside the archive: links, devices
// and paths that lead out of it are refused. Nothing is written but to what open gives.
func Unpack(ctx context.Context, file string, b Bounds, open func(name string) (io.WriteCloser, error)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err != nil {
		return fmt.Errorf("%s: no archive: %w", file, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	u := unpacker{ctx: ctx, file: file, left: b, open: open}
	switch {
	case bytes.HasPrefix(head, []byte("PK")):
		return u.zip(f, st.Size())
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
		if err != nil {
			return fmt.Errorf("%s: damaged gzip header: %w", file, err)
		}
		defer z.Close()
		return u.tar(z)
	}
	return u.tar(bufio.NewReaderSize(f, 1<<20))
}

type unpacker struct {
	ctx  context.Context
	file string
	left Bounds
	open func(string) (io.WriteCloser, error)
}

func (u *unpacker) tar(r io.Reader) error {
	// What is passed over is unpacked, too, and counts.
	t := tar.NewReader(&counted{r: r, left: &u.left.Bytes, file: u.file})
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: damaged or no archive: %w", u.file, err)
		}
		if err := u.count(); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if err := u.member(h.Name, h.Typeflag == tar.TypeReg, t); err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(f *os.File, size int64) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("%s: damaged or no archive: %w", u.file, err)
	}
	for _, m := range z.File {
		if err := u.count(); err != nil {
			return err
		}
		if m.FileInfo().IsDir() {
			continue
		}
		if err := u.zipped(m); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(m *zip.File) error {
	r, err := m.Open()
	if err != nil {
		return fmt.Errorf("%s: %s: %w", u.file, m.Name, err)
	}
	defer r.Close()
	return u.member(m.Name, m.Mode().IsRegular(), &counted{r: r, left: &u.left.Bytes, file: u.file})
}

func (u *unpacker) count() error {
	if u.left.Members--; u.left.Members < 0 {
		return fmt.Errorf("%s: %w: too many files", u.file, ErrBounds)
	}
	return u.ctx.Err()
}

// member writes a member if it is wanted.
func (u *unpacker) member(name string, plain bool, r io.Reader) (err error) {
	w, err := u.open(name)
	if err != nil || w == nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	switch clean := strings.TrimPrefix(name, "./"); {
	case !local(clean) || path.Clean(clean) != clean:
		return fmt.Errorf("%s: %q: %w: a path that leads out of the folder", u.file, name, ErrBounds)
	case !plain:
		return fmt.Errorf("%s: %q: %w: a link or device, not a file", u.file, name, ErrBounds)
	}
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("%s: %s: %w", u.file, name, err)
	}
	return nil
}

// counted is a reader of what may still be unpacked.
type counted struct {
	r    io.Reader
	left *int64
	file string
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if *c.left -= int64(n); *c.left < 0 {
		return 0, fmt.Errorf("%s: %w: unpacks to more than it may", c.file, ErrBounds)
	}
	return n, err
}

// isMember tells whether an archive's member is the file that the catalogue names: the last
// folders decide, releases differ in what they put around them.
func isMember(name, from string) bool {
	name = strings.TrimPrefix(name, "./")
	return name == from || strings.HasSuffix(name, "/"+from) && !strings.HasPrefix(name, "__MACOSX/")
}
