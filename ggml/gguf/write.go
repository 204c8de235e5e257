package gguf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"steer/internal/atomicfile"
	"steer/internal/halffloat"
)

// Writer collects metadata and tensors and writes them as a GGUF version 3 file.
// Keys and tensors are written in the order they were added, so equal calls make
// equal bytes. The first mistake (a key set twice, a wrong size) is kept and
// returned by WriteTo, Bytes and Err.
type Writer struct {
	kv      bytes.Buffer
	nKV     uint64
	seen    map[string]bool // keys
	names   map[string]bool // tensors
	tensors []source
	err     error
}

// source is a tensor to be written: its description and who writes its bytes.
type source struct {
	info  TensorInfo
	write func(io.Writer) error
}

// NewWriter returns an empty Writer.
func NewWriter() *Writer {
	return &Writer{seen: map[string]bool{}, names: map[string]bool{}}
}

// Err returns the first mistake made so far.
func (w *Writer) Err() error { return w.err }

func (w *Writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("gguf: writing: "+format, args...)
	}
}

// key writes the name and type of a metadata key; false means it is refused.
func (w *Writer) key(key string, types ...ValueType) bool {
	switch {
	case key == "" || len(key) > maxKey:
		w.fail("metadata key %.40q is %d bytes long, want 1 to %d", key, len(key), maxKey)
		return false
	case key == keyAlignment:
		w.fail("metadata key %q: the alignment is always %d", key, defaultAlignment)
		return false
	case w.seen[key]:
		w.fail("metadata key %q is set twice", key)
		return false
	}
	w.seen[key] = true
	w.nKV++
	putString(&w.kv, key)
	for _, t := range types {
		put(&w.kv, uint32(t))
	}
	return true
}

// SetUint32 adds a uint32.
func (w *Writer) SetUint32(key string, v uint32) { setScalar(w, key, ValueUint32, v) }

// SetInt32 adds an int32.
func (w *Writer) SetInt32(key string, v int32) { setScalar(w, key, ValueInt32, v) }

// SetUint64 adds a uint64.
func (w *Writer) SetUint64(key string, v uint64) { setScalar(w, key, ValueUint64, v) }

// SetFloat32 adds a float32.
func (w *Writer) SetFloat32(key string, v float32) { setScalar(w, key, ValueFloat32, v) }

// SetBool adds a bool.
func (w *Writer) SetBool(key string, v bool) { setScalar(w, key, ValueBool, v) }

// SetString adds a string.
func (w *Writer) SetString(key, v string) {
	if w.key(key, ValueString) {
		putString(&w.kv, v)
	}
}

// SetStrings adds an array of strings.
func (w *Writer) SetStrings(key string, v []string) {
	if w.key(key, ValueArray, ValueString) {
		put(&w.kv, uint64(len(v)))
		for _, s := range v {
			putString(&w.kv, s)
		}
	}
}

// SetFloat32s adds an array of float32.
func (w *Writer) SetFloat32s(key string, v []float32) { setArray(w, key, ValueFloat32, v) }

// SetInt32s adds an array of int32.
func (w *Writer) SetInt32s(key string, v []int32) { setArray(w, key, ValueInt32, v) }

// SetUint32s adds an array of uint32.
func (w *Writer) SetUint32s(key string, v []uint32) { setArray(w, key, ValueUint32, v) }

