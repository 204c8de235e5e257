package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"steer/internal/sniff"
)

const (
	magic            = "GGUF"
	defaultAlignment = 32
	keyAlignment     = "general.alignment"

	maxKey        = 1<<16 - 1 // bytes, as the specification says
	maxTensorName = 63        // bytes; GGML_MAX_NAME less the final zero
	maxDims       = 4         // GGML_MAX_DIMS

	minKV     = 8 + 4 + 1         // bytes of the shortest key, type and value
	minTensor = 8 + 1 + 4 + 4 + 8 // bytes of the shortest tensor entry
)

// Read reads the header of a GGUF file of size bytes from src; name is what
// errors call it. The File reads tensor data from src later on.
func Read(name string, src io.ReaderAt, size int64) (*File, error) {
	f := &File{
		name: name, src: src, size: size,
		values: map[string]value{}, index: map[string]int{},
	}
	r := &reader{
		buf:  bufio.NewReaderSize(io.NewSectionReader(src, 0, size), 1<<16),
		size: size,
	}
	if err := f.readHeader(r); err != nil {
		return nil, fmt.Errorf("gguf: %s: %w", name, err)
	}
	return f, nil
}

func (f *File) readHeader(r *reader) error {
	nTensors, nKV, err := f.readPreamble(r)
	if err != nil {
		return err
	}
	for i := range nKV {
		if err := f.readKV(r, i); err != nil {
			return err
		}
	}
	if err := f.setAlignment(); err != nil {
		return err
	}
	for i := range nTensors {
		if err := f.readTensor(r, i); err != nil {
			return err
		}
	}
	return f.placeTensors(r.pos)
}

func (f *File) readPreamble(r *reader) (nTensors, nKV uint64, err error) {
	var m [4]byte
	if err := r.read(m[:]); err != nil {
		return 0, 0, fmt.Errorf("magic: %w", err)
	}
	if string(m[:]) != magic {
		if what := sniff.Instead(r.head(m[:])); what != "" {
			return 0, 0, fmt.Errorf("starts with %q, want %q: %s: %w", m[:], magic, what, ErrFormat)
		}
		return 0, 0, fmt.Errorf("starts with %q, want %q: %w", m[:], magic, ErrFormat)
	}
	if f.version, err = r.uint32(); err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	switch {
	case f.version == 2 || f.version == 3:
	case f.version == 1:
		return 0, 0, fmt.Errorf("GGUF version 1, want 2 or 3: convert the model again with a current llama.cpp: %w",
			ErrFormat)
	case f.version&0xffff == 0:
		return 0, 0, fmt.Errorf("big-endian file: want little endian: %w", ErrFormat)
	default:
		return 0, 0, fmt.Errorf("GGUF version %d, want 2 or 3: %w", f.version, ErrFormat)
	}
	if nTensors, err = r.uint64(); err != nil {
		return 0, 0, fmt.Errorf("tensor count: %w", err)
	}
	if nKV, err = r.uint64(); err != nil {
		return 0, 0, fmt.Errorf("metadata count: %w", err)
	}
	if nKV > uint64(r.left())/minKV {
		return 0, 0, fmt.Errorf("%d metadata keys announced, but only %d bytes follow: %w", nKV, r.left(), ErrFormat)
	}
	if nTensors > uint64(r.left())/minTensor {
		return 0, 0, fmt.Errorf("%d tensors announced, but only %d bytes follow: %w", nTensors, r.left(), ErrFormat)
	}
	return nTensors, nKV, nil
}

func (f *File) readKV(r *reader, i uint64) error {
	key, err := r.string(maxKey)
	if err != nil {
		return fmt.Errorf("metadata key %d: name: %w", i, err)
	}
	if key == "" {
		return fmt.Errorf("metadata key %d: empty name: %w", i, ErrFormat)
	}
	if f.Has(key) {
		return fmt.Errorf("metadata key %q appears twice: %w", key, ErrFormat)
	}
	v, err := r.value()
	if err != nil {
		return fmt.Errorf("metadata key %q: %w", key, err)
	}
	f.keys = append(f.keys, key)
	f.values[key] = v
	return nil
}

func (f *File) setAlignment() error {
	f.alignment = defaultAlignment
	v, ok := f.values[keyAlignment]
	if !ok {
		return nil
	}
	// ggml asserts on any other type than uint32.
	a, ok := v.v.(uint32)
	if !ok {
		return fmt.Errorf("metadata key %q: want uint32, got %s: %w", keyAlignment, v.describe(), ErrFormat)
	}
	if a == 0 || a&(a-1) != 0 {
		return fmt.Errorf("metadata key %q: want a power of two, got %d: %w", keyAlignment, a, ErrFormat)
	}
	f.alignment = int64(a)
	return nil
}

