package fetch

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"steer/internal/filehash"
)

// Found is the size and hash of a file as its release has it: of what a packing holds, where
// the file is packed and the release is not.
type Found struct {
	Bytes  int64  `json:"bytes" yaml:"bytes"`
	SHA256 string `json:"sha256" yaml:"sha256"`
}

// String is the hash, short.
func (f Found) String() string { return fmt.Sprintf("%d bytes, sha256 %s", f.Bytes, f.SHA256) }

func isSum(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

// sumOf hashes a file; packing is ".gz", ".zst" or "" for its bytes as they are. What unpacks
// to more than most is an error.
func sumOf(path, packing string, most int64) (found Found, err error) {
	f, err := os.Open(path)
	if err != nil {
		return Found{}, err
	}
	defer f.Close()
	var r io.Reader = bufio.NewReaderSize(f, 1<<20)
	switch packing {
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return Found{}, fmt.Errorf("%s: not packed with gzip: %w", path, err)
		}
		defer z.Close()
		r = z
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
		if err != nil {
			return Found{}, fmt.Errorf("%s: not packed with Zstandard: %w", path, err)
		}
		defer z.Close()
		r = z
	}
	sum, n, err := filehash.Of(io.LimitReader(r, most+1))
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", path, err)
	}
	if n > most {
		return Found{}, fmt.Errorf("%s: %w: more than %d bytes", path, ErrBounds, most)
	}
	return Found{n, sum}, nil
}
