package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"steer/ggml/gguf"
	"steer/internal/atomicfile"
	"steer/internal/halffloat"
)

// Options say what is written.
type Options struct {
	Type gguf.Type // of matrices: F32, F16 or BF16; norms and biases are F32
	Name string    // general.name; "": the repository's own, or made of its folder's
	// Folder is what the folder is called where its path does not say so, as in a cache; "": it does.
	Folder string
	// Progress is told how many bytes of the tensors are written; nil: nobody is.
	Progress func(done, total int64)
}

// Numbers of general.file_type.
var fileTypes = map[gguf.Type]uint32{gguf.TypeF32: 0, gguf.TypeF16: 1, gguf.TypeBF16: 32}

// Bytes is how large the tensors of a file will be.
func (c *Model) Bytes(typ gguf.Type) int64 {
	size := int64(0)
	for i := range c.m.tensors {
		t := &c.m.tensors[i]
		size += int64(t.rows) * int64(t.cols) * width(t.typ(typ))
	}
	return size
}

func width(typ gguf.Type) int64 {
	if typ == gguf.TypeF32 {
		return 4
	}
	return 2
}

// Type is the type that the repository stores the embedding in, and with it, as a rule, all matrices.
func (c *Model) Type() gguf.Type {
	switch c.m.tensors[0].from.DType {
	case "F32":
		return gguf.TypeF32
	case "F16":
		return gguf.TypeF16
	}
	return gguf.TypeBF16
}

// Save writes the GGUF file, whole or not at all. It stops soon after ctx ends.
func (c *Model) Save(ctx context.Context, path string, opt Options) error {
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := c.Write(ctx, f, opt); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Commit()
}

// Write writes the GGUF file to out. It stops soon after ctx ends.
func (c *Model) Write(ctx context.Context, out io.Writer, opt Options) error {
	m := c.m
	if _, ok := fileTypes[opt.Type]; !ok {
		return fmt.Errorf("convert: type %s: want F32, F16 or BF16", opt.Type)
	}
	w := gguf.NewWriter()
	if err := m.writeGeneral(w, opt, c.Parameters()); err != nil {
		return err
	}
	if err := w.Append(m.meta); err != nil {
		return err
	}
	m.tok.Write(w)
	for _, f := range m.factors {
		w.AddF32(f.name, []int64{int64(len(f.values))}, f.values)
	}
	p := &progress{ctx: ctx, total: c.Bytes(opt.Type), tell: opt.Progress}
	for i := range m.tensors {
		t := &m.tensors[i]
		w.AddTensor(t.name, t.typ(opt.Type), t.dims(), func(out io.Writer) error {
			if err := t.write(counted{p, out}, t.typ(opt.Type)); err != nil {
				return fmt.Errorf("%s: tensor %q: %w", m.where(t.from.Name), t.from.Name, err)
			}
			return nil
		})
	}
	_, err := w.WriteTo(out)
	return err
}

// progress counts what has been written and ends when its context does.
type progress struct {
	ctx         context.Context
	done, total int64
	tell        func(done, total int64)
}

type counted struct {
	p   *progress
	out io.Writer
}

func (c counted) Write(b []byte) (int, error) {
	if err := c.p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.out.Write(b)
	c.p.done += int64(n)
	if c.p.tell != nil {
		c.p.tell(c.p.done, c.p.total)
	}
	return n, err
}

// piece is about how many bytes of a tensor are read at once.
const piece = 4 << 20

// write reads the tensor in pieces of whole rows, or of whole heads where rows change places, and writes them.
func (t *tensor) write(out io.Writer, typ gguf.Type) error {
	raw := t.file.Raw(t.from)
	rowBytes := int(raw.Size()) / t.rows
	step := max(1, piece/max(1, rowBytes))
	if t.heads > 0 {
		step = t.rows / t.heads
	}
	in := make([]byte, min(step, t.rows)*rowBytes)
	turned := make([]byte, len(in))
	values := make([]float32, min(step, t.rows)*t.cols)
	result := make([]byte, len(values)*4)
	for row := 0; row < t.rows; row += step {
		n := min(step, t.rows-row)
		b := in[:n*rowBytes]
		if _, err := io.ReadFull(raw, b); err != nil {
			return err
		}
		if t.heads > 0 {
			halvesToPairs(turned, b, rowBytes)
			b = turned[:n*rowBytes]
		}
		v := values[:n*t.cols]
		if err := t.decode(v, b, row*t.cols); err != nil {
			return err
		}
		r, err := encode(result, v, typ)
		if err != nil {
			return fmt.Errorf("row %d: %w", row, err)
		}
		if _, err := out.Write(r); err != nil {
			return err
		}
	}
	return nil
}

// halvesToPairs puts the rows of a head from the order of transformers, where RoPE turns row i with row
// i + d/2, into that of GGUF, where it turns neighbours: row 2i + j is row i + j d/2 there.
func halvesToPairs(dst, src []byte, rowBytes int) {
	half := len(src) / rowBytes / 2
	for i := range half {
		for j := range 2 {
			copy(dst[(2*i+j)*rowBytes:(2*i+j+1)*rowBytes], src[(i+j*half)*rowBytes:])
		}
	}
}

func (t *tensor) decode(v []float32, b []byte, first int) error {
	switch t.from.DType {
	case "F32":
		halffloat.Floats(v, b)
	case "F16":
		halffloat.Widen(v, b, halffloat.FromF16)
	default:
		halffloat.Widen(v, b, halffloat.FromBF16)
	}
	for i := range v {
		if x := float64(v[i]); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("value %d is %g: the weights are damaged", first+i, x)
		}
		v[i] += t.shift
	}
	return nil
}

func encode(b []byte, v []float32, typ gguf.Type) ([]byte, error) {
	switch typ {
	case gguf.TypeF32:
		for i, x := range v {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
		return b[:4*len(v)], nil
	case gguf.TypeBF16:
		for i, x := range v {
			binary.LittleEndian.PutUint16(b[2*i:], halffloat.ToBF16(x))
		}
	default:
		for i, x := range v {
			h := halffloat.ToF16(x)
			if h&0x7fff == 0x7c00 {
				return nil, fmt.Errorf("%g is beyond what f16 can hold (65504): convert to bf16 or f32", x)
			}
			binary.LittleEndian.PutUint16(b[2*i:], h)
		}
	}
	return b[:2*len(v)], nil
}
