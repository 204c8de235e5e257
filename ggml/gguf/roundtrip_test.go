package gguf_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf"
	"steer/internal/testfiles"
)

// everything is a file with each metadata type and several tensors.
func everything() *gguf.Writer {
	w := gguf.NewWriter()
	w.SetString("general.architecture", "llama")
	w.SetUint32("u32", 7)
	w.SetInt32("i32", -7)
	w.SetUint64("u64", 1<<40)
	w.SetFloat32("f32", 0.1)
	w.SetBool("yes", true)
	w.SetBool("no", false)
	w.SetStrings("words", []string{"a", "", "äö", string([]byte{0xff, 0})})
	w.SetStrings("none", nil)
	w.SetFloat32s("floats", []float32{1, float32(math.Inf(-1)), 1e-45})
	w.SetInt32s("ints", []int32{-1, 0, math.MaxInt32})
	w.SetUint32s("uints", []uint32{0, math.MaxUint32})
	for _, v := range []any{
		uint8(200), int8(-100), uint16(60000), int16(-30000), int64(-1 << 40), 0.1,
		[]uint8{1, 2}, []int8{-1}, []uint16{9}, []int16{-9}, []uint64{1 << 63}, []int64{-1}, []float64{math.Pi},
		[]bool{true, false},
	} {
		w.SetValue(fmt.Sprintf("any.%T", v), v)
	}
	w.AddF32("a", []int64{3, 2}, []float32{1, 2, 3, 4, 5, 6})
	w.AddF16("h", []int64{4}, []float32{1, -2, 0.5, 65504})
	w.AddRaw("q", gguf.TypeQ4_0, []int64{32, 2}, bytes.Repeat([]byte{0xab}, 36))
	w.AddRaw("bf", gguf.TypeBF16, []int64{2}, []byte{0x80, 0x3f, 0x00, 0xc0})
	w.AddF32("scalar", nil, []float32{42})
	return w
}

func open(t *testing.T, b []byte) *gguf.File {
	t.Helper()
	f, err := gguf.Read("mem.gguf", bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	return f
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	b, err := everything().Bytes()
	require.NoError(t, err)
	f := open(t, b)
	require.Equal(t, 3, f.Version())
	require.Equal(t, int64(len(b)), f.Size())
	require.Equal(t, "general.architecture", f.Keys()[0])

	u, err := f.Uint32("u32")
	require.NoError(t, err)
	require.Equal(t, uint32(7), u)
	f32, err := f.Float32("f32")
	require.NoError(t, err)
	require.Equal(t, float32(0.1), f32)
	yes, err := f.Bool("yes")
	require.NoError(t, err)
	require.True(t, yes)
	words, err := f.Strings("words")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "", "äö", "\xff\x00"}, words)
	floats, err := f.Float32s("floats")
	require.NoError(t, err)
	require.Equal(t, []float32{1, float32(math.Inf(-1)), 1e-45}, floats)
	uints, err := f.Uint32s("uints")
	require.NoError(t, err)
	require.Equal(t, []uint32{0, math.MaxUint32}, uints)
	require.Equal(t, int8(-100), f.Value("any.int8"))
	require.Equal(t, []float64{math.Pi}, f.Value("any.[]float64"))

	a, err := f.Float32Data("a")
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2, 3, 4, 5, 6}, a)
	h, err := f.Float32Data("h")
	require.NoError(t, err)
	require.Equal(t, []float32{1, -2, 0.5, 65504}, h)
	bf, err := f.Float32Data("bf")
	require.NoError(t, err)
	require.Equal(t, []float32{1, -2}, bf)
	s, err := f.Float32Data("scalar")
	require.NoError(t, err)
	require.Equal(t, []float32{42}, s)
	q, err := f.TensorData("q")
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{0xab}, 36), q)
	for _, ti := range f.Tensors() {
		require.Zero(t, ti.Offset%32, ti.Name)
	}
}

// Copying keys and tensors one by one gives the same file, to the byte.
func TestCopyIsIdentical(t *testing.T) {
	b, err := everything().Bytes()
	require.NoError(t, err)
	f := open(t, b)
	w := gguf.NewWriter()
	for _, k := range f.Keys() {
		w.SetValue(k, f.Value(k))
	}
	for _, ti := range f.Tensors() {
		w.AddTensor(ti.Name, ti.Type, ti.Dims, func(out io.Writer) error {
			r, err := f.TensorReader(ti.Name)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, r)
			return err
		})
	}
	path := filepath.Join(t.TempDir(), "copy.gguf")
	require.NoError(t, w.Save(path))
	c, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, c))
	of, err := gguf.Open(path)
	require.NoError(t, err)
	require.NoError(t, of.Close())
	require.NoError(t, of.Close(), "closing twice is harmless")
}

