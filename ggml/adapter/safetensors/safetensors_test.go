package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter/safetensors"
)

func read(b []byte) (*safetensors.File, error) {
	return safetensors.Read("mem", bytes.NewReader(b), int64(len(b)))
}

// file puts the length in front of a header and n bytes behind it.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	in := []safetensors.Tensor{
		{Name: "b<&>\"ä", Shape: []int64{2, 3}, Data: []float32{1, 2, 3, 4, 5, float32(math.Inf(1))}},
		{Name: "a", Shape: nil, Data: []float32{-1e-45}},
		{Name: "empty", Shape: []int64{0, 4}, Data: nil},
	}
	meta := map[string]string{"format": "pt", "k": "<v>"}
	b, err := safetensors.Bytes(in, meta)
	require.NoError(t, err)
	require.Zero(t, binary.LittleEndian.Uint64(b)%8, "data starts aligned")
	f, err := read(b)
	require.NoError(t, err)
	require.Equal(t, meta, f.Metadata())
	require.Len(t, f.Tensors(), 3)
	require.Equal(t, "a", f.Tensors()[0].Name)
	for _, want := range in {
		got, err := f.Float32(want.Name)
		require.NoError(t, err)
		require.Equal(t, len(want.Data), len(got))
		for i := range got {
			require.Equal(t, want.Data[i], got[i])
		}
	}
	_, err = f.Float32("c")
	require.ErrorIs(t, err, safetensors.ErrNoTensor)
	require.NoError(t, f.Close())

	again, err := safetensors.Bytes([]safetensors.Tensor{in[2], in[0], in[1]}, meta)
	require.NoError(t, err)
	require.Equal(t, b, again, "the order given does not matter")
}

func TestHalfPrecision(t *testing.T) {
	b := file(`{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1,2],`+
		`"data_offsets":[4,8]},"i":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}`, 0)
	b = append(b, 0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f, 0x00, 0xc0, 1, 0, 0, 0, 0, 0, 0, 0)
	f, err := read(b)
	require.NoError(t, err)
	for _, name := range []string{"h", "b"} {
		x, err := f.Float32(name)
		require.NoError(t, err)
		require.Equal(t, []float32{1, -2}, x)
	}
	_, err = f.Float32("i")
	require.ErrorContains(t, err, `tensor "i": dtype I64, want F32, F16 or BF16`)
}

func TestHostileFilesAreErrors(t *testing.T) {
	one := func(dtype, shape, offsets string) string {
		return `{"t":{"dtype":"` + dtype + `","shape":` + shape + `,"data_offsets":` + offsets + `}}`
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":       {nil, "0 bytes long, want at least 8"},
		"huge header": {binary.LittleEndian.AppendUint64(nil, 1<<60), "want at most 100000000"},
		"header cut":  {binary.LittleEndian.AppendUint64(nil, 50), "header of 50 bytes, but the file has 8"},
		"not JSON":    {file("hello", 0), "not a JSON object"},
		"array":       {file("[]", 0), "not a JSON object"},
		"broken":      {file(`{"a":`, 0), "header"},
		"unclosed":    {file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}`, 4), "header"},
		"more text":   {file(`{} {}`, 0), "more text"},
		"metadata":    {file(`{"__metadata__":{"a":1}}`, 0), "__metadata__: want strings"},
		"twice": {file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32",`+
			`"shape":[],"data_offsets":[0,4]}}`, 4), `"a" appears twice`},
		"dtype":           {file(one("F31", "[1]", "[0,4]"), 4), `tensor "t": unknown dtype "F31"`},
		"offsets":         {file(one("F32", "[1]", "[0]"), 4), "want [begin, end]"},
		"reversed":        {file(one("F32", "[1]", "[4,0]"), 4), "want [begin, end]"},
		"negative offset": {file(one("F32", "[1]", "[-4,0]"), 4), "want [begin, end]"},
		"float offset":    {file(one("F32", "[1]", "[0,4.5]"), 4), "want a whole number"},
		"negative shape":  {file(one("F32", "[-1]", "[0,4]"), 4), "negative or too large"},
		"shape overflow":  {file(one("F32", "[4294967296,4294967296]", "[0,4]"), 4), "negative or too large"},
		"size":            {file(one("F32", "[2]", "[0,4]"), 4), "takes 8 bytes, data_offsets give it 4"},
		"hole": {file(one("F32", "[1]", "[4,8]"), 8),
			"begins at byte 4 of the data, want 0: a hole or an overlap"},
		"overlap": {file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32",`+
			`"shape":[],"data_offsets":[0,4]}}`, 4), `"b" begins at byte 0 of the data, want 4`},
		"cut":      {file(one("F32", "[3]", "[0,12]"), 5), "7 bytes are missing: the file is cut short"},
		"too long": {file(one("F32", "[1]", "[0,4]"), 5), "1 bytes follow the last tensor"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.file)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "safetensors: mem: ")
		})
	}
}

func TestWritingRefuses(t *testing.T) {
	for want, in := range map[string][]safetensors.Tensor{
		`"a" is taken`:            {{Name: "a", Data: []float32{1}}, {Name: "a", Data: []float32{1}}},
		`"__metadata__" is taken`: {{Name: "__metadata__", Data: []float32{1}}},
		"holds 4 values, got 1":   {{Name: "a", Shape: []int64{2, 2}, Data: []float32{1}}},
	} {
		_, err := safetensors.Bytes(in, nil)
		require.ErrorContains(t, err, want)
	}
}

func TestWhatADownloadLeftIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adapter_model.safetensors")
	require.NoError(t, os.WriteFile(path, []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n"),
		0o666))
	_, err := safetensors.Open(path)
	require.ErrorIs(t, err, safetensors.ErrFormat)
	require.ErrorContains(t, err, "git lfs pull")
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	_, err := safetensors.Open(filepath.Join(t.TempDir(), "x"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = safetensors.Open(t.TempDir())
	require.ErrorContains(t, err, "want a regular file")
}

func FuzzRead(f *testing.F) {
	b, err := safetensors.Bytes([]safetensors.Tensor{{Name: "a", Shape: []int64{1, 2}, Data: []float32{1, 2}}},
		map[string]string{"format": "pt"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(file(`{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := read(b)
		if err != nil {
			return
		}
		for _, i := range file.Tensors() {
			x, err := file.Float32(i.Name)
			if (i.DType == "F32" || i.DType == "F16" || i.DType == "BF16") &&
				(err != nil || int64(len(x)) != i.Elements()) {
				t.Fatalf("accepted, but %v", err)
			}
		}
	})
}
