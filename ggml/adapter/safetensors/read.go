package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sort"

	"steer/internal/halffloat"
	"steer/internal/sniff"
	"steer/internal/strictjson"
)

// Errors every function of this package wraps.
var (
	// ErrFormat: the bytes are not a safetensors file this package can accept.
	ErrFormat = errors.New("not a usable safetensors file")
	// ErrTruncated: the file ends before what its header announces.
	ErrTruncated = errors.New("the file is cut short: download or copy it again")
	// ErrNoTensor: the file has no tensor of that name.
	ErrNoTensor = errors.New("no such tensor")
)

// maxHeader is the reference implementation's limit on the JSON header.
const maxHeader = 100_000_000

// dtypes holds the bytes of an element.
var dtypes = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType string  // "F32", "F16", "BF16", ...
	Shape []int64 // PyTorch order: the last dimension is contiguous
	begin int64   // in the file
	size  int64   // bytes
}

// Elements returns the number of elements, the product of Shape.
func (t Info) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// File is a safetensors file whose header has been read.
type File struct {
	name    string
	meta    map[string]string
	tensors []Info // sorted by name
	index   map[string]int
	src     io.ReaderAt
	closer  io.Closer
}

// Open reads the header of the file at path. Close it when done.
func Open(path string) (*File, error) {
	osf, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	st, err := osf.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: want a regular file, got %s", path, st.Mode().Type())
	}
	if err != nil {
		osf.Close()
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	f, err := Read(path, osf, st.Size())
	if err != nil {
		osf.Close()
		return nil, err
	}
	f.closer = osf
	return f, nil
}

// Read reads the header of a safetensors file of size bytes from src; name is what
// errors call it. The File reads tensor data from src later on.
func Read(name string, src io.ReaderAt, size int64) (*File, error) {
	f := &File{name: name, src: src, index: map[string]int{}}
	if err := f.readHeader(size); err != nil {
		head := make([]byte, min(size, 1<<10))
		n, _ := src.ReadAt(head, 0) // what cannot be read tells nothing
		if what := sniff.Instead(head[:n]); what != "" && !sniff.IsSafetensors(head[:n]) {
			err = fmt.Errorf("%s: %w", what, ErrFormat)
		}
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	return f, nil
}

// Close releases the file; further reads of tensor data fail.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	c := f.closer
	f.closer = nil
	return c.Close()
}

// Metadata returns the "__metadata__" strings, or nil. The caller must not change it.
func (f *File) Metadata() map[string]string { return f.meta }

// Tensors returns the tensors sorted by name. The caller must not change it.
func (f *File) Tensors() []Info { return f.tensors }

// Tensor returns the description of the named tensor.
func (f *File) Tensor(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.tensors[i], true
}

// Raw reads the bytes of a tensor as they are stored.
func (f *File) Raw(t Info) *io.SectionReader { return io.NewSectionReader(f.src, t.begin, t.size) }

// Float32 returns the elements of an F32, F16 or BF16 tensor.
func (f *File) Float32(name string) ([]float32, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("safetensors: %s: tensor %q: %w", f.name, name, ErrNoTensor)
	}
	if t.DType != "F32" && t.DType != "F16" && t.DType != "BF16" {
		return nil, fmt.Errorf("safetensors: %s: tensor %q: dtype %s, want F32, F16 or BF16: %w", f.name, name, t.DType,
			ErrFormat)
	}
	raw := make([]byte, t.size)
	if n, err := f.src.ReadAt(raw, t.begin); n < len(raw) {
		return nil, fmt.Errorf("safetensors: %s: tensor %q: reading %d bytes: %w", f.name, name, len(raw), err)
	}
	out := make([]float32, t.Elements())
	switch t.DType {
	case "F32":
		halffloat.Floats(out, raw)
	case "F16":
		halffloat.Widen(out, raw, halffloat.FromF16)
	default:
		halffloat.Widen(out, raw, halffloat.FromBF16)
	}
	return out, nil
}

