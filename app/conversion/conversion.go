package conversion

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"steer/ggml/convert"
	"steer/ggml/gguf"
	"steer/ggml/quantize"
	"steer/internal/atomicfile"
	"steer/internal/bytesize"
	"steer/internal/machine"
)

// Console is where a conversion shows itself.
type Console interface {
	// Progress is told how far something is, in bytes.
	Progress(what string, done, total int64)
	// Note says a sentence.
	Note(text string)
}

// Request says what is converted.
type Request struct {
	Folder   string // of a model repository
	Name     string // general.name; "": the repository's own
	Called   string // what the folder is called, where it lies in a cache; "": as its path says
	Pre      string // name of the pre-tokenizer; "": found
	Out      string
	Type     *quantize.Type   // nil: the repository's own
	Quantize quantize.Options // besides Type and Progress
}

// Result is what was made.
type Result struct {
	Architecture string
	Parameters   int64
	Bytes        int64 // of all tensors
	Type         string
	Types        []quantize.Count // nil: of a type that is not quantized
}

// Convert makes a GGUF file of a model repository.
func Convert(ctx context.Context, req Request, con Console) (Result, error) {
	m, err := convert.Open(req.Folder, convert.OpenOptions{Pre: req.Pre})
	if err != nil {
		return Result{}, err
	}
	defer m.Close()
	for _, n := range m.Notices() {
		con.Note("notice: " + n)
	}
	plain := m.Type()
	if req.Type != nil && req.Type.Plain() {
		plain = req.Type.Matrices
	}
	res := Result{Architecture: m.Architecture(), Parameters: m.Parameters(), Bytes: m.Bytes(plain),
		Type: plain.String()}
	opt := convert.Options{Type: plain, Name: req.Name, Folder: req.Called, Progress: func(done, total int64) {
		con.Progress("converting", done, total)
	}}
	if req.Type == nil || req.Type.Plain() {
		if err := room(req.Out, res.Bytes); err != nil {
			return res, err
		}
		return res, m.Save(ctx, req.Out, opt)
	}
	q, err := convertQuantized(ctx, m, req, opt, con)
	res.Type, res.Types, res.Bytes = req.Type.Name, q.Types, q.After
	return res, err
}

// convertQuantized goes through a file of plain numbers beside the output, which is removed afterwards.
func convertQuantized(ctx context.Context, m *convert.Model, req Request, opt convert.Options, con Console,
) (quantize.Result, error) {
	quant := req.Quantize
	quant.Type = *req.Type
	if err := quant.Check(); err != nil {
		return quantize.Result{}, err
	}
	between := m.Bytes(opt.Type)
	if err := room(req.Out, between+estimate(m.Parameters(), quant.Type)); err != nil {
		return quantize.Result{}, err
	}
	con.Note(fmt.Sprintf("the model is written as %s beside %s first, %s that are removed "+
		"afterwards", opt.Type, req.Out,
		bytesize.Text(between)))
	f, err := atomicfile.Create(req.Out + "." + opt.Type.String())
	if err != nil {
		return quantize.Result{}, err
	}
	defer f.Abort()
	if err := m.Write(ctx, f, opt); err != nil {
		return quantize.Result{}, err
	}
	return quantized(ctx, f.Aside(), req.Out, quant, con)
}

// Quantize makes a smaller file of a GGUF model.
func Quantize(ctx context.Context, in, out string, opt quantize.Options, con Console) (quantize.Result, error) {
	if err := opt.Check(); err != nil {
		return quantize.Result{}, err
	}
	parameters, err := parametersOf(in)
	if err != nil {
		return quantize.Result{}, err
	}
	if err := room(out, estimate(parameters, opt.Type)); err != nil {
		return quantize.Result{}, err
	}
	return quantized(ctx, in, out, opt, con)
}

func quantized(ctx context.Context, in, out string, opt quantize.Options, con Console) (quantize.Result, error) {
	size := int64(0)
	if st, err := os.Stat(in); err == nil { // else quantize.File says why
		size = st.Size()
	}
	opt.Progress = func(done, total int) { con.Progress("quantizing", size*int64(done)/int64(total), size) }
	res, err := quantize.File(ctx, in, out, opt)
	for _, n := range res.Notices {
		con.Note("notice: " + n)
	}
	return res, err
}

func parametersOf(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if st.IsDir() {
		return 0, fmt.Errorf("%s is a folder: want a GGUF file; steer model convert takes the folder of a model "+
			"repository",
			path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := int64(0)
	for _, t := range f.Tensors() {
		n += t.Elements()
	}
	return n, nil
}

// estimate is about how large a file will be: the type's own, without what a mix adds.
func estimate(parameters int64, typ quantize.Type) int64 {
	elements, size := typ.Matrices.Block()
	if elements == 0 {
		return 0
	}
	return parameters / int64(elements) * int64(size)
}

// room is an error where the disk has too little of it.
func room(out string, want int64) error {
	dir := filepath.Dir(out)
	free, err := machine.FreeDisk(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if free < want {
		return fmt.Errorf("%s: %s are free, about %s are needed: make room, or write to another disk (-o)", dir,
			bytesize.Text(free), bytesize.Text(want))
	}
	return nil
}
