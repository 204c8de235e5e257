package benchmark

import (
	"fmt"
	"os"
	"slices"

	"steer/eval"
	"steer/internal/filehash"
	"steer/rl/data"
	"steer/rl/run"
)

// File names the rows of a data file that are measured, in file order.
type File struct {
	Path string `yaml:"path"`
	// First is the 0-based row to begin with.
	First int `yaml:"first"`
	// Limit is the number of rows; 0 means all that follow.
	Limit int `yaml:"limit"`

	measured, held int // rows measured and rows in the file, once it is read
}

// Partial tells whether a window leaves rows of the file out.
func (f *File) Partial() bool { return f.measured < f.held }

// Window cuts the rows that a File asks for: a copy, lest the others stay in memory.
func Window[T any](f File, rows []T) ([]T, error) {
	if f.First >= len(rows) {
		return nil, fmt.Errorf("%s: first row is %d, the file holds %d: %w",
			f.Path, f.First, len(rows), eval.ErrNoItems)
	}
	rows = rows[f.First:]
	if f.Limit > 0 {
		rows = rows[:min(f.Limit, len(rows))]
	}
	return slices.Clone(rows), nil
}

// spread is window for rows that are not measured themselves: of more than Limit it takes as many
// at equal distances. Files are sorted, by class or by story, and their first rows are like
// one another.
func spread[T any](f File, rows []T) ([]T, error) {
	limit := f.Limit
	f.Limit = 0
	rows, err := Window(f, rows)
	if err != nil || limit == 0 || limit >= len(rows) {
		return rows, err
	}
	out := make([]T, limit)
	for i := range out {
		out[i] = rows[i*len(rows)/limit]
	}
	return out, nil
}

// Provenance describes a data file in a result; one that is not given, by nothing.
func (f File) Provenance(b *run.Measurement, prefix string) error {
	if f.Path == "" {
		return nil
	}
	path, sum, err := FileSHA256(f.Path)
	if err != nil {
		return err
	}
	b.Provenance.Set(prefix+"data", path)
	b.Provenance.Set(prefix+"data_sha256", sum)
	b.Provenance.Set(prefix+"first", f.First)
	b.Provenance.Set(prefix+"limit", f.Limit)
	return nil
}

// fileSize is the size of a data file as stored.
func fileSize(path string) (int64, error) {
	found, err := data.Resolve(path)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(found)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// FileSHA256 finds a data file as the readers do and hashes its bytes as stored.
func FileSHA256(path string) (found, sum string, err error) {
	if found, err = data.Resolve(path); err != nil {
		return "", "", err
	}
	if sum, err = filehash.Sum(found); err != nil {
		return "", "", fmt.Errorf("eval: %w", err)
	}
	return found, sum, nil
}
