package modelfile

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"steer/ggml/gguf"
)

// SHA256 is the hash of a model, in hex, by sum, which hashes a file. It is that of its file, or, of one
// that is split, the SHA-256 of the parts' hashes in their order, a line each: the same whichever part is
// given.
func SHA256(path string, sum func(path string) (string, error)) (string, error) {
	parts := partsOf(path)
	if len(parts) == 1 {
		return sum(path)
	}
	all := sha256.New()
	for _, part := range parts {
		s, err := sum(part)
		if err != nil {
			return "", err
		}
		all.Write([]byte(s + "\n"))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// partsOf are the files of the model at path: itself, or all parts of one that is split.
func partsOf(path string) []string {
	f, err := gguf.Open(path)
	if err != nil {
		return []string{path} // whoever reads it says so
	}
	defer f.Close()
	n, err := f.Uint32(keySplits)
	no, err2 := f.Uint32(keySplit)
	if err != nil || err2 != nil || n < 2 || n > mostParts {
		return []string{path}
	}
	stem, ok := strings.CutSuffix(path, partName(no, n))
	if !ok {
		return []string{path}
	}
	var parts []string
	for i := range n {
		parts = append(parts, stem+partName(i, n))
	}
	return parts
}
