package gguf_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf"
)

// raw builds a file by hand: strings with their length in front, numbers as they are.
func raw(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if s, ok := p.(string); ok {
			_ = binary.Write(&b, binary.LittleEndian, uint64(len(s)))
			b.WriteString(s)
			continue
		}
		if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

var gg = []byte("GGUF")

type (
	u32 = uint32
	u64 = uint64
)

// one returns a file with a single tensor entry and n bytes of data.
func one(name string, dims []u64, typ u32, offset u64, n int) []byte {
	h := raw(gg, u32(3), u64(1), u64(0), name, u32(len(dims)), dims, typ, offset)
	h = append(h, make([]byte, (32-len(h)%32)%32)...)
	return append(h, make([]byte, n)...)
}

func TestHostileFilesAreErrors(t *testing.T) {
	kv := func(n u64, parts ...any) []byte {
		return raw(append([]any{gg, u32(3), u64(0), n}, parts...)...)
	}
	long := string(bytes.Repeat([]byte{'x'}, 64))
	for name, c := range map[string]struct {
		file []byte
		want string
		is   error
	}{
		"empty":             {nil, "magic: wants 4 bytes at byte 0, the file has 0 left", gguf.ErrTruncated},
		"magic":             {[]byte("PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaa"), `starts with "PK`, gguf.ErrFormat},
		"version 1":         {raw(gg, u32(1), u32(0), u32(0)), "convert the model again", gguf.ErrFormat},
		"version 4":         {raw(gg, u32(4), u64(0), u64(0)), "GGUF version 4, want 2 or 3", gguf.ErrFormat},
		"big endian":        {raw(gg, u32(3<<24), u64(0), u64(0)), "big-endian", gguf.ErrFormat},
		"cut in the counts": {raw(gg, u32(3), u64(0), u32(0)), "metadata count", gguf.ErrTruncated},
		"many keys": {raw(gg, u32(3), u64(0), u64(1<<60)), "metadata keys announced, but only 0 bytes follow",
			gguf.ErrFormat},
		"many tensors": {raw(gg, u32(3), u64(1<<60), u64(0)), "tensors announced, but only 0 bytes follow",
			gguf.ErrFormat},
		"long key": {kv(1, u64(1<<62), make([]byte, 64)), "want at most 65535", gguf.ErrFormat},
		"key beyond file": {kv(1, u64(5000), make([]byte, 64)), "metadata key 0: name: wants 5000 bytes",
			gguf.ErrTruncated},
		"empty key": {kv(1, "", u32(7), uint8(1)), "empty name", gguf.ErrFormat},
		"key twice": {kv(2, "k", u32(7), uint8(1), "k", u32(7), uint8(1)), `metadata key "k" appears twice`,
			gguf.ErrFormat},
		"bad bool":           {kv(1, "key", u32(7), uint8(2)), "bool 0 is 2, want 0 or 1", gguf.ErrFormat},
		"unknown value type": {kv(1, "k", u32(13), u64(0)), "unknown value type 13", gguf.ErrFormat},
		"long string":        {kv(1, "k", u32(8), u64(1<<62)), "wants 4611686018427387904 bytes", gguf.ErrTruncated},
		"nested arrays":      {kv(1, "k", u32(9), u32(9), u64(1)), "array of arrays", gguf.ErrFormat},
		"array type":         {kv(1, "k", u32(9), u32(77), u64(1)), "unknown value type 77", gguf.ErrFormat},
		"long array": {kv(1, "k", u32(9), u32(12), u64(1<<61)), "array of 2305843009213693952 float64",
			gguf.ErrTruncated},
		"array size wraps": {kv(1, "k", u32(9), u32(10), u64(1)<<61+1, u64(0)), "array of", gguf.ErrTruncated},
		"many strings": {kv(1, "k", u32(9), u32(8), u64(1<<61)), "wants 2305843009213693952 strings",
			gguf.ErrTruncated},
		"string in array": {kv(1, "k", u32(9), u32(8), u64(1), u64(99)), "string 0: wants 99 bytes",
			gguf.ErrTruncated},
		"alignment type": {kv(1, "general.alignment", u32(10), u64(32)), "want uint32, got uint64", gguf.ErrFormat},
		"alignment 0": {kv(1, "general.alignment", u32(4), u32(0)), "want a power of two, got 0",
			gguf.ErrFormat},
		"alignment 48": {kv(1, "general.alignment", u32(4), u32(48)), "want a power of two, got 48",
			gguf.ErrFormat},
		"tensor name long":  {one(long, []u64{1}, 0, 0, 32), "64 bytes long, want at most 63", gguf.ErrFormat},
		"tensor name empty": {one("", []u64{1}, 0, 0, 32), "tensor 0: empty name", gguf.ErrFormat},
		"five dimensions": {one("t", []u64{1, 1, 1, 1, 1}, 0, 0, 32), "5 dimensions, want at most 4",
			gguf.ErrFormat},
		"dimension 0":        {one("t", []u64{4, 0}, 0, 0, 32), "dimension 1 is 0: want at least 1", gguf.ErrFormat},
		"dimension negative": {one("t", []u64{1 << 63}, 0, 0, 32), "want at least 1", gguf.ErrFormat},
		"elements overflow": {one("t", []u64{1 << 40, 1 << 40}, 0, 0, 32), "number of elements overflows",
			gguf.ErrFormat},
		"bytes overflow": {one("t", []u64{1 << 62}, 0, 0, 32), "size in bytes overflows", gguf.ErrFormat},
		"unknown type":   {one("t", []u64{32}, 31, 0, 32), "tensor type 31 is not known", gguf.ErrFormat},
		"ragged blocks": {one("t", []u64{33}, 2, 0, 64),
			"Q4_0 rows of 33 elements: want a multiple of the block size 32", gguf.ErrFormat},
		"offset unaligned": {one("t", []u64{1}, 0, 4, 32), "offset 4 is not a multiple of the alignment 32",
			gguf.ErrFormat},
		"offset absurd":      {one("t", []u64{1}, 0, 1<<63, 32), "want 0, right after", gguf.ErrFormat},
		"offset after a gap": {one("t", []u64{1}, 0, 32, 64), "offset 32, want 0, right after", gguf.ErrFormat},
		"sizes overflow":     {one("t", []u64{1<<63 - 1}, 24, 0, 32), "overflow", gguf.ErrFormat},
		"data cut short": {one("t", []u64{16}, 0, 0, 28), "36 bytes are missing, from tensor \"t\" on",
			gguf.ErrTruncated},
		"overlap": {append(raw(gg, u32(3), u64(2), u64(0), "t", u32(1), u64(1), u32(0), u64(0),
			"u", u32(1), u64(1), u32(0), u64(0)), make([]byte, 64)...), `tensor "u": offset 0, want 32`,
			gguf.ErrFormat},
		"tensor twice": {append(raw(gg, u32(3), u64(2), u64(0), "t", u32(1), u64(1), u32(0), u64(0),
			"t", u32(1), u64(1), u32(0), u64(0)), make([]byte, 64)...), `tensor "t" appears twice`, gguf.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gguf.Read("bad.gguf", bytes.NewReader(c.file), int64(len(c.file)))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "gguf: bad.gguf: ")
			require.ErrorIs(t, err, c.is)
		})
	}
}

