package experiment

import (
	"fmt"

	"steer/ggml/gguf"
	"steer/internal/fetch"
	"steer/rl/data"
)

// CheckFormat tells whether a downloaded file is what the catalogue says that it is: an address
// may answer with a page of its own.
func CheckFormat(path string, file fetch.File) error {
	if file.Format == "gguf" {
		g, err := gguf.Open(path)
		if err != nil {
			return fmt.Errorf("this is no GGUF model: %w", err)
		}
		return g.Close()
	}
	got, err := data.Detect(path)
	if err != nil {
		return fmt.Errorf("this is no %s: %w", data.Format(file.Format).Title(), err)
	}
	if string(got) != file.Format {
		return fmt.Errorf("want %s, got %s", data.Format(file.Format).Title(), got.Title())
	}
	return nil
}
