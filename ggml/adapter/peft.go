package adapter

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"steer/ggml/adapter/safetensors"
)

// peftModule is where transformers keeps a target.
type peftModule struct{ parent, proj string }

// ggufToPEFT names every target of every family; fusedUp is ffn_up where the gate is in it.
var (
	ggufToPEFT = map[string]peftModule{
		"attn_q":      {"self_attn", "q_proj"},
		"attn_k":      {"self_attn", "k_proj"},
		"attn_v":      {"self_attn", "v_proj"},
		"attn_qkv":    {"self_attn", "qkv_proj"},
		"attn_output": {"self_attn", "o_proj"},
		"ffn_gate":    {"mlp", "gate_proj"},
		"ffn_up":      {"mlp", "up_proj"},
		"ffn_down":    {"mlp", "down_proj"},
	}
	fusedUp = peftModule{"mlp", "gate_up_proj"}
)

var peftToGGUF = map[string]string{
	"q_proj":       "attn_q",
	"k_proj":       "attn_k",
	"v_proj":       "attn_v",
	"qkv_proj":     "attn_qkv",
	"o_proj":       "attn_output",
	"gate_proj":    "ffn_gate",
	"up_proj":      "ffn_up",
	"gate_up_proj": "ffn_up",
	"down_proj":    "ffn_down",
}

// module is transformers' place of a target in a base of this shape.
func (s Shape) module(target string) peftModule {
	if f := s.family(); target == "ffn_up" && f.Fused {
		return fusedUp
	}
	return ggufToPEFT[target]
}

// target is the linear of the base that a module is, by both of its names.
func (s Shape) target(parent, proj string) (target string, ok bool) {
	for _, t := range s.Targets() {
		if s.module(t) == (peftModule{parent, proj}) {
			return t, true
		}
	}
	return "", false
}

const (
	peftPrefix  = "base_model.model."
	scoreName   = peftPrefix + "score.weight"
	vHeadWeight = "v_head.summary.weight"
	vHeadBias   = "v_head.summary.bias"

	metaMean = "steer.head.mean"
	metaStd  = "steer.head.std"
)

// moduleName is PEFT's name of a target, without the prefix of its wrappers.
func (s Shape) moduleName(layer int, target string) string {
	m := s.module(target)
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, m.parent, m.proj)
}

// peftTensor takes "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
// apart. A bare transformers model (LlamaModel) lacks one "model.", a trainer's own
// checkpoint may have the adapter's name "default" in it, a model of text and images
// "language_model".
var peftTensor = regexp.MustCompile(
	`^base_model\.model\.(?:model\.)?(?:language_model\.)?(?:model\.)?` +
		`layers\.(\d{1,9})\.(self_attn|mlp)\.(\w+)\.lora_([AB])(?:\.default)?\.weight$`,
)

