package modelfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"steer/ggml/adapter"
	"steer/ggml/family"
	"steer/ggml/gguf"
)

// ErrUnsupported is wrapped when a model is valid but not one this engine trains.
var ErrUnsupported = family.ErrUnsupported

// Header is what the header of a model's file says, as far as it was checked.
type Header struct {
	Shape adapter.Shape
	// Network is what the training graph computes; nil if it cannot compute the model.
	Network *family.Network
	Vocab   Vocabulary
	// Warnings are what a user of the model has to know, a sentence each.
	Warnings []string
}

// Open opens the file of a model; of a split one, whichever part is given, its first with the others
// joined to it, so that Name is the first's path. A folder, an adapter and a missing part are errors that
// say so. The caller closes it.
func Open(path string) (*gguf.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		// the path is looked up in the catalogue
		return nil, &fs.PathError{Op: "model", Path: path, Err: errors.Unwrap(err)}
	}
	if st.IsDir() {
		return nil, fmt.Errorf("model %s: is a folder: want a GGUF file", path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := isModel(f); err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", path, err), f.Close())
	}
	if n, err := f.Uint32(keySplits); err == nil && n > 1 {
		return openParts(f, path)
	}
	return f, nil
}

// Shape reads the shape of the layers of a base model from its header; no weight is loaded.
func Shape(path string) (adapter.Shape, error) {
	f, err := Open(path)
	if err != nil {
		return adapter.Shape{}, err
	}
	defer f.Close()
	s, err := adapter.ShapeOf(f)
	if err != nil {
		return s, fmt.Errorf("model: %w", err)
	}
	return s, nil
}

// isModel refuses GGUF files that are something else than a model.
func isModel(f *gguf.File) error {
	if kind, err := f.String("general.type"); err == nil && kind == "adapter" {
		return errors.New(
			"this is an adapter, not a model: pass it as an adapter (steer adapter inspect describes it) " +
				"and give its base model here")
	}
	return nil
}

// Check judges an open model: everything that the engine cannot compute, that libllama might
// abort on, read past the end of, or silently ignore is an error; all of them are returned,
// the most telling first. The header is of use where there is none.
func Check(f *gguf.File) (Header, []error) {
	h := Header{Vocab: Vocabulary{BOS: -1, EOS: -1}}
	arch, err := f.String("general.architecture")
	if err != nil {
		return h, []error{err}
	}
	fam, ok := family.Of(arch)
	if !ok {
		problems := []error{fmt.Errorf("architecture %q: %w: supported are %s", arch, ErrUnsupported, family.Known())}
		if h.Vocab, h.Warnings, err = vocabulary(f); err != nil {
			problems = append(problems, err)
		}
		return h, append(problems, aborts(f, arch)...)
	}
	if h.Shape, err = adapter.ShapeOf(f); err != nil {
		return h, []error{err}
	}
	var problems []error
	keep := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	keep(checkKinds(f, fam))
	network, err := family.Read(f)
	if keep(err); err == nil {
		h.Network = network
	}
	keep(checkNumbers(f, arch))
	if len(problems) == 0 || !Decodable(problems) { // else its tensors are not those of the family
		keep(checkTensors(f, h.Shape, h.Network))
	}
	if h.Network != nil {
		h.Warnings = h.Network.Warnings
	}
	var said []string
	if h.Vocab, said, err = vocabulary(f); err != nil {
		problems = append(problems, err)
	}
	h.Warnings = append(h.Warnings, said...)
	return h, append(problems, aborts(f, arch)...)
}

// Trainable is the error of a model that the training graph cannot compute, by its header. What else is
// wrong with the file is found, and said, when it is loaded.
func Trainable(path string) error {
	f, err := Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	_, problems := Check(f)
	if len(problems) == 0 || !Decodable(problems) {
		return nil
	}
	list := ""
	if arch, _ := f.String("general.architecture"); isFamily(arch) { // else the problem lists them
		list = "; supported are dense models of " + family.Known()
	}
	return fmt.Errorf("model %s: %w%s. steer generate, chat, score, eval and bench can use it",
		path, problems[0], list)
}

func isFamily(arch string) bool {
	_, ok := family.Of(arch)
	return ok
}

// Decodable tells whether a model with these problems can still be decoded by libllama: all of them are
// of the training graph, which lacks something that the model has, and none is a damage.
func Decodable(problems []error) bool {
	for _, p := range problems {
		if !errors.Is(p, ErrUnsupported) {
			return false
		}
	}
	return true
}
