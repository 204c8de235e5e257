package quantize_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/quantize"
	"steer/internal/testfiles"
)

// wide is a model whose rows are whole blocks of every type.
var wide = gguftest.Shape{Layers: 1, Embd: 256, FF: 256, Heads: 2, KVHeads: 1, Vocab: 260, Ctx: 64}

func tiny(t *testing.T, s gguftest.Shape) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, s, 1, gguftest.Options{Untied: true, BPE: true}))
	return path
}

func parse(t *testing.T, name string) quantize.Type {
	t.Helper()
	typ, err := quantize.Parse(name)
	require.NoError(t, err)
	return typ
}

func read(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// The bytes of all tensors are those of llama.cpp's llama-quantize (golden/arch).
func TestEqualsLlamaQuantize(t *testing.T) {
	in := testfiles.Golden(t, "arch/mistral/f32_swa.gguf")
	out := filepath.Join(t.TempDir(), "out.gguf")
	res, err := quantize.File(t.Context(), in, out, quantize.Options{Type: parse(t, "Q8_0")})
	require.NoError(t, err)
	got, want := read(t, out), read(t, testfiles.Golden(t, "arch/mistral/q8_0.gguf"))
	require.Len(t, got.Tensors(), len(want.Tensors()))
	for _, w := range want.Tensors() {
		g, ok := got.Tensor(w.Name)
		require.True(t, ok, w.Name)
		require.Equal(t, w.Type, g.Type, w.Name)
		a, err := want.TensorData(w.Name)
		require.NoError(t, err)
		b, err := got.TensorData(w.Name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b), w.Name)
	}
	for _, key := range want.Keys() {
		require.Equal(t, want.Value(key), got.Value(key), key)
	}
	require.Less(t, res.After, res.Before)
	require.Equal(t, []quantize.Count{{Type: gguf.TypeQ8_0, Tensors: 23}, {Type: gguf.TypeF32, Tensors: 7}}, res.Types)
}

// Every type that needs no importance matrix makes a file that holds the metadata, with most matrices in the
// type's own; where all are, their bytes are those of ggml's quantizer.
func TestAllTypes(t *testing.T) {
	in := tiny(t, wide)
	source := read(t, in)
	for _, name := range quantize.Types() {
		typ := parse(t, name)
		opt := quantize.Options{Type: typ, Pure: true}
		if opt.Check() != nil || testing.Short() && strings.HasPrefix(name, "iq") {
			continue // those of "iq" take seconds each
		}
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.gguf")
			_, err := quantize.File(t.Context(), in, out, opt)
			require.NoError(t, err)
			got := read(t, out)
			for _, key := range source.Keys() {
				if key != "general.file_type" {
					require.Equal(t, source.Value(key), got.Value(key), key)
				}
			}
			for _, w := range source.Tensors() {
				g, _ := got.Tensor(w.Name)
				if len(w.Dims) < 2 {
					require.Equal(t, gguf.TypeF32, g.Type, w.Name)
					continue
				}
				require.Equal(t, typ.Matrices, g.Type, w.Name)
				if strings.HasPrefix(name, "iq") {
					continue // ggml's quantizer takes seconds for each
				}
				values, err := source.Float32Data(w.Name)
				require.NoError(t, err)
				want, err := cgo.Quantize(uint32(typ.Matrices), values, int(w.Dims[0]))
				require.NoError(t, err)
				data, err := got.TensorData(w.Name)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, data), w.Name)
			}
		})
	}
}

func TestTypesOfSomeMatrices(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.gguf")
	q6, f16 := gguf.TypeQ6K, gguf.TypeF16
	var seen []int
	_, err := quantize.File(t.Context(), tiny(t, wide), out, quantize.Options{Type: parse(t, "q4_k"), Output: &f16,
		Embedding: &q6, Tensors: []quantize.TensorType{{Pattern: `blk\.0\.ffn_down`, Type: gguf.TypeQ8_0}},
		Progress: func(done, total int) { seen = append(seen, done, total) }})
	require.NoError(t, err)
	f := read(t, out)
	for name, want := range map[string]gguf.Type{
		"output.weight": f16, "token_embd.weight": q6, "blk.0.ffn_down.weight": gguf.TypeQ8_0,
		"blk.0.attn_q.weight": gguf.TypeQ4K, "output_norm.weight": gguf.TypeF32} {
		got, ok := f.Tensor(name)
		require.True(t, ok)
		require.Equal(t, want, got.Type, name)
	}
}

// importance writes an importance matrix in llama.cpp's older form.
func importance(t *testing.T, model string) string {
	t.Helper()
	var b bytes.Buffer
	put := func(v any) { require.NoError(t, binary.Write(&b, binary.LittleEndian, v)) }
	var names []string
	columns := map[string]int64{}
	for _, x := range read(t, model).Tensors() {
		if len(x.Dims) > 1 {
			names = append(names, x.Name)
			columns[x.Name] = x.Dims[0]
		}
	}
	put(int32(len(names)))
	for _, name := range names {
		put(int32(len(name)))
		b.WriteString(name)
		put(int32(2)) // calls
		put(int32(columns[name]))
		for i := range columns[name] {
			put(float32(2 * (1 + i%7)))
		}
	}
	path := filepath.Join(t.TempDir(), "imatrix.dat")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o666))
	return path
}

