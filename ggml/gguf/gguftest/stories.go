package gguftest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"steer/ggml/gguf"
	"steer/internal/testfiles"
)

// ConvertStories260K writes a llama2.c version-0 checkpoint (bin, such as
// stories260K.bin) with its tokenizer (tok, such as tok512.bin) as the GGUF file
// out, in F32.
//
// llama2.c turns neighbouring pairs of q and k in RoPE, as ggml does for the llama
// architecture, so the rows of wq and wk are copied as they are.
func ConvertStories260K(bin, tok, out string) error {
	ck, err := readCheckpoint(bin)
	if err != nil {
		return fmt.Errorf("gguftest: %s: %w", bin, err)
	}
	vocab, err := readTokenizer(tok, ck.shape.Vocab)
	if err != nil {
		return fmt.Errorf("gguftest: %s: %w", tok, err)
	}
	w := gguf.NewWriter()
	setModel(w, "llama", "stories260K", ck.shape, 1e-5)
	vocab.set(w)
	ck.add(w)
	return w.Save(out)
}

type checkpoint struct {
	shape  Shape
	untied bool
	data   map[string][]float32 // llama2.c's name -> all layers, one after the other
}

// readCheckpoint reads the layout of llama2.c's legacy export: seven int32, then
// the float32 weights of memory_map_weights in run.c.
func readCheckpoint(path string) (*checkpoint, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := bytes.NewReader(raw)
	var h [7]int32
	if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	// A negative vocabulary size says that the output matrix is stored too.
	ck := &checkpoint{untied: h[5] < 0, data: map[string][]float32{}}
	s := Shape{
		Embd: int(h[0]), FF: int(h[1]), Layers: int(h[2]), Heads: int(h[3]),
		KVHeads: int(h[4]), Vocab: int(max(h[5], -h[5])), Ctx: int(h[6]),
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	ck.shape = s
	head := s.Embd / s.Heads
	kv := head * s.KVHeads
	parts := []struct {
		name string
		n    int
	}{
		{"token_embd", s.Vocab * s.Embd},
		{"attn_norm", s.Layers * s.Embd},
		{"attn_q", s.Layers * s.Embd * s.Embd},
		{"attn_k", s.Layers * s.Embd * kv},
		{"attn_v", s.Layers * s.Embd * kv},
		{"attn_output", s.Layers * s.Embd * s.Embd},
		{"ffn_norm", s.Layers * s.Embd},
		{"ffn_gate", s.Layers * s.Embd * s.FF}, // w1
		{"ffn_down", s.Layers * s.Embd * s.FF}, // w2
		{"ffn_up", s.Layers * s.Embd * s.FF},   // w3
		{"output_norm", s.Embd},
		{"freq_cis_real", s.Ctx * head / 2}, // RoPE tables: recomputed by everybody
		{"freq_cis_imag", s.Ctx * head / 2},
	}
	if ck.untied {
		parts = append(parts, struct {
			name string
			n    int
		}{"output", s.Vocab * s.Embd})
	}
	for _, p := range parts {
		if 4*p.n > r.Len() {
			return nil, fmt.Errorf("%s: want %d bytes, the file has %d left", p.name, 4*p.n, r.Len())
		}
		x := make([]float32, p.n)
		if err := binary.Read(r, binary.LittleEndian, x); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		ck.data[p.name] = x
	}
	if r.Len() != 0 {
		return nil, fmt.Errorf("%d bytes follow the last weight", r.Len())
	}
	return ck, nil
}

func (ck *checkpoint) add(w *gguf.Writer) {
	s := ck.shape
	kv := s.Embd / s.Heads * s.KVHeads
	d := func(n ...int) []int64 {
		out := make([]int64, len(n))
		for i, v := range n {
			out[i] = int64(v)
		}
		return out
	}
	layer := func(i int, name string, dims ...int) {
		n := 1
		for _, v := range dims {
			n *= v
		}
		w.AddF32(fmt.Sprintf("blk.%d.%s.weight", i, name), d(dims...), ck.data[name][i*n:(i+1)*n])
	}
	w.AddF32("token_embd.weight", d(s.Embd, s.Vocab), ck.data["token_embd"])
	for i := range s.Layers {
		layer(i, "attn_norm", s.Embd)
		layer(i, "attn_q", s.Embd, s.Embd)
		layer(i, "attn_k", s.Embd, kv)
		layer(i, "attn_v", s.Embd, kv)
		layer(i, "attn_output", s.Embd, s.Embd)
		layer(i, "ffn_norm", s.Embd)
		layer(i, "ffn_gate", s.Embd, s.FF)
		layer(i, "ffn_up", s.Embd, s.FF)
		layer(i, "ffn_down", s.FF, s.Embd)
	}
	w.AddF32("output_norm.weight", d(s.Embd), ck.data["output_norm"])
	if ck.untied {
		w.AddF32("output.weight", d(s.Embd, s.Vocab), ck.data["output"])
	}
}

// tokenizer is a SentencePiece vocabulary as llama2.c exports it.
type tokenizer struct {
	tokens []string
	scores []float32
	types  []int32
}

// Token types of tokenizer.ggml.token_type (llama.cpp's llama_token_type).
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenByte    = 6
)

