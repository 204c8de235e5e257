package recordfile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"steer/internal/atomicfile"
)

// Error: a record of a file is not as it should be.
type Error struct {
	Path   string
	Record int // counted from 1
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: record %d: %v", e.Path, e.Record, e.Err) }

// Unwrap gives what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Write writes records, whole or not at all.
func Write[T any](path string, records []T) (err error) {
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, errors.Join(err, f.Abort()))
		}
	}()
	z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	for i := range records {
		if err := enc.Encode(records[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Commit()
}

// Unknown says what becomes of fields that the type of a record does not have.
type Unknown bool

// The choices.
const (
	// RefuseUnknown: the file is of another kind or version.
	RefuseUnknown Unknown = false
	// IgnoreUnknown: of records of several kinds the same fields are read.
	IgnoreUnknown Unknown = true
)

// Read reads what [Write] wrote; a record that cannot be read is an [*Error].
func Read[T any](path string, fields Unknown) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(bufio.NewReader(f), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer z.Close()
	dec := json.NewDecoder(z)
	if fields == RefuseUnknown {
		dec.DisallowUnknownFields()
	}
	var out []T
	for {
		var r T
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, &Error{path, len(out) + 1, err}
		}
		out = append(out, r)
	}
}
