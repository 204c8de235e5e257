package run

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// partLength is how long a name may be to stand in a file name as it is. Three of them, with
// hashes, suffix and what a temporary file adds, stay below the 255 bytes of a file name.
const partLength = 40

// RecordsFile names the file of records of a measurement, relative to the run folder. Names that
// differ in anything have files that differ, on file systems that know no case, too: what is
// not made of a to z, 0 to 9, _ and - alone is shown as far as it can be, and told apart by its
// hash. The result names each file, so that nobody has to read a name back.
func RecordsFile(parts ...string) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = partName(p)
	}
	return filepath.Join(ItemsDir, strings.Join(names, ".")+RecordsSuffix)
}

// partName is one part of a file name.
func partName(name string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_', r == '-':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, name)
	if plain == name && len(name) <= partLength {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return plain[:min(len(plain), partLength)] + "~" + hex.EncodeToString(sum[:8])
}

// FormerRecordsFile is what versions before 0.1 named the file: two models could share one.
func FormerRecordsFile(parts ...string) string {
	clean := func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) || r < ' ' {
			return '_'
		}
		return r
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = strings.Map(clean, p)
	}
	return filepath.Join(ItemsDir, strings.Join(names, ".")+RecordsSuffix)
}
