package adapter

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"steer/ggml/family"
	"steer/ggml/gguf"
	"steer/internal/atomicfile"
)

const (
	suffixA = ".lora_a"
	suffixB = ".lora_b"

	keyType   = "general.type"
	keyArch   = "general.architecture"
	keyKind   = "adapter.type"
	keyAlpha  = "adapter.lora.alpha"
	keyTokens = "adapter.alora.invocation_tokens"

	keyRsLoRA    = "steer.lora.rslora" // bool
	keyOwnAlpha  = "steer.lora.alpha"  // float32: alpha before the √rank of keyAlpha
	keyHead      = "steer.head.weight" // float32 array [n_embd]
	keyHeadBias  = "steer.head.bias"   // float32, absent: no bias
	keyHeadMean  = "steer.head.mean"   // float32
	keyHeadStd   = "steer.head.std"    // float32, 0: not normalised
	prefixedMeta = "steer.meta."       // string each
)

// Bytes returns the adapter as a LoRA GGUF file. Equal adapters make equal bytes.
func (a *Adapter) Bytes() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	w := gguf.NewWriter()
	w.SetString(keyArch, a.Arch)
	w.SetString(keyType, "adapter")
	w.SetString(keyKind, "lora")
	alpha := a.Alpha
	if len(a.Pairs) > 0 {
		alpha = a.diskAlpha(a.Pairs[0].Rank)
	}
	w.SetFloat32(keyAlpha, alpha)
	if a.RsLoRA {
		w.SetBool(keyRsLoRA, true)
		w.SetFloat32(keyOwnAlpha, a.Alpha)
	}
	if h := a.Head; h != nil {
		w.SetFloat32s(keyHead, h.Weight)
		if h.HasBias {
			w.SetFloat32(keyHeadBias, h.Bias)
		}
		w.SetFloat32(keyHeadMean, h.Mean)
		w.SetFloat32(keyHeadStd, h.Std)
	}
	for _, k := range sortedKeys(a.Meta) {
		w.SetString(prefixedMeta+k, a.Meta[k])
	}
	for _, p := range a.Pairs {
		w.AddF32(p.Name+suffixA, []int64{int64(p.NIn), int64(p.Rank)}, p.A)
		w.AddF32(p.Name+suffixB, []int64{int64(p.Rank), int64(p.NOut)}, p.B)
	}
	return w.Bytes()
}

// Save writes the adapter as a LoRA GGUF file; after a crash the path holds the old
// file or the new one, whole.
func (a *Adapter) Save(path string) error {
	b, err := a.Bytes()
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, b, 0o644)
}

