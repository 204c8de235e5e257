package pipeline

import "path/filepath"

// abs makes a configured path absolute, relative to the folder of its file.
func abs(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