func (f *File) readHeader(size int64) error {
	var head [8]byte
	if size < int64(len(head)) {
		return fmt.Errorf("%d bytes long, want at least 8: %w", size, ErrTruncated)
	}
	if n, err := f.src.ReadAt(head[:], 0); n < len(head) {
		return err
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > maxHeader {
		return fmt.Errorf("header of %d bytes, want at most %d: %w", n, maxHeader, ErrFormat)
	}
	start := 8 + int64(n)
	if start > size {
		return fmt.Errorf("header of %d bytes, but the file has %d: %w", n, size, ErrTruncated)
	}
	raw := make([]byte, n)
	if m, err := f.src.ReadAt(raw, 8); m < len(raw) {
		return err
	}
	if err := f.parse(raw); err != nil {
		return err
	}
	if err := f.place(start, size); err != nil {
		return err
	}
	sort.Slice(f.tensors, func(i, j int) bool { return f.tensors[i].Name < f.tensors[j].Name })
	for i, t := range f.tensors {
		f.index[t.Name] = i
	}
	return nil
}

// parse reads the JSON header key by key, since a map would hide a key that is
// given twice.
func (f *File) parse(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("header is not a JSON object: %w", ErrFormat)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("header: %w: %w", err, ErrFormat)
		}
		name, _ := t.(string) // a key of an object is a string
		if _, twice := f.index[name]; twice {
			return fmt.Errorf("header: %q appears twice: %w", name, ErrFormat)
		}
		f.index[name] = 0
		if name == "__metadata__" {
			if err := d.Decode(&f.meta); err != nil {
				return fmt.Errorf("header: __metadata__: want strings: %w: %w", err, ErrFormat)
			}
			continue
		}
		if err := f.parseTensor(d, name); err != nil {
			return fmt.Errorf("header: tensor %q: %w: %w", name, err, ErrFormat)
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("header: %w: %w", err, ErrFormat)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("header: more text after the JSON object: %w", ErrFormat)
	}
	clear(f.index)
	return nil
}

func (f *File) parseTensor(d *json.Decoder, name string) error {
	var e struct {
		DType   string  `json:"dtype"`
		Shape   []int64 `json:"shape"`
		Offsets []int64 `json:"data_offsets"`
	}
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return err
	}
	if err := strictjson.Unmarshal(raw, &e); err != nil {
		return err
	}
	bytes, ok := dtypes[e.DType]
	if !ok {
		return fmt.Errorf("unknown dtype %q", e.DType)
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] {
		return fmt.Errorf("data_offsets %v: want [begin, end]", e.Offsets)
	}
	for _, s := range e.Shape {
		if s < 0 || s > 0 && bytes > math.MaxInt64/s {
			return fmt.Errorf("shape %v: negative or too large", e.Shape)
		}
		bytes *= s
	}
	if got := e.Offsets[1] - e.Offsets[0]; got != bytes {
		return fmt.Errorf("%s %v takes %d bytes, data_offsets give it %d", e.DType, e.Shape, bytes, got)
	}
	f.tensors = append(f.tensors, Info{Name: name, DType: e.DType, Shape: e.Shape, begin: e.Offsets[0], size: bytes})
	return nil
}

// place checks that the tensors tile the data section exactly, and turns their
// offsets into offsets in the file.
func (f *File) place(start, size int64) error {
	sort.Slice(f.tensors, func(i, j int) bool {
		a, b := f.tensors[i], f.tensors[j]
		return a.begin < b.begin || a.begin == b.begin && a.size < b.size
	})
	var end int64
	for i := range f.tensors {
		t := &f.tensors[i]
		if t.begin != end {
			return fmt.Errorf("tensor %q begins at byte %d of the data, want %d: a hole or an overlap: %w", t.Name,
				t.begin, end, ErrFormat)
		}
		end = t.begin + t.size // no overflow: both come from one int64 end offset
		t.begin += start
	}
	switch have := size - start; {
	case end > have:
		return fmt.Errorf("the tensors take %d bytes, the file has %d: %d bytes are missing: %w", end, have, end-have,
			ErrTruncated)
	case end < have:
		return fmt.Errorf("%d bytes follow the last tensor: %w", have-end, ErrFormat)
	}
	return nil
}