// Load reads a LoRA GGUF file. For a PEFT folder it returns ErrNeedShape: the rows
// of q and k are stored in another order there, which depends on the base's heads;
// use LoadFor.
func Load(path string) (*Adapter, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if st.IsDir() {
		if !isPEFT(path) {
			return nil, fmt.Errorf("adapter: %s: a folder without %s: want a LoRA GGUF file or a PEFT folder: %w", path,
				configFile, ErrFormat)
		}
		return nil, fmt.Errorf("adapter: %s is a PEFT folder: %w", path, ErrNeedShape)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	defer f.Close()
	return Read(f)
}

// LoadFor reads a LoRA GGUF file or a PEFT folder, whichever path is, and checks
// that it fits a base of the given shape and holds finite numbers only.
func LoadFor(path string, shape Shape) (*Adapter, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	load := Load
	if st.IsDir() && isPEFT(path) {
		load = func(dir string) (*Adapter, error) { return ImportPEFT(dir, shape) }
	}
	a, err := load(path)
	if err != nil {
		return nil, err
	}
	if err := a.Check(shape); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := a.CheckFinite(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

func isPEFT(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, configFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// Read takes the adapter out of an open LoRA GGUF file.
func Read(f *gguf.File) (*Adapter, error) {
	a := &Adapter{}
	for _, step := range []func(*gguf.File) error{a.readKind, a.readScale, a.readHead, a.readMeta, a.readPairs,
		a.readOwnAlpha} {
		if err := step(f); err != nil {
			return nil, fmt.Errorf("adapter: %s: %w", f.Name(), err)
		}
	}
	if err := a.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return a, nil
}

func (a *Adapter) readKind(f *gguf.File) error {
	for _, want := range [][2]string{{keyType, "adapter"}, {keyArch, ""}, {keyKind, "lora"}} {
		got, err := f.String(want[0])
		if errors.Is(err, gguf.ErrNoKey) && want[0] == keyType {
			return fmt.Errorf("key %q is missing: this is a model, not an adapter: %w", keyType, ErrFormat)
		}
		if err != nil {
			return err
		}
		if want[0] == keyArch {
			if _, ok := family.Of(got); !ok {
				return fmt.Errorf("key %q: want one of %s, got %q: %w", keyArch, family.Known(), got, ErrFormat)
			}
			a.Arch = got
			continue
		}
		if got != want[1] {
			return fmt.Errorf("key %q: want %q, got %q: %w", want[0], want[1], got, ErrFormat)
		}
	}
	if f.Has(keyTokens) {
		return fmt.Errorf("key %q: an activated LoRA works only after its invocation tokens: %w", keyTokens,
			ErrUnsupported)
	}
	return nil
}

func (a *Adapter) readScale(f *gguf.File) (err error) {
	if f.Has(keyRsLoRA) {
		if a.RsLoRA, err = f.Bool(keyRsLoRA); err != nil {
			return err
		}
	}
	if f.Has(keyAlpha) { // llama.cpp: absent is 0
		a.Alpha, err = f.Float32(keyAlpha)
	}
	return err
}

// readOwnAlpha turns the alpha llama.cpp reads back into the one RsLoRA was given,
// and refuses a file in which the two tell different scales.
func (a *Adapter) readOwnAlpha(f *gguf.File) error {
	if !a.RsLoRA || len(a.Pairs) == 0 {
		return nil
	}
	disk := a.Alpha
	own, err := f.Float32(keyOwnAlpha)
	if err != nil {
		return err
	}
	a.Alpha = own
	want := a.diskAlpha(a.Pairs[0].Rank)
	if diff := math.Abs(float64(want - disk)); !(diff <= 1e-5*math.Abs(float64(want))) {
		return fmt.Errorf("key %q is %g, but %q %g with rank %d makes it %g: one of them was edited: %w",
			keyAlpha, disk, keyOwnAlpha, own, a.Pairs[0].Rank, want, ErrFormat)
	}
	return nil
}

func (a *Adapter) readHead(f *gguf.File) error {
	if !f.Has(keyHead) {
		return nil
	}
	w, err := f.Float32s(keyHead)
	if err != nil {
		return err
	}
	h := &Head{Weight: append([]float32(nil), w...)}
	if h.HasBias = f.Has(keyHeadBias); h.HasBias {
		if h.Bias, err = f.Float32(keyHeadBias); err != nil {
			return err
		}
	}
	if f.Has(keyHeadMean) {
		if h.Mean, err = f.Float32(keyHeadMean); err != nil {
			return err
		}
	}
	if f.Has(keyHeadStd) {
		if h.Std, err = f.Float32(keyHeadStd); err != nil {
			return err
		}
	}
	a.Head = h
	return nil
}

func (a *Adapter) readMeta(f *gguf.File) error {
	for _, k := range f.Keys() {
		name, ok := strings.CutPrefix(k, prefixedMeta)
		if !ok {
			continue
		}
		v, err := f.String(k)
		if err != nil {
			return err
		}
		if a.Meta == nil {
			a.Meta = map[string]string{}
		}
		a.Meta[name] = v
	}
	return nil
}

// readPairs joins "<name>.lora_a" [n_in, rank] and "<name>.lora_b" [rank, n_out].
func (a *Adapter) readPairs(f *gguf.File) error {
	for _, t := range f.Tensors() {
		if base, ok := strings.CutSuffix(t.Name, suffixB); ok {
			if _, ok := f.Tensor(base + suffixA); !ok {
				return fmt.Errorf("tensor %q has no %q beside it: %w", t.Name, base+suffixA, ErrFormat)
			}
			continue
		}
		base, ok := strings.CutSuffix(t.Name, suffixA)
		if !ok {
			return fmt.Errorf("tensor %q: want a name ending in %s or %s: %w", t.Name, suffixA, suffixB, ErrUnsupported)
		}
		if _, _, err := parseName(base); err != nil {
			return err
		}
		b, ok := f.Tensor(base + suffixB)
		if !ok {
			return fmt.Errorf("tensor %q has no %q beside it: %w", t.Name, base+suffixB, ErrFormat)
		}
		p, err := readPair(f, base, t, b)
		if err != nil {
			return err
		}
		a.Pairs = append(a.Pairs, p)
	}
	sortPairs(a.Pairs)
	return nil
}

func readPair(f *gguf.File, name string, ta, tb gguf.TensorInfo) (Pair, error) {
	for _, t := range []gguf.TensorInfo{ta, tb} {
		if len(t.Dims) != 2 {
			return Pair{}, fmt.Errorf("tensor %q: %d dimensions, want 2: %w", t.Name, len(t.Dims), ErrFormat)
		}
	}
	if ta.Dims[1] != tb.Dims[0] {
		return Pair{}, fmt.Errorf("tensors %q %v and %q %v: want [n_in, rank] and [rank, n_out] of one rank: %w",
			ta.Name, ta.Dims, tb.Name, tb.Dims, ErrFormat)
	}
	p := Pair{Name: name, NIn: int(ta.Dims[0]), Rank: int(ta.Dims[1]), NOut: int(tb.Dims[1])}
	var err error
	if p.A, err = f.Float32Data(ta.Name); err != nil {
		return Pair{}, err
	}
	p.B, err = f.Float32Data(tb.Name)
	return p, err
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
