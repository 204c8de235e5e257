package adapter

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"steer/ggml/family"
	"steer/ggml/gguf"
	"steer/internal/nearest"
)

// Shape is what an adapter has to know of its base model.
type Shape struct {
	// Arch is the base's general.architecture, one of package family; "" stands for "llama".
	Arch    string
	Layers  int
	Embd    int // width of the residual stream
	FF      int // width of the feed-forward layer
	Heads   int // query heads
	KVHeads int // key and value heads
	HeadDim int // width of a head; even, since RoPE turns pairs
}

// ShapeOf reads the shape of a base model from its GGUF metadata. An error names
// the key that is missing or wrong.
func ShapeOf(f *gguf.File) (Shape, error) {
	arch, err := f.String("general.architecture")
	if err != nil {
		return Shape{}, err
	}
	if _, ok := family.Of(arch); !ok {
		return Shape{}, fmt.Errorf("adapter: %s: architecture %q: want one of %s: %w", f.Name(), arch, family.Known(),
			ErrUnsupported)
	}
	s := Shape{Arch: arch}
	read := func(key string, into *int) {
		if err != nil {
			return
		}
		var u uint32
		u, err = f.Uint32(arch + "." + key)
		*into = int(u)
	}
	read("block_count", &s.Layers)
	read("embedding_length", &s.Embd)
	read("feed_forward_length", &s.FF)
	read("attention.head_count", &s.Heads)
	s.KVHeads = s.Heads
	if f.Has(arch + ".attention.head_count_kv") {
		read("attention.head_count_kv", &s.KVHeads)
	}
	if err == nil && s.Heads > 0 {
		s.HeadDim = s.Embd / s.Heads
	}
	if f.Has(arch + ".attention.key_length") {
		read("attention.key_length", &s.HeadDim)
	}
	if errors.Is(err, gguf.ErrKeyType) {
		return Shape{}, fmt.Errorf("%w: a size that differs from layer to layer is %w", err, ErrUnsupported)
	}
	if err != nil {
		return Shape{}, err
	}
	if err := s.Validate(); err != nil {
		return Shape{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return s, nil
}

// family is the base's family; Validate has found it.
func (s Shape) family() *family.Family {
	arch := s.Arch
	if arch == "" {
		arch = Arch
	}
	f, _ := family.Of(arch)
	return f
}

// arch is the base's architecture.
func (s Shape) arch() string {
	if s.Arch == "" {
		return Arch
	}
	return s.Arch
}

// Validate checks that the sizes can belong to a model of the architecture.
func (s Shape) Validate() error {
	if s.family() == nil {
		return fmt.Errorf("adapter: shape of the base: architecture %q: want one of %s: %w", s.Arch, family.Known(),
			ErrUnsupported)
	}
	const most = 1 << 24 // no size of any model is near; keeps products far from overflow
	for _, v := range []struct {
		name string
		n    int
	}{{"layers", s.Layers}, {"n_embd", s.Embd}, {"n_ff", s.FF}, {"heads", s.Heads}, {"kv heads", s.KVHeads},
		{"head width", s.HeadDim}} {
		if v.n < 1 || v.n > most {
			return fmt.Errorf("adapter: shape of the base: %s is %d: want 1 to %d: %w", v.name, v.n, most, ErrFormat)
		}
	}
	if s.HeadDim%2 != 0 {
		return fmt.Errorf("adapter: shape of the base: head width %d is odd, RoPE turns pairs: %w", s.HeadDim,
			ErrFormat)
	}
	if s.Heads%s.KVHeads != 0 {
		return fmt.Errorf("adapter: shape of the base: %d heads over %d kv heads: want a whole number: %w", s.Heads,
			s.KVHeads, ErrFormat)
	}
	return nil
}

// Dims returns columns and rows of the weight a target names ("attn_q", ...).
func (s Shape) Dims(target string) (nIn, nOut int, err error) {
	if !slices.Contains(s.Targets(), target) {
		return 0, 0, s.unknown(target)
	}
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	switch target {
	case "attn_q":
		return s.Embd, q, nil
	case "attn_k", "attn_v":
		return s.Embd, kv, nil
	case "attn_qkv":
		return s.Embd, q + 2*kv, nil
	case "attn_output":
		return q, s.Embd, nil
	case "ffn_up":
		if s.family().Fused { // with the gate
			return s.Embd, 2 * s.FF, nil
		}
		return s.Embd, s.FF, nil
	case "ffn_gate":
		return s.Embd, s.FF, nil
	default: // ffn_down
		return s.FF, s.Embd, nil
	}
}

// Targets returns the linears of the base's layers, by their GGUF names, in the order of a layer.
func (s Shape) Targets() []string {
	if f := s.family(); f != nil && f.Fused {
		return append([]string(nil), fusedNames[:]...)
	}
	return Targets()
}

// Resolve turns targets as a configuration names them into the base's own linears: where these are
// fused, attn_q, attn_k and attn_v together stand for attn_qkv, and ffn_gate and ffn_up for ffn_up.
func (s Shape) Resolve(targets []string) ([]string, error) {
	if f := s.family(); f == nil || !f.Fused {
		return targets, nil
	}
	has := func(t string) bool { return slices.Contains(targets, t) }
	var out []string
	for _, t := range targets {
		whole, parts := t, []string(nil)
		switch t {
		case "attn_q", "attn_k", "attn_v":
			whole, parts = "attn_qkv", targetNames[:3]
		case "ffn_gate":
			whole, parts = "ffn_up", targetNames[4:6]
		}
		for _, part := range parts {
			if !has(part) && !has("attn_qkv") {
				return nil, fmt.Errorf("adapter: target %q: this architecture (%s) keeps %s in one matrix: name all "+
					"of them, or %q: %w",
					t, s.Arch, strings.Join(parts, ", "), whole, ErrUnsupported)
			}
		}
		if !slices.Contains(out, whole) {
			out = append(out, whole)
		}
	}
	return out, nil
}

// targetNames is the order they appear in a layer; fusedNames that of families which keep q, k and v,
// and gate and up, in one matrix.
var (
	targetNames = [...]string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}
	fusedNames  = [...]string{"attn_qkv", "attn_output", "ffn_up", "ffn_down"}
)

// Targets returns the matrices a LoRA can adapt in most families, by their GGUF names; see Shape.Targets.
func Targets() []string { return append([]string(nil), targetNames[:]...) }

// AllTargets are the targets of any family.
func AllTargets() []string { return append(Targets(), "attn_qkv") }

func isTarget(name string) bool { return slices.Contains(AllTargets(), name) }

func (s Shape) unknown(target string) error {
	if !isTarget(target) {
		return unknownTarget(target)
	}
	return fmt.Errorf("adapter: target %q: the layers of this architecture (%s) have %s: %w",
		target, s.arch(), strings.Join(s.Targets(), ", "), ErrMismatch)
}

func unknownTarget(name string) error {
	if err := outside(name); err != nil {
		return fmt.Errorf("adapter: target %w", err)
	}
	near, ok := peftToGGUF[name]
	if !ok {
		near, ok = nearest.Word(name, targetNames[:])
	}
	hint := ""
	if ok {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Errorf("adapter: target %q: want one of %s%s: %w", name, strings.Join(targetNames[:], ", "), hint,
		ErrUnsupported)
}

// weightName is the GGUF name of a target's weight.
func weightName(layer int, target string) string {
	return fmt.Sprintf("blk.%d.%s.weight", layer, target)
}

// parseName takes "blk.3.attn_q.weight" apart.
func parseName(name string) (layer int, target string, err error) {
	parts := strings.Split(name, ".")
	if len(parts) != 4 || parts[0] != "blk" || parts[3] != "weight" {
		if err := outside(name); err != nil {
			return 0, "", fmt.Errorf("adapter: tensor %w", err)
		}
		return 0, "", fmt.Errorf("adapter: %q: want a layer's matrix such as %q: %w", name, weightName(0, "attn_q"),
			ErrUnsupported)
	}
	layer, err = strconv.Atoi(parts[1])
	if err != nil || strconv.Itoa(layer) != parts[1] || layer < 0 {
		return 0, "", fmt.Errorf("adapter: %q: layer %q: want a number from 0: %w", name, parts[1], ErrFormat)
	}
	if !isTarget(parts[2]) {
		return 0, "", fmt.Errorf("%q: %w", name, unknownTarget(parts[2]))
	}
	return layer, parts[2], nil
}

// Check returns an error if the adapter does not fit a base of this shape, naming
// the first tensor that does not.
func (a *Adapter) Check(s Shape) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if err := a.Validate(); err != nil {
		return err
	}
	if a.Arch != s.arch() {
		return fmt.Errorf("adapter: made for a base of architecture %q, this one is %q: %w", a.Arch, s.arch(),
			ErrMismatch)
	}
	for _, p := range a.Pairs {
		layer, target, err := parseName(p.Name)
		if err != nil {
			return err
		}
		if layer >= s.Layers {
			return fmt.Errorf("adapter: %s: made for a base with at least %d layers, this one has %d: %w", p.Name,
				layer+1, s.Layers, ErrMismatch)
		}
		nIn, nOut, err := s.Dims(target)
		if err != nil {
			return err
		}
		if p.NIn != nIn {
			return fmt.Errorf("adapter: %s: made for a base with %s %d, this one has %d: %w", p.Name, inName(target),
				p.NIn, nIn, ErrMismatch)
		}
		if p.NOut != nOut {
			return fmt.Errorf("adapter: %s: made for a base with %s %d, this one has %d: %w", p.Name, outName(target),
				p.NOut, nOut, ErrMismatch)
		}
	}
	if a.Head != nil && len(a.Head.Weight) != s.Embd {
		return fmt.Errorf("adapter: head.weight: made for a base with n_embd %d, this one has %d: %w",
			len(a.Head.Weight), s.Embd, ErrMismatch)
	}
	return nil
}

func inName(target string) string {
	switch target {
	case "attn_output":
		return "heads*head_dim (n_in)"
	case "ffn_down":
		return "n_ff (n_in)"
	}
	return "n_embd (n_in)"
}

func outName(target string) string {
	switch target {
	case "attn_q":
		return "heads*head_dim (n_out)"
	case "attn_k", "attn_v":
		return "kv_heads*head_dim (n_out)"
	case "attn_qkv":
		return "(heads+2*kv_heads)*head_dim (n_out)"
	case "ffn_gate", "ffn_up":
		return "n_ff (n_out)"
	}
	return "n_embd (n_out)"
}
