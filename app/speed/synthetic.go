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
	"slices"
	"strings"

	"steer/cgo"
	"steer/ggml/adapter"
	"steer/ggml/family"
	"steer/ggml/gguf"
	"steer/ggml/modelfile"
)

// synthVersion is in the names of cached files: to be raised when their content changes.
const synthVersion = 3

// CheckSynthetic says whether there is such a shape, quantization and family.
func CheckSynthetic(shape, typ, arch string) error {
	_, err := ShapeOf(shape)
	_, err2 := basicType(typ)
	if _, ok := family.Of(arch); !ok {
		err2 = errors.Join(err2, fmt.Errorf("family %q: want one of %s", arch, strings.Join(family.Archs(), ", ")))
	}
	return errors.Join(err, err2)
}

// Synthetic returns a GGUF file with random weights of a known shape, quantization and family in
// dir, which is written unless it is there. It has no vocabulary: tokens are numbers.
func Synthetic(dir, shape, typ, arch string) (path string, err error) {
	if err := CheckSynthetic(shape, typ, arch); err != nil {
		return "", err
	}
	s, err := ShapeOf(shape)
	if err != nil {
		return "", err
	}
	name := shape
	if s.Arch = arch; arch != adapter.Arch {
		name += "-as-" + arch
	}
	path = filepath.Join(dir, fmt.Sprintf("random-%s-%s-v%d.gguf", name, typ, synthVersion))
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
	fam, _ := family.Of(s.arch())
	w := gguf.NewWriter()
	w.SetString("general.architecture", s.arch())
	w.SetString("general.name", "random weights in the shape of "+s.Name)
	for _, key := range s.sizes() {
		w.SetUint32(s.arch()+"."+key.name, uint32(key.value))
	}
	w.SetFloat32(s.arch()+".attention.layer_norm_rms_epsilon", 1e-5)
	w.SetFloat32(s.arch()+".rope.freq_base", 10000)
	if s.arch() == "granite" { // libllama demands them
		for _, scale := range []string{"logit_scale", "residual_scale", "embedding_scale", "attention.scale"} {
			w.SetFloat32("granite."+scale, 0.5)
		}
	}
	w.SetString("tokenizer.ggml.model", "no_vocab")
	g := &weightGenerator{w: w, rng: rand.New(rand.NewPCG(1, 2)), rows: map[rowKind][][]byte{}}
	matrix := func(name, target string, layer, nIn, nOut int) {
		g.matrix(name, typeOf(typ, basic, s, target, layer), nIn, nOut)
	}
	matrix("token_embd.weight", "token_embd", 0, s.Embd, s.Vocab)
	for layer := range s.Layers {
		for _, n := range modelfile.Norms(fam, s.adapter()) {
			if n.Width > 0 {
				g.norm(fmt.Sprintf("blk.%d.%s.weight", layer, n.Name), int(n.Width))
			}
		}
		for _, target := range s.adapter().Targets() {
			nIn, nOut, err := s.adapter().Dims(target)
			if err != nil {
				return nil, err
			}
			matrix(fmt.Sprintf("blk.%d.%s.weight", layer, target), target, layer, nIn, nOut)
			if s.arch() == "qwen2" && slices.Contains(fam.Biases, target) {
				g.norm(fmt.Sprintf("blk.%d.%s.bias", layer, target), nOut)
			}
		}
	}
	g.norm("output_norm.weight", s.Embd)
	if !s.Tied || s.arch() == "olmo2" { // which libllama never takes tied
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
