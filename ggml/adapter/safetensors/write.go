package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sort"
)

// Tensor is an F32 tensor to be written.
type Tensor struct {
	Name  string
	Shape []int64   // PyTorch order: the last dimension is contiguous
	Data  []float32 // the product of Shape values
}

// Bytes returns a safetensors file with the tensors in F32, sorted by name, and the
// metadata (may be nil), sorted by key. Equal input makes equal bytes, the ones the
// reference implementation writes.
func Bytes(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	sorted := append([]Tensor(nil), tensors...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	header, size, err := header(sorted, metadata)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 8+len(header)+int(size))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(header)))
	out = append(out, header...)
	for _, t := range sorted {
		for _, f := range t.Data {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
		}
	}
	return out, nil
}

func header(sorted []Tensor, metadata map[string]string) (header []byte, dataSize int64, err error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if metadata != nil {
		m, err := marshal(metadata)
		if err != nil {
			return nil, 0, err
		}
		fmt.Fprintf(&b, `"__metadata__":%s`, m)
	}
	var offset int64
	for i, t := range sorted {
		if t.Name == "__metadata__" || i > 0 && sorted[i-1].Name == t.Name {
			return nil, 0, fmt.Errorf("safetensors: writing: tensor name %q is taken", t.Name)
		}
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		if n != int64(len(t.Data)) {
			return nil, 0, fmt.Errorf("safetensors: writing: tensor %q: shape %v holds %d values, got %d", t.Name,
				t.Shape, n, len(t.Data))
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		name, err := marshal(t.Name)
		if err != nil {
			return nil, 0, err
		}
		shape, err := marshal(append([]int64{}, t.Shape...)) // never null
		if err != nil {
			return nil, 0, err
		}
		fmt.Fprintf(&b, `%s:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}`, name, shape, offset, offset+4*n)
		offset += 4 * n
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 { // the data starts aligned
		b.WriteByte(' ')
	}
	return b.Bytes(), offset, nil
}

// marshal is json.Marshal without escaping <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("safetensors: writing: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
