package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"steer/ggml/gguf"
	"steer/ggml/merge"
	"steer/ggml/quantize"
)

// Type is what the matrices of a model that is written are stored as: same, or a type of files of
// [quantize.Types] that needs no importance matrix.
type Type string

// Same leaves every matrix in the type that it has.
const Same = Type(merge.Same)

// Values lists the types.
func (Type) Values() []string {
	out := []string{string(Same)}
	for _, name := range quantize.Types() {
		t, err := quantize.Parse(name)
		if err == nil && (quantize.Options{Type: t}).Check() == nil {
			out = append(out, name)
		}
	}
	return out
}

// Check refuses what is not one of Values.
func (t Type) Check() error {
	if slices.Contains(t.Values(), string(t)) {
		return nil
	}
	if _, err := quantize.Parse(string(t)); err != nil {
		return fmt.Errorf("type: %w, or same", err)
	}
	return fmt.Errorf("type %s needs an importance matrix: merge to f16, then steer model quantize --imatrix", t)
}

// layOut lays out a merged model whose matrices are stored as t.
type layOut func(t merge.Type) (*gguf.Writer, *merge.Report, error)

// store writes a merged model to out as a type. What is quantized is merged in f32 beside it first, and
// then given to libllama's quantizer, with its mixes of types; the head keeps its numbers.
func store(ctx context.Context, lay layOut, out string, t Type) (r *merge.Report, notes []string, err error) {
	if err := t.Check(); err != nil {
		return nil, nil, err
	}
	if plain := merge.Type(t); plain.Check() == nil {
		return write(lay, out, plain)
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".merge-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	whole := filepath.Join(dir, "f32.gguf")
	if r, notes, err = write(lay, whole, merge.F32); err != nil {
		return nil, nil, err
	}
	opt := quantize.Options{Tensors: []quantize.TensorType{{Pattern: "cls.output.weight", Type: gguf.TypeF32}}}
	if opt.Type, err = quantize.Parse(string(t)); err != nil {
		return nil, nil, err
	}
	q, err := quantize.File(ctx, whole, out, opt)
	if err != nil {
		return nil, nil, fmt.Errorf("storing the merged model as %s: %w", t, err)
	}
	return r, append(notes, q.Notices...), nil
}

func write(lay layOut, out string, t merge.Type) (*merge.Report, []string, error) {
	w, r, err := lay(t)
	if err == nil {
		err = w.Save(out)
	}
	return r, nil, err
}