func TestImportance(t *testing.T) {
	in := tiny(t, wide)
	old, err := quantize.ReadImportance(importance(t, in))
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2, 3, 4, 5, 6, 7, 1}, old["output.weight"][:8])

	w := gguf.NewWriter()
	w.SetString("general.type", "imatrix")
	w.AddF32("output.weight.in_sum2", []int64{4, 2}, []float32{2, 4, 6, 8, 1, 1, 1, 1})
	w.AddF32("output.weight.counts", []int64{1, 2}, []float32{2, 0})
	path := filepath.Join(t.TempDir(), "imatrix.gguf")
	require.NoError(t, w.Save(path))
	newer, err := quantize.ReadImportance(path)
	require.NoError(t, err)
	require.Equal(t, quantize.Importance{"output.weight": {1, 2, 3, 4, 1, 1, 1, 1}}, newer)

	names := []string{"q2_k_s", "q4_k_m"}
	if !testing.Short() {
		names = append(names, "iq1_m", "iq2_xs") // seconds each
	}
	for _, name := range names {
		out := filepath.Join(t.TempDir(), name+".gguf")
		res, err := quantize.File(t.Context(), in, out, quantize.Options{Type: parse(t, name), Importance: old})
		require.NoError(t, err, name)
		require.Positive(t, res.After)
	}
	for _, bad := range []string{"", "\x01\x00\x00\x00\xff\xff\xff\x7f", "\x00\x00\x00\x00"} {
		path := filepath.Join(t.TempDir(), "bad.dat")
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o666))
		_, err := quantize.ReadImportance(path)
		require.ErrorContains(t, err, path)
	}
	_, err = quantize.ReadImportance(in)
	require.ErrorContains(t, err, "not an importance matrix")
}

func TestRefuses(t *testing.T) {
	in := tiny(t, wide)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.gguf")
	narrow, plain := wide, quantize.Options{Type: parse(t, "q8_0")}
	narrow.FF = 48
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q8 := filepath.Join(t.TempDir(), "q8.gguf")
	_, err := quantize.File(t.Context(), in, q8, quantize.Options{Type: parse(t, "q8_0")})
	require.NoError(t, err)
	for _, c := range []struct {
		name, in, out string
		ctx           context.Context
		opt           quantize.Options
		want          string
	}{
		{"no importance matrix", in, out, t.Context(), quantize.Options{Type: parse(t, "iq2_xs")}, "give an " +
			"importance matrix"},
		{"onto itself", in, in, t.Context(), plain, "the output is the input"},
		{"a second time", q8, out, t.Context(), quantize.Options{Type: parse(t, "q4_k_m")}, "is quantized already " +
			"(Q8_0)"},
		{"rows of 48", tiny(t, narrow), out, t.Context(), plain, "rows of 48 " +
			"numbers"},
		{"a bad pattern", in, out, t.Context(), quantize.Options{Type: parse(t, "q8_0"),
			Tensors: []quantize.TensorType{{Pattern: "(", Type: gguf.TypeF16}}}, "missing closing )"},
		{"an interrupt", in, out, ctx, quantize.Options{Type: parse(t, "q4_k_m")}, "context canceled"},
		{"no file", filepath.Join(dir, "none.gguf"), out, t.Context(), plain, "no " +
			"such file"},
		{"no folder", in, filepath.Join(dir, "none", "out.gguf"), t.Context(), plain, "none"},
	} {
		_, err := quantize.File(c.ctx, c.in, c.out, c.opt)
		require.ErrorContains(t, err, c.want, c.name)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	_, err = quantize.File(t.Context(), q8, out, quantize.Options{Type: parse(t, "q4_k_m"), Requantize: true})
	require.NoError(t, err)
	_, err = quantize.Parse("q9")
	require.ErrorContains(t, err, "want one of f32")
	_, err = quantize.ParseTensor("q9")
	require.ErrorContains(t, err, "want one of f32, f16, q4_0")
	require.Zero(t, cgo.Alive())
}

// A model of an architecture that libllama does not know is an error in its words.
func TestUnknownArchitecture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, wide, 1, gguftest.Options{Arch: "odd"}))
	out := filepath.Join(t.TempDir(), "o.gguf")
	_, err := quantize.File(t.Context(), path, out, quantize.Options{Type: parse(t, "q8_0")})
	require.ErrorContains(t, err, "libllama's quantizer: unknown model architecture: 'odd'")
	require.False(t, strings.Contains(err.Error(), "\n"))
}