// A file cut at any byte is an error, and never one that says nothing of the cut.
func TestEveryCutIsNoticed(t *testing.T) {
	b, err := everything().Bytes()
	require.NoError(t, err)
	f := open(t, b)
	var end int64 // padding after the last tensor may be missing
	for _, ti := range f.Tensors() {
		end = max(end, ti.Offset+ti.Size)
	}
	for n := range end {
		_, err := gguf.Read("cut", bytes.NewReader(b[:n]), n)
		require.Error(t, err, n)
	}
	_, err = gguf.Read("cut", bytes.NewReader(b[:end]), end)
	require.NoError(t, err)
}

// The size given may be a lie: the bytes end earlier than it says.
func TestShortReaderIsTruncated(t *testing.T) {
	b, err := everything().Bytes()
	require.NoError(t, err)
	_, err = gguf.Read("lie", bytes.NewReader(b[:100]), int64(len(b)))
	require.ErrorIs(t, err, gguf.ErrTruncated)
	f, err := gguf.Read("lie", bytes.NewReader(b[:len(b)-64]), int64(len(b)))
	require.NoError(t, err)
	_, err = f.TensorData("scalar")
	require.Error(t, err)
}

// A few bytes that announce gigabytes must not make them be allocated.
func TestAnnouncedSizesAreNotAllocated(t *testing.T) {
	file := raw(gg, u32(3), u64(0), u64(1), "k", u32(9), u32(8), u64(1<<40))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := gguf.Read("x", bytes.NewReader(file), int64(len(file)))
	require.Error(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	_, err := gguf.Open(filepath.Join(t.TempDir(), "missing.gguf"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = gguf.Open(t.TempDir())
	require.ErrorContains(t, err, "want a regular file")
}

func FuzzRead(f *testing.F) {
	b, err := everything().Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:300])
	f.Add(one("t", []u64{16}, 0, 0, 64))
	f.Add(raw(gg, u32(2), u64(0), u64(1), "general.alignment", u32(4), u32(64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Read("fuzz", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		w := gguf.NewWriter()
		for _, k := range file.Keys() {
			if k != "general.alignment" {
				w.SetValue(k, file.Value(k))
			}
		}
		for _, ti := range file.Tensors() {
			data, err := file.TensorData(ti.Name)
			if err != nil {
				t.Fatalf("accepted, but %v", err)
			}
			w.AddRaw(ti.Name, ti.Type, ti.Dims, data)
			if ti.Type == gguf.TypeF32 || ti.Type == gguf.TypeF16 || ti.Type == gguf.TypeBF16 {
				if _, err := file.Float32Data(ti.Name); err != nil {
					t.Fatal(err)
				}
			}
		}
		out, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		again, err := gguf.Read("again", bytes.NewReader(out), int64(len(out)))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Tensors()) != len(file.Tensors()) {
			t.Fatal("tensors were lost")
		}
	})
}