// ImportPEFT reads the PEFT folder dir, an adapter for a base of the given shape.
//
// Everything that would change the numbers and has no counterpart here is
// ErrUnsupported (DoRA, biases, other saved modules, initialisations that change the
// base). Where rank_pattern and alpha_pattern give pairs scales that one alpha
// cannot express, the difference is multiplied into B.
func ImportPEFT(dir string, shape Shape) (*Adapter, error) {
	if err := shape.Validate(); err != nil {
		return nil, err
	}
	c, err := readConfig(filepath.Join(dir, configFile))
	if err != nil {
		return nil, fmt.Errorf("adapter: %s: %w", filepath.Join(dir, configFile), err)
	}
	path := filepath.Join(dir, weightsFile)
	f, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, perr := os.Stat(filepath.Join(dir, pickleFile)); perr == nil {
			return nil, fmt.Errorf("adapter: %s: pickled weights can run code and are not read: save the adapter "+
				"with safe_serialization=True: %w", filepath.Join(dir, pickleFile), ErrUnsupported)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	defer f.Close()
	a := &Adapter{Arch: shape.arch(), Alpha: float32(c.Alpha), RsLoRA: c.RsLoRA, Notices: c.notices}
	im := &importer{a: a, c: c, f: f, shape: shape}
	if err := im.tensors(); err != nil {
		return nil, fmt.Errorf("adapter: %s: %w", path, err)
	}
	if err := im.valueHead(filepath.Join(dir, headFile)); err != nil {
		return nil, fmt.Errorf("adapter: %s: %w", filepath.Join(dir, headFile), err)
	}
	if err := im.metadata(); err != nil {
		return nil, fmt.Errorf("adapter: %s: %w", path, err)
	}
	if err := a.Check(shape); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	a.Notices = append(a.Notices, coverage(a, c, shape)...)
	return a, nil
}

// unknownModule is the error of a module that the base's layers do not have.
func (s Shape) unknownModule(proj string) error {
	if t, ok := peftToGGUF[proj]; ok && !slices.Contains(s.Targets(), t) {
		return s.unknown(t)
	}
	return unknownTarget(proj)
}

type importer struct {
	a     *Adapter
	c     *peftConfig
	f     *safetensors.File
	shape Shape
}

// half is one of the two tensors of a pair.
type half struct {
	info safetensors.Info
	ok   bool
}

// tensors reads every tensor of the file into pairs and head.
func (im *importer) tensors() error {
	type key struct {
		layer  int
		target string
	}
	found := map[key]*[2]half{}
	var order []key
	for _, t := range im.f.Tensors() {
		if t.Name == scoreName {
			if err := im.score(t); err != nil {
				return err
			}
			continue
		}
		m := peftTensor.FindStringSubmatch(t.Name)
		if m == nil {
			if err := outside(t.Name); err != nil {
				return fmt.Errorf("tensor %w", err)
			}
			return fmt.Errorf("tensor %q: want %smodel.layers.N.<module>.lora_A.weight or lora_B.weight, or %s: %w",
				t.Name, peftPrefix, scoreName, ErrUnsupported)
		}
		target, ok := im.shape.target(m[2], m[3])
		if !ok {
			return fmt.Errorf("tensor %q: %w", t.Name, im.shape.unknownModule(m[3]))
		}
		layer, err := strconv.Atoi(m[1])
		if err != nil {
			return fmt.Errorf("tensor %q: %w: %w", t.Name, err, ErrFormat)
		}
		k := key{layer, target}
		if found[k] == nil {
			found[k] = &[2]half{}
			order = append(order, k)
		}
		h := &found[k][int(m[4][0]-'A')]
		if h.ok {
			return fmt.Errorf("tensors %q and %q are the same half of a pair: %w", h.info.Name, t.Name, ErrFormat)
		}
		*h = half{t, true}
	}
	for _, k := range order {
		ab := found[k]
		if !ab[0].ok || !ab[1].ok {
			have := ab[0]
			if !have.ok {
				have = ab[1]
			}
			return fmt.Errorf("tensor %q has no other half (lora_A and lora_B belong together): %w", have.info.Name,
				ErrFormat)
		}
		p, err := im.pair(k.layer, k.target, ab[0].info, ab[1].info)
		if err != nil {
			return err
		}
		im.a.Pairs = append(im.a.Pairs, p)
	}
	sortPairs(im.a.Pairs)
	return im.scales()
}

// pair reads lora_A [rank, n_in] and lora_B [n_out, rank], rows last to first as
// PyTorch prints shapes; the memory order is the one of Pair.
func (im *importer) pair(layer int, target string, ta, tb safetensors.Info) (Pair, error) {
	for _, t := range []safetensors.Info{ta, tb} {
		if len(t.Shape) != 2 {
			return Pair{}, fmt.Errorf("tensor %q: %d dimensions, want 2: %w", t.Name, len(t.Shape), ErrFormat)
		}
	}
	if ta.Shape[0] != tb.Shape[1] || ta.Elements() == 0 || tb.Elements() == 0 {
		return Pair{}, fmt.Errorf("tensors %q %v and %q %v: want [r, n_in] and [n_out, r] of one r: %w", ta.Name,
			ta.Shape, tb.Name, tb.Shape, ErrFormat)
	}
	p := Pair{Name: weightName(layer, target), NIn: int(ta.Shape[1]), Rank: int(ta.Shape[0]), NOut: int(tb.Shape[0])}
	if want := im.c.RankPattern.lookup(im.shape.moduleName(layer, target),
		float64(im.c.Rank)); float64(p.Rank) != want {
		return Pair{}, fmt.Errorf("tensor %q: rank %d, but %s says %g: %w", ta.Name, p.Rank, configFile, want,
			ErrFormat)
	}
	// Before the permutation, which relies on the rows being whole heads.
	if _, nOut, err := im.shape.Dims(target); err != nil {
		return Pair{}, err
	} else if p.NOut != nOut {
		return Pair{}, fmt.Errorf("tensor %q: made for a base with %s %d, this one has %d: %w", tb.Name,
			outName(target), p.NOut, nOut, ErrMismatch)
	}
	var err error
	if p.A, err = im.f.Float32(ta.Name); err != nil {
		return Pair{}, err
	}
	if p.B, err = im.f.Float32(tb.Name); err != nil {
		return Pair{}, err
	}
	if heads := permutedHeads(target, im.shape); heads > 0 {
		p.B = toGGUFRows(p.B, heads, im.shape.HeadDim, p.Rank)
	}
	return p, nil
}

// scales makes one alpha serve all pairs. PEFT scales pair i by alpha_i/r_i, or
// alpha_i/√r_i with use_rslora. Where Scale gives the same, nothing is done; else B
// is multiplied by the ratio, in double precision, rounded once, and what that changed is
// counted: nothing where the ratio is a power of two.
func (im *importer) scales() error {
	a := im.a
	want := make([]float64, len(a.Pairs))
	oneAlpha, ones := true, true
	for i, p := range a.Pairs {
		layer, target, err := parseName(p.Name)
		if err != nil {
			return err
		}
		alpha := im.c.AlphaPattern.lookup(im.shape.moduleName(layer, target), im.c.Alpha)
		if !(alpha > 0) || !finite(float32(alpha)) {
			return fmt.Errorf("%s: field %q: want more than 0 for %s, got %g: %w", configFile, "alpha_pattern", p.Name,
				alpha, ErrFormat)
		}
		oneAlpha = oneAlpha && alpha == im.c.Alpha
		want[i] = alpha / float64(p.Rank)
		if im.c.RsLoRA {
			want[i] = alpha / math.Sqrt(float64(p.Rank))
		}
		ones = ones && want[i] == 1
	}
	oneRank := len(a.Pairs) == 0 || a.Rank() != 0
	if oneAlpha && (oneRank || !a.RsLoRA) {
		return nil
	}
	if ones { // every pair unscaled: llama.cpp's alpha 0 says just that
		a.Alpha, a.RsLoRA = 0, false
		return nil
	}
	if !oneRank {
		a.RsLoRA = false
	}
	for i, p := range a.Pairs {
		ratio := want[i] / float64(a.Scale(p))
		if ratio == 1 {
			continue
		}
		for j, b := range p.B {
			exact := float64(b) * ratio
			p.B[j] = float32(exact)
			if float64(p.B[j]) != exact {
				a.Rounded++
			}
		}
	}
	return nil
}

// score reads transformers' sequence classification head with one label.
func (im *importer) score(t safetensors.Info) error {
	if len(t.Shape) != 2 || t.Shape[0] != 1 {
		return fmt.Errorf("tensor %q: shape %v, want [1, n_embd]: a classifier of one label: %w", t.Name, t.Shape,
			ErrUnsupported)
	}
	w, err := im.f.Float32(t.Name)
	if err != nil {
		return err
	}
	im.a.Head = &Head{Weight: w}
	return nil
}

// valueHead reads TRL's v_head file beside the adapter, if there is one.
func (im *importer) valueHead(path string) error {
	f, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if im.a.Head != nil {
		return fmt.Errorf("a second head beside %s in %s: which one is meant? remove one: %w", scoreName, weightsFile,
			ErrFormat)
	}
	h := &Head{}
	for _, t := range f.Tensors() {
		x, err := f.Float32(t.Name)
		if err != nil {
			return err
		}
		switch {
		case t.Name == vHeadWeight && len(t.Shape) == 2 && t.Shape[0] == 1:
			h.Weight = x
		case t.Name == vHeadBias && len(t.Shape) == 1 && len(x) == 1:
			h.Bias, h.HasBias = x[0], true
		default:
			return fmt.Errorf("tensor %q %v: want %s [1, n_embd] and %s [1]: %w", t.Name, t.Shape, vHeadWeight,
				vHeadBias, ErrUnsupported)
		}
	}
	if h.Weight == nil {
		return fmt.Errorf("no tensor %q: %w", vHeadWeight, ErrFormat)
	}
	im.a.Head = h
	return nil
}

// metadata takes back what ExportPEFT left in the safetensors metadata.
func (im *importer) metadata() error {
	for k, v := range im.f.Metadata() {
		switch {
		case k == metaMean || k == metaStd:
			x, err := strconv.ParseFloat(v, 32)
			if err != nil || im.a.Head == nil {
				return fmt.Errorf("metadata %q is %.40q: want a number, and a head it belongs to: %w", k, v, ErrFormat)
			}
			if k == metaMean {
				im.a.Head.Mean = float32(x)
			} else {
				im.a.Head.Std = float32(x)
			}
		}
	}
	im.a.Meta = metaOf(im.f.Metadata())
	return nil
}
