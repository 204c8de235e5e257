package workspace

import "path/filepath"

// Abs makes a configured path absolute, relative to the folder of its file.
func Abs(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