func TestTypedAccessSaysWhatIsThere(t *testing.T) {
	b, err := everything().Bytes()
	require.NoError(t, err)
	f := open(t, b)
	_, err = f.Uint32("missing")
	require.ErrorIs(t, err, gguf.ErrNoKey)
	require.ErrorContains(t, err, `mem.gguf: key "missing"`)
	_, err = f.Uint32("words")
	require.ErrorIs(t, err, gguf.ErrKeyType)
	require.ErrorContains(t, err, "want an integer, got array of string")
	_, err = f.Uint32("i32")
	require.ErrorContains(t, err, "want 0 or more, got -7")
	_, err = f.Uint32("u64")
	require.ErrorContains(t, err, "does not fit in 32 bits")
	_, err = f.String("u32")
	require.ErrorContains(t, err, "want string, got uint32")
	_, err = f.Float32("u32")
	require.ErrorIs(t, err, gguf.ErrKeyType)
	d, err := f.Float32("any.float64")
	require.NoError(t, err)
	require.Equal(t, float32(0.1), d)
	for _, k := range []string{"any.uint8", "any.uint16", "u64"} {
		_, err := f.Uint64(k)
		require.NoError(t, err, k)
	}
	require.Equal(t, "array of int32", f.TypeOf("ints"))
	require.Equal(t, "", f.TypeOf("missing"))
	_, err = f.Float32Data("q")
	require.ErrorContains(t, err, "want F32, F16 or BF16, got Q4_0")
	_, err = f.TensorData("missing")
	require.ErrorIs(t, err, gguf.ErrNoTensor)
}

func TestWriterKeepsTheFirstMistake(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*gguf.Writer)
		want string
	}{
		"key twice":  {func(w *gguf.Writer) { w.SetBool("k", true); w.SetBool("k", true) }, "set twice"},
		"empty key":  {func(w *gguf.Writer) { w.SetBool("", true) }, "0 bytes long"},
		"alignment":  {func(w *gguf.Writer) { w.SetUint32("general.alignment", 64) }, "always 32"},
		"value type": {func(w *gguf.Writer) { w.SetValue("k", struct{}{}) }, "no GGUF type for struct {}"},
		"tensor twice": {func(w *gguf.Writer) { w.AddF32("t", nil, []float32{1}); w.AddF32("t", nil, []float32{1}) },
			"added twice"},
		"element count": {func(w *gguf.Writer) { w.AddF32("t", []int64{2, 2}, make([]float32, 3)) },
			"hold 4 elements, got 3"},
		"raw size": {func(w *gguf.Writer) { w.AddRaw("t", gguf.TypeQ8_0, []int64{32}, make([]byte, 33)) },
			"takes 34 bytes, got 33"},
		"block size": {func(w *gguf.Writer) { w.AddRaw("t", gguf.TypeQ4K, []int64{32}, make([]byte, 18)) },
			"multiple of the block size 256"},
		"long name": {func(w *gguf.Writer) { w.AddF32(string(make([]byte, 64)), nil, []float32{1}) },
			"want 1 to 63"},
		"dimensions": {func(w *gguf.Writer) { w.AddF32("t", []int64{1, 1, 1, 1, 1}, []float32{1}) },
			"want at most 4"},
		"zero": {func(w *gguf.Writer) { w.AddF32("t", []int64{0}, nil) }, "want at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := gguf.NewWriter()
			c.do(w)
			w.SetBool("k", true)
			w.SetBool("k", true)
			_, err := w.Bytes()
			require.ErrorContains(t, err, c.want)
			path := filepath.Join(t.TempDir(), "x")
			require.Error(t, w.Save(path))
			require.NoFileExists(t, path)
		})
	}
	w := gguf.NewWriter()
	w.AddTensor("t", gguf.TypeF32, []int64{2}, func(out io.Writer) error {
		_, err := out.Write(make([]byte, 4))
		return err
	})
	_, err := w.Bytes()
	require.ErrorContains(t, err, "takes 8 bytes, got 4")
}

// The sizes ggml-common.h asserts, at one block each.
func TestBlockSizes(t *testing.T) {
	for typ, want := range map[gguf.Type][2]int{
		gguf.TypeF32: {1, 4}, gguf.TypeBF16: {1, 2}, gguf.TypeI64: {1, 8},
		gguf.TypeQ4_0: {32, 18}, gguf.TypeQ4_1: {32, 20}, gguf.TypeQ5_0: {32, 22}, gguf.TypeQ5_1: {32, 24},
		gguf.TypeQ8_0: {32, 34},
		gguf.TypeQ2K:  {256, 84}, gguf.TypeQ3K: {256, 110}, gguf.TypeQ4K: {256, 144}, gguf.TypeQ5K: {256, 176},
		gguf.TypeQ6K: {256, 210}, gguf.TypeQ8K: {256, 292},
		gguf.TypeIQ1M: {256, 56}, gguf.TypeIQ4XS: {256, 136}, gguf.TypeTQ1_0: {256, 54}, gguf.TypeMXFP4: {32, 17},
	} {
		n, b := typ.Block()
		require.Equal(t, want, [2]int{n, b}, typ.String())
	}
	require.Equal(t, "type 99", gguf.Type(99).String())
	require.Equal(t, "Q4_K", gguf.TypeQ4K.String())
}

func TestRealVocabulary(t *testing.T) {
	f, err := gguf.Open(testfiles.Data(t, "models/llama2-tokenizer/ggml-vocab-llama-spm.gguf"))
	require.NoError(t, err)
	defer f.Close()
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	require.NoError(t, err)
	require.Len(t, tokens, 32000)
	require.Equal(t, []string{"<unk>", "<s>", "</s>", "<0x00>"}, tokens[:4])
	bos, err := f.Uint32("tokenizer.ggml.bos_token_id")
	require.NoError(t, err)
	require.Equal(t, uint32(1), bos)
}
