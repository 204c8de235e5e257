package workspace

import (
	"path/filepath"

	"steer/internal/hub"
)

// Abs makes a configured path absolute, relative to the folder of its file. A name of the hub is none.
func Abs(dir, path string) string {
	if path == "" || filepath.IsAbs(path) || hub.IsName(path) {
		return path
	}
	return filepath.Join(dir, path)
}
