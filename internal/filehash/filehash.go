package filehash

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Sum is the SHA-256 of the file at path, in hexadecimal.
func Sum(path string) (string, error) { return (*Cache)(nil).Sum(path) }

// Folder is the SHA-256 over the names and contents of a folder's files, those of folders in it
// included, in the order of their names.
func Folder(path string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(path, p)
		fmt.Fprintf(h, "%s\x00", rel)
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// Of is the SHA-256, in hexadecimal, and the number of the bytes that r has.
func Of(r io.Reader) (sum string, bytes int64, err error) {
	h := sha256.New()
	if bytes, err = io.Copy(h, r); err != nil {
		return "", bytes, err
	}
	return hex.EncodeToString(h.Sum(nil)), bytes, nil
}

func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum, _, err := Of(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return sum, nil
}
