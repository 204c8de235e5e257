package quantize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"steer/cgo"
	"steer/ggml/gguf"
	"steer/ggml/modelfile"
	"steer/internal/atomicfile"
)

// Options say how a file is quantized.
type Options struct {
	Type      Type
	Threads   int // 0: one for each CPU
	Output    *gguf.Type
	Embedding *gguf.Type // nil: as Type says
	Tensors   []TensorType
	Pure      bool // all matrices in the type's own: no mix
	// Requantize allows matrices that are quantized already, which lose twice.
	Requantize bool
	Importance Importance // nil: none
	// Progress is told how many tensors are done, of how many; nil: nobody is.
	Progress func(done, total int)
}

// TensorType stores the matrices whose name a regular expression matches as a type.
type TensorType struct {
	Pattern string
	Type    gguf.Type
}

// Result is what became of a file.
type Result struct {
	Before, After int64 // bytes
	Types         []Count
	Notices       []string
}

// Count is how many tensors of the result have a type.
type Count struct {
	Type    gguf.Type
	Tensors int
}

// Check is the error of what Options ask for that cannot be done, whatever the file is.
func (o Options) Check() error {
	if o.Type.needsImportance && o.Importance == nil {
		return fmt.Errorf("type %s has so few bits that it needs to know which columns matter, and libllama refuses "+
			"it "+
			"otherwise: give an importance matrix (--imatrix FILE, made by llama.cpp's llama-imatrix), or take "+
			"%s", o.Type.Name,
			smallestPlain)
	}
	for _, t := range o.Tensors {
		if _, err := regexp.Compile(t.Pattern); err != nil {
			return fmt.Errorf("tensor type %q: %w", t.Pattern, err)
		}
	}
	return nil
}

// smallestPlain is the smallest type that needs no importance matrix.
const smallestPlain = "q2_k or iq3_xxs"

// File quantizes the model at in to out. It stops before the next tensor when ctx ends.
func File(ctx context.Context, in, out string, opt Options) (Result, error) {
	f, err := modelfile.Open(in)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	if err := errors.Join(opt.Check(), sameFile(in, out)); err != nil {
		return Result{}, err
	}
	if err := errors.Join(refuseQuantized(f, opt), refuseRows(f, opt)); err != nil {
		return Result{}, err
	}
	res := Result{Notices: notices(f, opt)}
	for _, t := range f.Tensors() {
		res.Before += t.Size
	}
	aside, err := atomicfile.Create(out)
	if err != nil {
		return Result{}, err
	}
	defer aside.Abort()
	if err := run(ctx, f.Name(), aside.Aside(), opt); err != nil {
		return Result{}, err
	}
	if err := res.describe(aside.Aside()); err != nil {
		return Result{}, err
	}
	return res, aside.Commit()
}

func sameFile(in, out string) error {
	a, err := os.Stat(in)
	if err != nil {
		return err
	}
	if b, err := os.Stat(out); err == nil && os.SameFile(a, b) {
		return fmt.Errorf("%s: the output is the input: name another file", out)
	}
	return nil
}

// refuseQuantized refuses to quantize a second time, unless that was asked for.
func refuseQuantized(f *gguf.File, opt Options) error {
	if opt.Requantize {
		return nil
	}
	for _, t := range f.Tensors() {
		if elements, _ := t.Type.Block(); elements > 1 && t.Type != opt.Type.Matrices {
			return fmt.Errorf("model %s: tensor %s is quantized already (%s), and would lose a second time: take the "+
				"model as "+
				"f32, f16 or bf16, or say --requantize", f.Name(), t.Name, t.Type)
		}
	}
	return nil
}

// refuseRows refuses rows that are not whole blocks. For types with blocks of 256 libllama finds another type; for
// those with blocks of 32 it does not.
func refuseRows(f *gguf.File, opt Options) error {
	elements, _ := opt.Type.Matrices.Block()
	if elements == 1 || elements == 256 {
		return nil
	}
	for _, t := range f.Tensors() {
		if isMatrix(t) && t.Dims[0]%int64(elements) != 0 {
			return fmt.Errorf("tensor %s has rows of %d numbers, no multiple of %d, as type %s needs them: take f16, "+
				"bf16, or "+
				"a type with _k_ in its name, where libllama finds another type for such "+
				"rows", t.Name, t.Dims[0], elements,
				opt.Type.Name)
		}
	}
	return nil
}

// isMatrix tells the tensors that are quantized.
func isMatrix(t gguf.TensorInfo) bool {
	return len(t.Dims) > 1 && strings.HasSuffix(t.Name, "weight") && !strings.HasSuffix(t.Name, "_norm.weight")
}

// notices say what a user of the result has to know.
func notices(f *gguf.File, opt Options) []string {
	elements, _ := opt.Type.Matrices.Block()
	odd := 0
	for _, t := range f.Tensors() {
		if isMatrix(t) && t.Dims[0]%int64(elements) != 0 {
			odd++
		}
	}
	var out []string
	if odd > 0 {
		out = append(out, fmt.Sprintf("%d matrices have rows that are no multiple of %d, which %s needs: libllama "+
			"takes a "+
			"larger type for them", odd, elements, opt.Type.Name))
	}
	if strings.HasPrefix(opt.Type.Name, "tq") {
		out = append(out, opt.Type.Name+" is for models that were trained with ternary weights; others become useless")
	}
	return out
}

// run runs libllama's quantizer, which knows no context, and stops it when ctx ends.
func run(ctx context.Context, in, out string, opt Options) error {
	q, err := newQuantizer(opt)
	if err != nil {
		return err
	}
	defer q.Free()
	done := make(chan error, 1)
	go func() { done <- q.Run(in, out) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := ctx.Done()
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return said(err)
		case <-end:
			q.Stop()
			end = nil
		case <-tick.C:
			if n, total := q.Progress(); opt.Progress != nil && total > 0 {
				opt.Progress(n, total)
			}
		}
	}
}

// said makes a sentence of what libllama logged.
func said(err error) error {
	if err == nil {
		return nil
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if strings.Contains(text, "iostream error") { // all that C++ tells
		text = "writing failed: is the disk full?"
	}
	return fmt.Errorf("libllama's quantizer: %s", text)
}

func newQuantizer(opt Options) (cgo.Quantizer, error) {
	p := cgo.QuantizerParams{FileType: opt.Type.fileType, Threads: opt.Threads, Output: -1, Embedding: -1,
		Pure: opt.Pure, Requantize: opt.Requantize}
	if p.Threads == 0 {
		p.Threads = runtime.GOMAXPROCS(0)
	}
	if opt.Output != nil {
		p.Output = int(*opt.Output)
	}
	if opt.Embedding != nil {
		p.Embedding = int(*opt.Embedding)
	}
	q, err := cgo.NewQuantizer(p)
	if err != nil {
		return q, err
	}
	for _, t := range opt.Tensors {
		err = errors.Join(err, q.SetType(t.Pattern, uint32(t.Type)))
	}
	for name, values := range opt.Importance {
		err = errors.Join(err, q.SetImportance(name, values))
	}
	if err != nil {
		q.Free()
	}
	return q, err
}

// describe counts the types of the file that was written, which is read back for that.
func (r *Result) describe(path string) error {
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	counts := map[gguf.Type]int{}
	for _, t := range f.Tensors() {
		r.After += t.Size
		counts[t.Type]++
	}
	for typ, n := range counts {
		r.Types = append(r.Types, Count{typ, n})
	}
	slices.SortFunc(r.Types, func(a, b Count) int { return b.Tensors - a.Tensors })
	return nil
}
