package gguf

import (
	"errors"
	"fmt"
	"io"
	"os"

	"steer/internal/halffloat"
)

// Errors every function of this package wraps.
var (
	// ErrFormat: the bytes are not a GGUF file this package can accept.
	ErrFormat = errors.New("not a usable GGUF file")
	// ErrTruncated: the file ends before what its header announces.
	ErrTruncated = errors.New("the file is cut short: download or copy it again")
	// ErrNoKey: the metadata has no such key.
	ErrNoKey = errors.New("no such metadata key")
	// ErrKeyType: the metadata key holds another type than the one asked for.
	ErrKeyType = errors.New("metadata key of another type")
	// ErrNoTensor: the file has no tensor of that name.
	ErrNoTensor = errors.New("no such tensor")
)

// TensorInfo describes one tensor of a file.
type TensorInfo struct {
	Name   string
	Type   Type
	Dims   []int64 // ggml order: Dims[0] is contiguous; empty for a scalar
	Offset int64   // bytes from the start of the file
	Size   int64   // bytes
}

// Elements returns the number of elements, the product of Dims.
func (t TensorInfo) Elements() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// File is an open GGUF file: its metadata and tensor table in memory, its tensor
// bytes read on demand.
type File struct {
	name      string
	version   uint32
	alignment int64
	size      int64
	keys      []string
	values    map[string]value
	tensors   []TensorInfo
	index     map[string]int
	src       io.ReaderAt
	closer    io.Closer
	parts     []*File          // further ones of a split model
	of        map[string]*File // the part that a tensor lies in
}

// Open reads the header of the file at path. Close it when done.
func Open(path string) (*File, error) {
	osf, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	st, err := osf.Stat()
	if err != nil {
		osf.Close()
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if !st.Mode().IsRegular() {
		osf.Close()
		return nil, fmt.Errorf("gguf: %s: want a regular file, got %s", path, st.Mode().Type())
	}
	f, err := Read(path, osf, st.Size())
	if err != nil {
		osf.Close()
		return nil, err
	}
	f.closer = osf
	return f, nil
}

// Close releases the file, and parts that were joined to it; further reads of tensor data fail.
func (f *File) Close() error {
	var errs []error
	for _, p := range f.parts {
		errs = append(errs, p.Close())
	}
	if f.closer != nil {
		c := f.closer
		f.closer = nil
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Join adds the tensors of a further part of a split model, which f then owns: they are found and read
// as if they were f's own, and their bytes count in Size. The metadata stay those of f.
func (f *File) Join(part *File) error {
	for _, t := range part.tensors {
		if _, ok := f.index[t.Name]; ok {
			return fmt.Errorf("gguf: %s: tensor %q is in another part of the model, too: %w", part.name, t.Name,
				ErrFormat)
		}
		f.index[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
		if f.of == nil {
			f.of = map[string]*File{}
		}
		f.of[t.Name] = part
	}
	f.parts = append(f.parts, part)
	f.size += part.size
	return nil
}

// Name returns the path or name the file was opened under.
func (f *File) Name() string { return f.name }

// Version returns the GGUF version, 2 or 3.
func (f *File) Version() int { return int(f.version) }

// Size returns the size of the whole file in bytes.
func (f *File) Size() int64 { return f.size }

// Tensors returns the tensor table in file order. The caller must not change it.
func (f *File) Tensors() []TensorInfo { return f.tensors }

// Tensor returns the description of the named tensor.
func (f *File) Tensor(name string) (TensorInfo, bool) {
	i, ok := f.index[name]
	if !ok {
		return TensorInfo{}, false
	}
	return f.tensors[i], true
}

// TensorReader returns a reader over the stored bytes of the named tensor.
func (f *File) TensorReader(name string) (*io.SectionReader, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("gguf: %s: tensor %q: %w", f.name, name, ErrNoTensor)
	}
	src := f.src
	if part, ok := f.of[name]; ok {
		src = part.src
	}
	return io.NewSectionReader(src, t.Offset, t.Size), nil
}

// TensorData returns the stored bytes of the named tensor.
func (f *File) TensorData(name string) ([]byte, error) {
	r, err := f.TensorReader(name)
	if err != nil {
		return nil, err
	}
	data := make([]byte, r.Size())
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("gguf: %s: tensor %q: reading %d bytes: %w", f.name, name, len(data), err)
	}
	return data, nil
}

// Float32Data returns the elements of an F32, F16 or BF16 tensor. Other types are
// an error: quantized weights are the engine's business.
func (f *File) Float32Data(name string) ([]float32, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("gguf: %s: tensor %q: %w", f.name, name, ErrNoTensor)
	}
	if t.Type != TypeF32 && t.Type != TypeF16 && t.Type != TypeBF16 {
		return nil, fmt.Errorf("gguf: %s: tensor %q: want F32, F16 or BF16, got %s", f.name, name, t.Type)
	}
	raw, err := f.TensorData(name)
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Elements())
	switch t.Type {
	case TypeF32:
		halffloat.Floats(out, raw)
	case TypeF16:
		halffloat.Widen(out, raw, halffloat.FromF16)
	default:
		halffloat.Widen(out, raw, halffloat.FromBF16)
	}
	return out, nil
}
