package quantize

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"

	"steer/ggml/gguf"
	"steer/internal/halffloat"
)

// Importance says how much each column of a matrix matters, by the matrix's name.
type Importance map[string][]float32

// ReadImportance reads what llama.cpp's llama-imatrix wrote: a GGUF file, or the older form (.dat).
func ReadImportance(path string) (Importance, error) {
	head := make([]byte, 4)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	_, err = f.Read(head)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if string(head) == "GGUF" {
		return readImportanceGGUF(path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return readImportanceOld(path, raw)
}

// readImportanceGGUF divides the sums of squares of every input by how often it was seen.
func readImportanceGGUF(path string) (Importance, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if kind, err := f.String("general.type"); err != nil || kind != "imatrix" {
		return nil, fmt.Errorf("%s: not an importance matrix: want a file of llama.cpp's llama-imatrix", path)
	}
	out := Importance{}
	for _, t := range f.Tensors() {
		name, ok := strings.CutSuffix(t.Name, ".in_sum2")
		if !ok {
			continue
		}
		sums, err := f.Float32Data(t.Name)
		if err != nil {
			return nil, err
		}
		counts, err := f.Float32Data(name + ".counts")
		if err != nil {
			return nil, err
		}
		if len(counts) == 0 || len(sums)%len(counts) != 0 {
			return nil, fmt.Errorf("%s: tensor %s: %d sums, %d counts: want a "+
				"multiple", path, t.Name, len(sums), len(counts))
		}
		columns := len(sums) / len(counts)
		for i := range sums {
			if n := counts[i/columns]; n > 0 {
				sums[i] /= n
			} else {
				sums[i] = 1 // an expert that was never asked
			}
		}
		out[name] = sums
	}
	return out, out.check(path)
}

// readImportanceOld reads entries of a name, a number of calls and the sums of them.
func readImportanceOld(path string, raw []byte) (Importance, error) {
	bad := fmt.Errorf("%s: not an importance matrix, or cut short: want a file of llama.cpp's llama-imatrix", path)
	r := bytes.NewReader(raw)
	length := func() (n int32, ok bool) {
		return n, binary.Read(r, binary.LittleEndian, &n) == nil && n >= 0
	}
	take := func(n int64) ([]byte, bool) {
		if n > int64(r.Len()) {
			return nil, false
		}
		b := make([]byte, n)
		_, err := r.Read(b)
		return b, err == nil || n == 0
	}
	entries, ok := length()
	if !ok {
		return nil, bad
	}
	out := Importance{}
	for range entries {
		n, ok1 := length()
		name, ok2 := take(int64(n))
		calls, ok3 := length()
		values, ok4 := length()
		body, ok5 := take(4 * int64(values))
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
			return nil, bad
		}
		v := make([]float32, values)
		halffloat.Floats(v, body)
		for i := range v {
			v[i] /= float32(max(calls, 1))
		}
		out[string(name)] = v
	}
	return out, out.check(path)
}

func (m Importance) check(path string) error {
	if len(m) == 0 {
		return fmt.Errorf("%s: an importance matrix without entries", path)
	}
	for name, values := range m {
		for i, v := range values {
			if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
				return fmt.Errorf("%s: %s: value %d is %g: want 0 or more", path, name, i, x)
			}
		}
	}
	return nil
}