func (f *File) readTensor(r *reader, i uint64) error {
	name, err := r.string(maxTensorName)
	if err != nil {
		return fmt.Errorf("tensor %d: name: %w", i, err)
	}
	if name == "" {
		return fmt.Errorf("tensor %d: empty name: %w", i, ErrFormat)
	}
	if _, ok := f.index[name]; ok {
		return fmt.Errorf("tensor %q appears twice: %w", name, ErrFormat)
	}
	t := TensorInfo{Name: name}
	nDims, err := r.uint32()
	if err != nil {
		return fmt.Errorf("tensor %q: number of dimensions: %w", name, err)
	}
	if nDims > maxDims {
		return fmt.Errorf("tensor %q: %d dimensions, want at most %d: %w", name, nDims, maxDims, ErrFormat)
	}
	for range nDims {
		d, err := r.uint64()
		if err != nil {
			return fmt.Errorf("tensor %q: dimensions: %w", name, err)
		}
		t.Dims = append(t.Dims, int64(d)) // beyond 63 bits: negative, refused by sizeOf
	}
	typ, err := r.uint32()
	if err != nil {
		return fmt.Errorf("tensor %q: type: %w", name, err)
	}
	t.Type = Type(typ)
	if _, t.Size, err = sizeOf(t.Type, t.Dims); err != nil {
		return fmt.Errorf("tensor %q: %w: %w", name, err, ErrFormat)
	}
	off, err := r.uint64()
	if err != nil {
		return fmt.Errorf("tensor %q: offset: %w", name, err)
	}
	if off%uint64(f.alignment) != 0 {
		return fmt.Errorf("tensor %q: offset %d is not a multiple of the alignment %d: %w", name, off, f.alignment,
			ErrFormat)
	}
	t.Offset = int64(off) // beyond 63 bits: negative, refused by placeTensors
	f.index[name] = len(f.tensors)
	f.tensors = append(f.tensors, t)
	return nil
}

// placeTensors checks that the tensors follow one another, each padded to the
// alignment, as ggml demands (so none overlap), that all lie within the file, and
// turns their offsets into offsets in the file: the data section begins at the first
// aligned byte after the header.
func (f *File) placeTensors(headerEnd int64) error {
	start := pad(headerEnd, f.alignment)
	var next, end int64
	for i := range f.tensors {
		t := &f.tensors[i]
		if t.Offset != next {
			return fmt.Errorf("tensor %q: offset %d, want %d, right after the tensor before it: %w", t.Name, t.Offset,
				next, ErrFormat)
		}
		if t.Size > math.MaxInt64-start-next-f.alignment {
			return fmt.Errorf("tensor %q: offset %d and size %d overflow: %w", t.Name, t.Offset, t.Size, ErrFormat)
		}
		t.Offset += start
		end = t.Offset + t.Size
		next = pad(next+t.Size, f.alignment)
	}
	if end <= f.size {
		return nil
	}
	for _, t := range f.tensors {
		if t.Offset+t.Size > f.size {
			return fmt.Errorf(
				"the file has %d bytes, its tensors end at %d: %d bytes are missing, from tensor %q on: %w",
				f.size, end, end-f.size, t.Name, ErrTruncated)
		}
	}
	return nil
}

func pad(n, alignment int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// reader reads little-endian values and knows how much of the file is left, so
// that no length is believed which the file could not hold.
type reader struct {
	buf  *bufio.Reader
	pos  int64
	size int64
	tmp  [8]byte
}

// head is what was read at the beginning of a file and the kilobyte after it.
func (r *reader) head(read []byte) []byte {
	more, _ := r.buf.Peek(int(min(1<<10, r.left()))) // what cannot be read tells nothing
	return append(append([]byte(nil), read...), more...)
}

func (r *reader) left() int64 { return r.size - r.pos }

func (r *reader) need(n uint64) error {
	if left := uint64(r.left()); n > left {
		return fmt.Errorf("wants %d bytes at byte %d, the file has %d left: %w", n, r.pos, left, ErrTruncated)
	}
	return nil
}

func (r *reader) read(p []byte) error {
	if err := r.need(uint64(len(p))); err != nil {
		return err
	}
	n, err := io.ReadFull(r.buf, p)
	r.pos += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("at byte %d: %w", r.pos, ErrTruncated)
	}
	return err
}

func (r *reader) uint32() (uint32, error) {
	err := r.read(r.tmp[:4])
	return binary.LittleEndian.Uint32(r.tmp[:4]), err
}

func (r *reader) uint64() (uint64, error) {
	err := r.read(r.tmp[:8])
	return binary.LittleEndian.Uint64(r.tmp[:8]), err
}

// string reads a string of at most limit bytes (0: as many as the file has).
func (r *reader) string(limit uint64) (string, error) {
	n, err := r.uint64()
	if err != nil {
		return "", err
	}
	if limit > 0 && n > limit {
		return "", fmt.Errorf("%d bytes long, want at most %d: %w", n, limit, ErrFormat)
	}
	if err := r.need(n); err != nil {
		return "", err
	}
	p := make([]byte, n)
	err = r.read(p)
	return string(p), err
}