// SetValue adds a value as File.Value returned it, so that metadata can be copied
// from one file to another unchanged (but general.alignment, which is not to be set).
func (w *Writer) SetValue(key string, v any) {
	switch x := v.(type) {
	case string:
		w.SetString(key, x)
	case []string:
		w.SetStrings(key, x)
	case uint8:
		setScalar(w, key, ValueUint8, x)
	case int8:
		setScalar(w, key, ValueInt8, x)
	case uint16:
		setScalar(w, key, ValueUint16, x)
	case int16:
		setScalar(w, key, ValueInt16, x)
	case uint32:
		setScalar(w, key, ValueUint32, x)
	case int32:
		setScalar(w, key, ValueInt32, x)
	case float32:
		setScalar(w, key, ValueFloat32, x)
	case bool:
		setScalar(w, key, ValueBool, x)
	case uint64:
		setScalar(w, key, ValueUint64, x)
	case int64:
		setScalar(w, key, ValueInt64, x)
	case float64:
		setScalar(w, key, ValueFloat64, x)
	case []uint8:
		setArray(w, key, ValueUint8, x)
	case []int8:
		setArray(w, key, ValueInt8, x)
	case []uint16:
		setArray(w, key, ValueUint16, x)
	case []int16:
		setArray(w, key, ValueInt16, x)
	case []uint32:
		setArray(w, key, ValueUint32, x)
	case []int32:
		setArray(w, key, ValueInt32, x)
	case []float32:
		setArray(w, key, ValueFloat32, x)
	case []bool:
		setArray(w, key, ValueBool, x)
	case []uint64:
		setArray(w, key, ValueUint64, x)
	case []int64:
		setArray(w, key, ValueInt64, x)
	case []float64:
		setArray(w, key, ValueFloat64, x)
	default:
		w.fail("metadata key %q: no GGUF type for %T", key, v)
	}
}

// Append adds the metadata of another Writer behind what is here already.
func (w *Writer) Append(other *Writer) error {
	if other.err != nil {
		return other.err
	}
	for key := range other.seen {
		if w.seen[key] {
			w.fail("metadata key %q is set twice", key)
		}
		w.seen[key] = true
	}
	w.kv.Write(other.kv.Bytes())
	w.nKV += other.nKV
	return w.err
}

func setScalar[T any](w *Writer, key string, t ValueType, v T) {
	if w.key(key, t) {
		put(&w.kv, v)
	}
}

func setArray[T any](w *Writer, key string, t ValueType, v []T) {
	if w.key(key, ValueArray, t) {
		put(&w.kv, uint64(len(v)))
		put(&w.kv, v)
	}
}

// AddF32 adds an F32 tensor; data has the product of dims elements and must not
// change before the file is written.
func (w *Writer) AddF32(name string, dims []int64, data []float32) {
	if !w.fits(name, dims, len(data)) {
		return
	}
	w.AddTensor(name, TypeF32, dims, func(out io.Writer) error {
		return writeFloats(out, data, 4, func(p []byte, f float32) {
			binary.LittleEndian.PutUint32(p, math.Float32bits(f))
		})
	})
}

// AddF16 adds an F16 tensor, rounding data to the nearest half; as AddF32.
func (w *Writer) AddF16(name string, dims []int64, data []float32) {
	if !w.fits(name, dims, len(data)) {
		return
	}
	w.AddTensor(name, TypeF16, dims, func(out io.Writer) error {
		return writeFloats(out, data, 2, func(p []byte, f float32) {
			binary.LittleEndian.PutUint16(p, halffloat.ToF16(f))
		})
	})
}

