package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// isAddress tells a mirror's address from a folder.
func isAddress(mirror string) bool {
	return strings.HasPrefix(mirror, "http://") || strings.HasPrefix(mirror, "https://")
}

// CheckMirror tells whether a mirror can be one: an address, or a folder that is there. "" is none.
func CheckMirror(mirror string) error {
	if mirror == "" || isAddress(mirror) {
		return nil
	}
	if st, err := os.Stat(mirror); err != nil || !st.IsDir() {
		return fmt.Errorf("want a folder that is there, or an address (https://...), got %q", mirror)
	}
	return nil
}

// mirrored gets a file from the mirror into a file at to: under its own name or packed. It
// gives the packing, and ErrNotThere if the mirror lacks the file.
func (f *Fetcher) mirrored(ctx context.Context, s Set, file File, to string) (packing, from string, err error) {
	name := file.Path
	if s.Kind == Model {
		name = "models/" + name // a mirror is laid out as a data folder, models in a folder of it
	}
	for _, packing := range append([]string{""}, packings...) {
		from = strings.TrimSuffix(f.Mirror, "/") + "/" + name + packing
		if isAddress(f.Mirror) {
			if err = f.fromAddress(ctx, name+packing, file, packing, to); err != nil {
				err = fmt.Errorf("mirror: %w", err)
			}
		} else {
			err = f.fromFolder(ctx, from, file, to)
		}
		if !errors.Is(err, ErrNotThere) {
			return packing, from, err
		}
	}
	return "", "", fmt.Errorf("in mirror %s it %w", f.Mirror, ErrNotThere)
}

func (f *Fetcher) fromAddress(ctx context.Context, name string, file File, packing, to string) error {
	address, err := url.JoinPath(f.Mirror, strings.Split(name, "/")...)
	if err != nil {
		return err
	}
	_, err = f.client().Download(ctx, Request{
		URL: address, To: to, Most: most(file), Known: file.SHA256 != "" && packing == "", Progress: f.progressOf(name),
	})
	return err
}

func (f *Fetcher) fromFolder(ctx context.Context, from string, file File, to string) (err error) {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotThere
	}
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("mirror: %s is not a regular file", from)
	}
	if st.Size() > most(file) {
		return fmt.Errorf("mirror: %s: %w: %d bytes, more than the %d that such a file may have",
			from, ErrBounds, st.Size(), most(file))
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	show := f.progressOf(filepath.Base(from))
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(out, in, 1<<22)
		done += n
		show(done, st.Size())
		if errors.Is(err, io.EOF) {
			return out.Sync()
		}
		if err != nil {
			return err
		}
	}
}
