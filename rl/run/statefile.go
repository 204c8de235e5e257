package run

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"steer/ggml/lm"
)

// The optimizer's file is a safetensors file: a little-endian uint64 with the length of
// a JSON header, the header, then the tensors as little-endian f32. A parameter is three
// tensors, "param/NAME", "m/NAME", "v/NAME"; shapes are listed row-major, the reverse of
// ggml's order, so that other readers see them as NumPy would.

const stateFormat = "steer-optimizer-1"

// maxHeader bounds the header of a file from outside; 64 MiB describes 500,000 tensors.
const maxHeader = 64 << 20

type tensorInfo struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

var stateParts = []string{"param/", "m/", "v/"}

func stateTensors(s *lm.State) [][]lm.Tensor { return [][]lm.Tensor{s.Params, s.M, s.V} }

// writeState streams s to w.
func writeState(w io.Writer, s *lm.State) error {
	header := map[string]any{
		"__metadata__": map[string]string{"format": stateFormat, "step": strconv.FormatInt(s.Step, 10)},
	}
	// safetensors keys are a JSON object without order; the order of the parameters is
	// that of their data.
	offset := int64(0)
	for p, part := range stateTensors(s) {
		if len(part) != len(s.Params) {
			return fmt.Errorf("optimizer state: %d tensors in %s, want %d", len(part), stateParts[p], len(s.Params))
		}
		for _, t := range part {
			if n := elements(t.Shape); n != int64(len(t.Data)) {
				return fmt.Errorf("optimizer state: %s%s: shape %v holds %d values, got %d",
					stateParts[p], t.Name, t.Shape, n, len(t.Data))
			}
			end := offset + 4*int64(len(t.Data))
			shape := slices.Clone(t.Shape)
			slices.Reverse(shape)
			name := stateParts[p] + t.Name
			if _, twice := header[name]; twice {
				return fmt.Errorf("optimizer state: %s: two tensors of one name", name)
			}
			header[name] = tensorInfo{DType: "F32", Shape: shape, Offsets: [2]int64{offset, end}}
			offset = end
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ') // the data starts aligned
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	buf := make([]byte, 0, 1<<16)
	for _, part := range stateTensors(s) {
		for _, t := range part {
			for chunk := range slices.Chunk(t.Data, cap(buf)/4) {
				buf = buf[:0]
				for _, x := range chunk {
					buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
				}
				if _, err := w.Write(buf); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func elements(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}

// readState reads what writeState wrote; size is the length of the file.
func readState(r io.Reader, size int64) (*lm.State, error) {
	var length uint64
	if err := binary.Read(r, binary.LittleEndian, &length); err != nil {
		return nil, fmt.Errorf("header length: %w", err)
	}
	if length > maxHeader || int64(length) > size-8 {
		return nil, fmt.Errorf("header length %d does not fit a file of %d bytes", length, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	s, order, err := parseStateHeader(text, size-8-int64(length))
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	for _, data := range order {
		for len(data) > 0 {
			n := min(len(data), len(buf)/4)
			if _, err := io.ReadFull(r, buf[:4*n]); err != nil {
				return nil, fmt.Errorf("tensor data: %w", err)
			}
			for i := range n {
				data[i] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:]))
			}
			data = data[n:]
		}
	}
	return s, nil
}

// parseStateHeader allocates the tensors; order lists their data as they lie in the
// file, which must fill its room bytes without gaps.
func parseStateHeader(text []byte, room int64) (s *lm.State, order [][]float32, err error) {
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	var meta map[string]string
	if err := json.Unmarshal(header["__metadata__"], &meta); err != nil || meta["format"] != stateFormat {
		return nil, nil, fmt.Errorf("not an optimizer state of this program (format %q, want %q)",
			meta["format"], stateFormat)
	}
	s = &lm.State{}
	if s.Step, err = strconv.ParseInt(meta["step"], 10, 64); err != nil || s.Step < 0 {
		return nil, nil, fmt.Errorf("step %q is not a count", meta["step"])
	}
	delete(header, "__metadata__")
	infos := map[string]tensorInfo{}
	for name, raw := range header {
		var ti tensorInfo
		if err := json.Unmarshal(raw, &ti); err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		infos[name] = ti
	}
	names := make([]string, 0, len(infos))
	for name := range infos {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := infos[a].Offsets, infos[b].Offsets
		return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1]))
	})
	if len(names)%3 != 0 {
		return nil, nil, fmt.Errorf("%d tensors, want three a parameter", len(names))
	}
	parts := []*[]lm.Tensor{&s.Params, &s.M, &s.V}
	at := int64(0)
	for i, name := range names {
		part := i / (len(names) / 3)
		ti := infos[name]
		bare, ok := strings.CutPrefix(name, stateParts[part])
		if !ok {
			return nil, nil, fmt.Errorf("tensor %s: not in its place", name)
		}
		n, ok := checkTensor(ti, at, room)
		if !ok {
			return nil, nil, fmt.Errorf("tensor %s: shape %v, type %s, offsets %v do not fit the file",
				name, ti.Shape, ti.DType, ti.Offsets)
		}
		at = ti.Offsets[1]
		shape := slices.Clone(ti.Shape)
		slices.Reverse(shape)
		t := lm.Tensor{Name: bare, Shape: shape, Data: make([]float32, n)}
		*parts[part] = append(*parts[part], t)
		order = append(order, t.Data)
	}
	if at != room {
		return nil, nil, fmt.Errorf("%d bytes of tensors in %d bytes of data", at, room)
	}
	return s, order, nil
}

// checkTensor returns the number of values of a tensor that must start at byte at.
func checkTensor(ti tensorInfo, at, room int64) (int64, bool) {
	if ti.DType != "F32" || ti.Offsets[0] != at || ti.Offsets[1] < at || ti.Offsets[1] > room {
		return 0, false
	}
	n := int64(1)
	for _, d := range ti.Shape {
		if d < 0 || d > 0 && n > room/int64(d) { // also keeps n from overflowing
			return 0, false
		}
		n *= int64(d)
	}
	return n, 4*n == ti.Offsets[1]-at
}
