package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds on what a reader accepts. The largest official file (ETHICS virtue,
// hh-rlhf, the guanaco release) is below 100 MB; the bounds exist so that a
// damaged or hostile file ends in an error and not in a full memory.
const (
	// MaxFileBytes bounds a file after decompression, in bytes.
	MaxFileBytes = 4 << 30
	// MaxRecordBytes bounds one row (a JSON line, a CSV record), in bytes.
	MaxRecordBytes = 16 << 20
	// MaxRows bounds the rows of one file.
	MaxRows = 20_000_000
)

// limits are the bounds in force; tests use small ones.
type limits struct {
	fileBytes   int64
	recordBytes int
	rows        int
}

func defaultLimits() limits {
	return limits{fileBytes: MaxFileBytes, recordBytes: MaxRecordBytes, rows: MaxRows}
}

// Resolve finds the file that path means: itself, or path+".gz" or path+".zst",
// or, for a path with such an ending, the same file unpacked.
func Resolve(path string) (string, error) {
	candidates := []string{path}
	base := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
	for _, c := range []string{path + ".gz", path + ".zst", base, base + ".gz", base + ".zst"} {
		seen := false
		for _, have := range candidates {
			seen = seen || have == c
		}
		if !seen {
			candidates = append(candidates, c)
		}
	}
	for _, c := range candidates {
		info, err := os.Stat(c)
		switch {
		case err == nil && info.IsDir():
			return "", fmt.Errorf("data: %s is a folder: name the file inside it", c)
		case err == nil && !info.Mode().IsRegular():
			return "", fmt.Errorf("data: %s is not a regular file", c)
		case err == nil:
			return c, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("data: %w", err)
		}
	}
	return "", &NotFoundError{Path: path, Also: candidates[1:]}
}

// NotFoundError: there is no such file, packed or not.
type NotFoundError struct {
	Path string
	Also []string // what else was looked for
}

// Error implements error.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("data: %s: %v (also looked for %s)", e.Path, fs.ErrNotExist, strings.Join(e.Also, ", "))
}

// Unwrap makes it an fs.ErrNotExist.
func (e *NotFoundError) Unwrap() error { return fs.ErrNotExist }

// File is an opened data file; reading gives the unpacked bytes.
type File struct {
	// Path is the file that was found, see Resolve.
	Path string

	reader io.Reader
	close  []func() error
}

// Open opens a plain, gzip or Zstandard file. The packing is recognised by the
// first bytes, not by the name. Reading past MaxFileBytes is ErrTooLarge.
func Open(path string) (*File, error) { return openLimited(path, MaxFileBytes) }

func openLimited(path string, maxBytes int64) (*File, error) {
	found, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	raw, err := os.Open(found)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	f := &File{Path: found, close: []func() error{raw.Close}}
	buffered := bufio.NewReaderSize(raw, 1<<16)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		raw.Close()
		return nil, fmt.Errorf("data: %s: %w", found, err)
	}
	var unpacked io.Reader = buffered
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("data: %s: damaged gzip header: %w", found, err)
		}
		unpacked = z
		f.close = append(f.close, z.Close)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("data: %s: damaged zstd header: %w", found, err)
		}
		unpacked = z
		f.close = append(f.close, func() error { z.Close(); return nil })
	}
	f.reader = &boundedReader{r: unpacked, left: maxBytes, path: found, max: maxBytes}
	return f, nil
}

// Read reads unpacked bytes.
func (f *File) Read(p []byte) (int, error) { return f.reader.Read(p) }

// Close frees the file; closing twice is harmless.
func (f *File) Close() error {
	var first error
	for i := len(f.close) - 1; i >= 0; i-- {
		if err := f.close[i](); err != nil && first == nil {
			first = err
		}
	}
	f.close = nil
	return first
}

// boundedReader stops a file that unpacks to more than it may.
type boundedReader struct {
	r         io.Reader
	left, max int64
	path      string
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		n, err := b.r.Read(one[:])
		if n == 0 {
			return 0, b.context(err)
		}
		return 0, fmt.Errorf("%w: unpacks to more than %d bytes", ErrTooLarge, b.max)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, b.context(err)
}

// context says of a damaged packed file that the packing is what is damaged.
func (b *boundedReader) context(err error) error {
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("damaged or cut short (fetch the file again): %w", err)
}

// readAll reads a whole unpacked file.
func readAll(path string, lim limits) ([]byte, string, error) {
	f, err := openLimited(path, lim.fileBytes)
	if err != nil {
		return nil, path, err
	}
	defer f.Close()
	body, err := io.ReadAll(f)
	if err != nil {
		return nil, f.Path, fmt.Errorf("data: %s: %w", f.Path, err)
	}
	return body, f.Path, nil
}
