package merge

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
)

const (
	keyFileType = "general.file_type"
	keyVersion  = "general.quantization_version"
	version     = 2 // GGML_QNT_VERSION
)

// Report says what was done to the tensors.
type Report struct {
	Merged    int // matrices that the adapter was added to
	Converted int // matrices that changed their type
}

// Model lays out the merge of an open model with an adapter, which has to fit it. The tensors are read
// and computed as the writer writes; f has to stay open until then. meta is added to the metadata, keys
// in without are left out of those of f.
func Model(f *gguf.File, a *adapter.Adapter, t Type, meta map[string]string, without ...string) (
	*gguf.Writer, *Report, error) {
	if err := t.Check(); err != nil {
		return nil, nil, err
	}
	w := gguf.NewWriter()
	copyMeta(w, f, t, without)
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		w.SetString(k, meta[k])
	}
	var r Report
	for _, info := range f.Tensors() {
		p, adapted := a.Pair(info.Name)
		to := target(info, t)
		if to != info.Type {
			r.Converted++
		}
		if adapted {
			r.Merged++
		}
		job := tensor{f: f, info: info, to: to}
		if adapted {
			job.pair, job.scale = p, a.Scale(*p)
		}
		w.AddTensor(info.Name, to, info.Dims, job.write)
	}
	if r.Merged != len(a.Pairs) {
		return nil, nil, fmt.Errorf("merge: the adapter has %d matrices, the model only %d of them: %w", len(a.Pairs),
			r.Merged, adapter.ErrMismatch)
	}
	return w, &r, w.Err()
}

// copyMeta copies the metadata but for what is no longer so: the file's type, and that it is split.
func copyMeta(w *gguf.Writer, f *gguf.File, t Type, without []string) {
	_, file, given := t.lookup()
	for _, k := range f.Keys() {
		switch {
		case k == "general.alignment" || strings.HasPrefix(k, "split."):
		case given && (k == keyFileType || k == keyVersion):
		case slices.Contains(without, k) || strings.HasPrefix(k, "steer.merged."):
		default:
			w.SetValue(k, f.Value(k))
		}
	}
	if given {
		w.SetUint32(keyFileType, file)
		w.SetUint32(keyVersion, version)
	}
}

// isMatrix tells the weights that a type is asked for from norms, biases and tables.
func isMatrix(t gguf.TensorInfo) bool {
	return len(t.Dims) == 2 && t.Dims[1] > 1 && strings.HasSuffix(t.Name, ".weight") && !isTable(t.Type)
}

// isTable: whole numbers and doubles are no weights.
func isTable(t gguf.Type) bool {
	return t == gguf.TypeF64 || t == gguf.TypeI8 || t == gguf.TypeI16 || t == gguf.TypeI32 || t == gguf.TypeI64
}

// target is the type that a tensor is stored in.
func target(info gguf.TensorInfo, t Type) gguf.Type {
	of, _, given := t.lookup()
	if !given || !isMatrix(info) {
		return info.Type
	}
	return of
}

// tensor is one that is to be written.
type tensor struct {
	f     *gguf.File
	info  gguf.TensorInfo
	to    gguf.Type
	pair  *adapter.Pair // nil: nothing is added
	scale float32
}

// most values that are in memory as float32 at once, of one tensor.
const most = 1 << 22

func (t tensor) write(out io.Writer) error {
	in, err := t.f.TensorReader(t.info.Name)
	if err != nil {
		return err
	}
	if t.pair == nil && t.to == t.info.Type {
		_, err := io.Copy(out, in)
		return err
	}
	width := t.info.Dims[0]
	rows := t.info.Elements() / width
	block, bytes := t.info.Type.Block()
	rowBytes := width / int64(block) * int64(bytes)
	step := max(1, most/width)
	for from := int64(0); from < rows; from += step {
		n := min(step, rows-from)
		raw := make([]byte, n*rowBytes)
		if _, err := io.ReadFull(in, raw); err != nil {
			return fmt.Errorf("reading rows from %d: %w", from, err)
		}
		if err := t.rows(out, raw, int(from), int(n), int(width)); err != nil {
			return err
		}
	}
	return nil
}

// rows writes n rows from a row on, computed on all CPUs.
func (t tensor) rows(out io.Writer, raw []byte, from, n, width int) error {
	workers := min(n, runtime.GOMAXPROCS(0))
	parts, errs := make([][]byte, workers), make([]error, workers)
	rowBytes := len(raw) / n
	var wait sync.WaitGroup
	for i := range workers {
		wait.Go(func() {
			a, b := n*i/workers, n*(i+1)/workers
			parts[i], errs[i] = t.part(raw[a*rowBytes:b*rowBytes], from+a, b-a, width)
		})
	}
	wait.Wait()
	for i, p := range parts {
		if errs[i] != nil {
			return fmt.Errorf("as %s: %w", t.to, errs[i])
		}
		if _, err := out.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (t tensor) part(raw []byte, from, n, width int) ([]byte, error) {
	x, err := cgo.Dequantize(uint32(t.info.Type), raw, n, width)
	if err != nil {
		return nil, err
	}
	if t.pair != nil {
		t.add(x, from, n, width)
	}
	return cgo.Quantize(uint32(t.to), x, width)
}

// add adds scale · B A to rows of the matrix: row o gets Σ_j scale · B[o,j] · A[j].
func (t tensor) add(x []float32, from, n, width int) {
	p := t.pair
	sum := make([]float64, width)
	for o := range n {
		clear(sum)
		for j := range p.Rank {
			by := float64(t.scale) * float64(p.B[(from+o)*p.Rank+j])
			if by == 0 {
				continue
			}
			for i, a := range p.A[j*width : (j+1)*width] {
				sum[i] += by * float64(a)
			}
		}
		row := x[o*width : (o+1)*width]
		for i := range row {
			row[i] = float32(float64(row[i]) + sum[i])
		}
	}
}
