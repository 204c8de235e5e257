package report

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"steer/internal/atomicfile"
	"steer/rl/run"
)

// kept is what a report that found no room leaves.
const kept = "the run folders, and an earlier report, are as they were"

// writers are the forms of a report.
var writers = map[string]func(io.Writer, *Report) error{
	"html": WriteHTML, "json": WriteJSON, "md": WriteMarkdown, "csv": WriteCSV, "text": WriteText,
}

// Formats are the names of the forms of a report.
func Formats() []string { return []string{"html", "json", "md", "csv", "text"} }

// Write writes a report in one of [Formats].
func Write(w io.Writer, r *Report, format string) error {
	return run.DiskFull(writers[format](w, r), kept)
}

// Save writes a report to a file, whole or not at all.
func Save(path string, r *Report, format string) (err error) {
	defer func() { err = run.DiskFull(err, kept) }()
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := writers[format](f, r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Commit()
}

// SaveIn writes report.html and report.json into an experiment folder, and gives the path of the first.
func SaveIn(dir string, r *Report) (html string, err error) {
	html = filepath.Join(dir, "report.html")
	return html, errors.Join(Save(html, r, "html"), Save(filepath.Join(dir, "report.json"), r, "json"))
}
