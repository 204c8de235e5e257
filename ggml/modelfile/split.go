package modelfile

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"steer/ggml/gguf"
)

// Keys of a part of a split model, as llama.cpp's llama-gguf-split writes them.
const (
	keySplits       = "split.count"
	keySplit        = "split.no" // from 0
	keySplitTensors = "split.tensors.count"
)

// mostParts keeps a hostile header from opening files without end.
const mostParts = 1024

// openParts closes f, a part of a split model at path, and opens all of them.
func openParts(f *gguf.File, path string) (*gguf.File, error) {
	n, _ := f.Uint32(keySplits) // it is there
	no, err := f.Uint32(keySplit)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	stem, ok := strings.CutSuffix(path, partName(no, n))
	if !ok || n > mostParts || no >= n {
		return nil, fmt.Errorf("model %s: this is part %d of a model that is split into %d files: its name must end "+
			"in %q, "+
			"as llama.cpp's llama-gguf-split names them", path, no+1, n, partName(no, n))
	}
	first, err := openPart(stem, 0, n)
	if err != nil {
		return nil, err
	}
	for i := uint32(1); i < n; i++ {
		part, err := openPart(stem, i, n)
		if err != nil {
			return nil, errors.Join(err, first.Close())
		}
		if err := first.Join(part); err != nil {
			return nil, errors.Join(fmt.Errorf("model: %w", err), part.Close(), first.Close())
		}
	}
	if want, err := first.Uint32(keySplitTensors); err == nil && int(want) != len(first.Tensors()) {
		return nil, errors.Join(fmt.Errorf("model %s: its %d parts have %d tensors, %s says %d: they do not belong "+
			"together",
			first.Name(), n, len(first.Tensors()), keySplitTensors, want), first.Close())
	}
	return first, nil
}

func openPart(stem string, no, n uint32) (*gguf.File, error) {
	path := stem + partName(no, n)
	f, err := gguf.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model %s: part %d of %d is missing: all parts must lie in one folder: %w", path, no+1,
			n, err)
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	count, err := f.Uint32(keySplits)
	if own, err2 := f.Uint32(keySplit); err != nil || err2 != nil || own != no || count != n {
		return nil, errors.Join(fmt.Errorf("model %s: it says that it is part %d of %d: the parts do not belong "+
			"together", path, own+1, count), f.Close())
	}
	return f, nil
}

// partName is the end of a part's name.
func partName(no, n uint32) string { return fmt.Sprintf("-%05d-of-%05d.gguf", no+1, n) }
