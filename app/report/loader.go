package report

import (
	"os"
	"path/filepath"
	"regexp"
)

// Loader reads run folders.
type Loader struct {
	// Root is the absolute path of the working directory. Files name what went into them by
	// absolute paths; those below Root, or beside it, are shown relative to it: a report that is
	// handed on should not tell where its reader's home is. "": all are shown as they are.
	Root string
}

// Load is [Loader.Load] with paths as they are.
func Load(dirs ...string) (*Report, error) { return Loader{}.Load(dirs...) }

// LoadTwo is [Loader.LoadTwo] with paths as they are.
func LoadTwo(a, b string) (*Report, error) { return Loader{}.LoadTwo(a, b) }

// file reads a file of a run folder with its paths shortened.
func (l Loader) file(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	return l.shorten(text), err
}

// shorten makes paths in a text relative to the root.
func (l Loader) shorten(text []byte) []byte {
	if l.Root == "" {
		return text
	}
	for _, place := range []struct{ dir, shown string }{{l.Root, ""}, {filepath.Dir(l.Root), "../"}} {
		if place.dir != filepath.Dir(place.dir) { // everything is below that
			path := regexp.MustCompile(`(^|[\s"'=:,(\[])` + regexp.QuoteMeta(filepath.ToSlash(place.dir)) + `/`)
			text = path.ReplaceAll(text, []byte("${1}"+place.shown))
		}
	}
	return text
}
