package speed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
)

// synthVersion is in the names of cached files: to be raised when their content changes.
const synthVersion = 1

// CheckSynthetic says whether there is such a shape and quantization.
func CheckSynthetic(shape, typ string) error {
	_, err := ShapeOf(shape)
	_, err2 := basicType(typ)
	return errors.Join(err, err2)
}

// Synthetic returns a GGUF file with random weights of a known shape and quantization in
// dir, which is written unless it is there. It has no vocabulary: tokens are numbers.
func Synthetic(dir, shape, typ string) (path string, err error) {
	s, err := ShapeOf(shape)
	if err != nil {
		return "", err
	}
	if _, err := basicType(typ); err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("random-%s-%s-v%d.gguf", shape, typ, synthVersion))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err // written whole or not at all
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	w, err := synthesize(s, typ)
	if err != nil {
		return "", fmt.Errorf("synthetic %s: %w", shape, err)
	}
	return path, w.Save(path)
}

func synthesize(s Shape, typ string) (*gguf.Writer, error) {
	basic, err := basicType(typ)
	if err != nil {
		return nil, err
	}
	w := gguf.NewWriter()
	w.SetString("general.architecture", "llama")
	w.SetString("general.name", "random weights in the shape of "+s.Name)
	for _, key := range s.sizes() {
		w.SetUint32("llama."+key.name, uint32(key.value))
	}
	w.SetFloat32("llama.attention.layer_norm_rms_epsilon", 1e-5)
	w.SetFloat32("llama.rope.freq_base", 10000)
	w.SetString("tokenizer.ggml.model", "no_vocab")
	g := &weightGenerator{w: w, rng: rand.New(rand.NewPCG(1, 2)), rows: map[rowKind][][]byte{}}
	matrix := func(name, target string, layer, nIn, nOut int) {
		g.matrix(name, typeOf(typ, basic, s, target, layer), nIn, nOut)
	}
	matrix("token_embd.weight", "token_embd", 0, s.Embd, s.Vocab)
	for layer := range s.Layers {
		g.norm(fmt.Sprintf("blk.%d.attn_norm.weight", layer), s.Embd)
		g.norm(fmt.Sprintf("blk.%d.ffn_norm.weight", layer), s.Embd)
		for _, target := range adapter.Targets() {
			nIn, nOut, err := s.adapter().Dims(target)
			if err != nil {
				return nil, err
			}
			matrix(fmt.Sprintf("blk.%d.%s.weight", layer, target), target, layer, nIn, nOut)
		}
	}
	g.norm("output_norm.weight", s.Embd)
	if !s.Tied {
		matrix("output.weight", "output", 0, s.Embd, s.Vocab)
	}
	return w, errors.Join(g.err, w.Err())
}

// size is a metadata key with its value.
type size struct {
	name  string
	value int
}

func (s Shape) sizes() []size {
	return []size{
		{"context_length", s.Ctx}, {"embedding_length", s.Embd}, {"block_count", s.Layers},
		{"feed_forward_length", s.FF},
		{"attention.head_count", s.Heads}, {"attention.head_count_kv", s.KVHeads},
		{"rope.dimension_count", s.Embd / s.Heads}, {"vocab_size", s.Vocab},
	}
}

// weightGenerator makes random weights. Rows of a matrix are drawn from a pool of
// quantized rows of its type and width, since quantizing thirteen billion numbers would
// take an hour and speed does not depend on them.
type weightGenerator struct {
	w    *gguf.Writer
	rng  *rand.Rand
	rows map[rowKind][][]byte
	err  error
}

type rowKind struct {
	typ gguf.Type
	nIn int
}

// poolRows is how many different rows there are of a kind.
const poolRows = 256

// pool quantizes normal rows with standard deviation 1/√n_in, which keeps activations in range.
func (g *weightGenerator) pool(kind rowKind) [][]byte {
	if p, ok := g.rows[kind]; ok {
		return p
	}
	x := make([]float32, poolRows*kind.nIn)
	for i := range x {
		x[i] = float32(g.rng.NormFloat64() / math.Sqrt(float64(kind.nIn)))
	}
	data, err := cgo.Quantize(uint32(kind.typ), x, kind.nIn)
	if err != nil {
		g.err = errors.Join(g.err, fmt.Errorf("%s rows of %d: %w", kind.typ, kind.nIn, err))
		return nil
	}
	size := len(data) / poolRows
	p := make([][]byte, poolRows)
	for i := range p {
		p[i] = data[i*size : (i+1)*size]
	}
	g.rows[kind] = p
	return p
}

func (g *weightGenerator) matrix(name string, typ gguf.Type, nIn, nOut int) {
	pool := g.pool(rowKind{typ, nIn})
	if pool == nil {
		return
	}
	seed := g.rng.Uint64()
	g.w.AddTensor(name, typ, []int64{int64(nIn), int64(nOut)}, func(out io.Writer) error {
		rng := rand.New(rand.NewPCG(seed, 0))
		var buf bytes.Buffer
		for row := range nOut {
			buf.Write(pool[rng.IntN(poolRows)])
			if buf.Len() >= 1<<20 || row == nOut-1 {
				if _, err := buf.WriteTo(out); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (g *weightGenerator) norm(name string, n int) {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(1 + 0.1*g.rng.NormFloat64())
	}
	g.w.AddF32(name, []int64{int64(n)}, x)
}