// AddRaw adds a tensor of any type from its stored bytes.
func (w *Writer) AddRaw(name string, t Type, dims []int64, data []byte) {
	if _, size, err := sizeOf(t, dims); err == nil && size != int64(len(data)) {
		w.fail("tensor %q: %s %v takes %d bytes, got %d", name, t, dims, size, len(data))
		return
	}
	w.AddTensor(name, t, dims, func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

// AddTensor adds a tensor whose bytes write produces when the file is written, so
// that a large model can be copied without being held in memory. It must write
// exactly the bytes that type and dims take.
func (w *Writer) AddTensor(name string, t Type, dims []int64, write func(io.Writer) error) {
	_, size, err := sizeOf(t, dims)
	switch {
	case err != nil:
		w.fail("tensor %q: %w", name, err)
	case name == "" || len(name) > maxTensorName:
		w.fail("tensor %q: name of %d bytes, want 1 to %d", name, len(name), maxTensorName)
	case len(dims) > maxDims:
		w.fail("tensor %q: %d dimensions, want at most %d", name, len(dims), maxDims)
	case w.names[name]:
		w.fail("tensor %q is added twice", name)
	default:
		w.names[name] = true
		info := TensorInfo{Name: name, Type: t, Dims: append([]int64(nil), dims...), Size: size}
		w.tensors = append(w.tensors, source{info, write})
	}
}

func (w *Writer) fits(name string, dims []int64, n int) bool {
	elements, _, err := sizeOf(TypeF32, dims)
	if err != nil {
		w.fail("tensor %q: %w", name, err)
		return false
	}
	if elements != int64(n) {
		w.fail("tensor %q: dimensions %v hold %d elements, got %d", name, dims, elements, n)
		return false
	}
	return true
}

// WriteTo writes the whole file to out and returns the bytes written.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	buf := bufio.NewWriterSize(out, 1<<16)
	c := &counter{w: buf}
	if _, err := c.Write(w.header()); err != nil {
		return c.n, err
	}
	if err := c.pad(); err != nil {
		return c.n, err
	}
	for _, t := range w.tensors {
		before := c.n
		if err := t.write(c); err != nil {
			return c.n, fmt.Errorf("gguf: writing: tensor %q: %w", t.info.Name, err)
		}
		if got := c.n - before; got != t.info.Size {
			return c.n, fmt.Errorf("gguf: writing: tensor %q: %s %v takes %d bytes, got %d",
				t.info.Name, t.info.Type, t.info.Dims, t.info.Size, got)
		}
		if err := c.pad(); err != nil {
			return c.n, err
		}
	}
	return c.n, buf.Flush()
}

// Save writes the file to path; after a crash path holds the old file or the new
// one, whole.
func (w *Writer) Save(path string) error {
	if w.err != nil {
		return w.err
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	if _, err := w.WriteTo(f); err != nil {
		f.Abort()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Commit()
}

// Bytes returns the whole file.
func (w *Writer) Bytes() ([]byte, error) {
	size := pad(int64(len(w.header())), defaultAlignment)
	for _, t := range w.tensors {
		size = pad(size+t.info.Size, defaultAlignment)
	}
	var b bytes.Buffer
	b.Grow(int(size)) // growing step by step would hold up to three times as much
	if _, err := w.WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (w *Writer) header() []byte {
	var b bytes.Buffer
	b.WriteString(magic)
	put(&b, uint32(3))
	put(&b, uint64(len(w.tensors)))
	put(&b, w.nKV)
	b.Write(w.kv.Bytes())
	var offset int64
	for _, t := range w.tensors {
		putString(&b, t.info.Name)
		put(&b, uint32(len(t.info.Dims)))
		put(&b, t.info.Dims)
		put(&b, uint32(t.info.Type))
		put(&b, uint64(offset))
		offset = pad(offset+t.info.Size, defaultAlignment)
	}
	return b.Bytes()
}

// put appends a fixed-size value or a slice of them. bytes.Buffer never fails and
// every v here has a fixed size, so there is no error to hand on.
func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.LittleEndian, v) }

func putString(b *bytes.Buffer, s string) {
	put(b, uint64(len(s)))
	b.WriteString(s)
}

// writeFloats writes data in pieces, so that no second copy of a tensor is made.
func writeFloats(out io.Writer, data []float32, size int, enc func([]byte, float32)) error {
	var buf [1 << 12]byte
	for len(data) > 0 {
		n := min(len(data), len(buf)/size)
		for i, f := range data[:n] {
			enc(buf[i*size:], f)
		}
		if _, err := out.Write(buf[:n*size]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) pad() error {
	var zeros [defaultAlignment]byte
	_, err := c.Write(zeros[:pad(c.n, defaultAlignment)-c.n])
	return err
}
