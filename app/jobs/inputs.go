package jobs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/rl/data"
)

// Inputs holds the SHA-256 of every file a stage reads, by role. It is part of the
// stage's resolved configuration.
type Inputs map[string]string

// add hashes a file, or every file of a folder.
func (in Inputs) add(hashes *filehash.Cache, role, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	sum := hashes.Sum
	switch {
	case st.IsDir():
		sum = filehash.Folder
	case role == "model":
		sum = func(path string) (string, error) { return modelfile.SHA256(path, hashes.Sum) }
	}
	if in[role], err = sum(path); err != nil {
		delete(in, role)
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// inputsOf hashes models and adapters, and data files, by role; an empty path is none.
// A data file is found as its reader finds it, packed or not.
func inputsOf(hashes *filehash.Cache, files, sources map[string]string) (Inputs, error) {
	in := Inputs{}
	var errs []error
	for _, role := range slices.Sorted(maps.Keys(files)) {
		if path := files[role]; path != "" {
			errs = append(errs, in.add(hashes, role, path))
		}
	}
	for _, role := range slices.Sorted(maps.Keys(sources)) {
		if sources[role] == "" {
			continue
		}
		path, err := data.Resolve(sources[role])
		if err != nil {
			err = fmt.Errorf("%s: %w", role, err)
		} else {
			err = in.add(hashes, role, path)
		}
		errs = append(errs, err)
	}
	return in, errors.Join(errs...)
}

// checkSource names the key of a source whose own keys contradict each other; one without a path is not read.
func checkSource(key string, src data.Source) error {
	if err := src.Check(); err != nil && src.Path != "" {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