func readTokenizer(path string, vocab int) (*tokenizer, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := bytes.NewReader(raw)
	if _, err := r.Seek(4, io.SeekStart); err != nil { // longest token, not needed
		return nil, err
	}
	t := &tokenizer{}
	for id := range vocab {
		var h struct {
			Score float32
			Len   int32
		}
		if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
			return nil, fmt.Errorf("token %d of %d: %w", id, vocab, err)
		}
		if h.Len < 0 || int(h.Len) > r.Len() || math.IsNaN(float64(h.Score)) {
			return nil, fmt.Errorf("token %d: length %d, score %g", id, h.Len, h.Score)
		}
		p := make([]byte, h.Len)
		if _, err := io.ReadFull(r, p); err != nil {
			return nil, fmt.Errorf("token %d: %w", id, err)
		}
		t.add(id, string(p), h.Score)
	}
	return t, nil
}

// add undoes what llama2.c's export did to the pieces for printing: ids 0-2 are
// <unk>, <s>, </s>, ids 3-258 the 256 bytes, and the SentencePiece blank U+2581
// was replaced by a space.
func (t *tokenizer) add(id int, piece string, score float32) {
	typ := int32(tokenNormal)
	switch {
	case id == 0:
		piece, typ = "<unk>", tokenUnknown
	case id == 1:
		piece, typ = "<s>", tokenControl
	case id == 2:
		piece, typ = "</s>", tokenControl
	case id < 3+256:
		piece, typ = fmt.Sprintf("<0x%02X>", id-3), tokenByte
	default:
		piece = string(bytes.ReplaceAll([]byte(piece), []byte(" "), []byte("\u2581")))
	}
	t.tokens = append(t.tokens, piece)
	t.scores = append(t.scores, score)
	t.types = append(t.types, typ)
}

func (t *tokenizer) set(w *gguf.Writer) {
	w.SetString("tokenizer.ggml.model", "llama")
	w.SetString("tokenizer.ggml.pre", "default")
	w.SetStrings("tokenizer.ggml.tokens", t.tokens)
	w.SetFloat32s("tokenizer.ggml.scores", t.scores)
	w.SetInt32s("tokenizer.ggml.token_type", t.types)
	w.SetUint32("tokenizer.ggml.bos_token_id", 1)
	w.SetUint32("tokenizer.ggml.eos_token_id", 2)
	w.SetUint32("tokenizer.ggml.unknown_token_id", 0)
	w.SetBool("tokenizer.ggml.add_bos_token", true)
	w.SetBool("tokenizer.ggml.add_eos_token", false)
}

// Stories260K converts the checkpoint among the golden numbers and gives the GGUF file's path,
// which lasts as long as the test.
func Stories260K(t testing.TB) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "stories260K.gguf")
	src := testfiles.Golden(t, "models/stories260K")
	err := ConvertStories260K(filepath.Join(src, "stories260K.bin"), filepath.Join(src, "tok512.bin"), out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
