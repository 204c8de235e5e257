package adapter

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"steer/ggml/family"
)

// Errors every function of this package wraps.
var (
	// ErrFormat: the bytes are not an adapter this package can accept.
	ErrFormat = errors.New("not a usable adapter")
	// ErrUnsupported: a valid adapter that uses a feature this program does not have.
	ErrUnsupported = errors.New("not supported")
	// ErrMismatch: the adapter was made for another base model.
	ErrMismatch = errors.New("adapter does not fit the base model")
	// ErrNotFinite: the adapter holds NaN or an infinity.
	ErrNotFinite = errors.New("not a finite number")
	// ErrNeedShape: a PEFT folder can only be read knowing the base model's heads.
	ErrNeedShape = errors.New("the base model's shape is needed")
)

// Arch is the architecture of most bases, and of a Shape that names none.
const Arch = "llama"

// Adapter is a LoRA adapter with an optional scalar head.
type Adapter struct {
	// Arch is the base's general.architecture: "llama", or another of package family.
	Arch string
	// Alpha is LoRA's alpha; see Scale. 0 means "do not divide" (scale 1), as
	// llama.cpp reads it.
	Alpha float32
	// RsLoRA selects rank-stabilized scaling, alpha/√rank.
	RsLoRA bool
	// Pairs is sorted by name.
	Pairs []Pair
	// Head is nil for an adapter without scalar head.
	Head *Head
	// Meta is free text kept with the adapter: what it is and what it was trained on, under
	// the keys of meta.go, and whatever else.
	Meta map[string]string
	// Notices say what was noticed on reading a PEFT folder: defaults that were filled in,
	// layers without weights. They are not written.
	Notices []string
	// Rounded counts the values that reading a PEFT folder had to round, because its pairs
	// are scaled otherwise than one alpha says. It is not written.
	Rounded int64
}

// Pair is the LoRA of one weight matrix.
type Pair struct {
	Name string // of the adapted weight: "blk.0.attn_q.weight"
	NIn  int    // columns of the weight
	NOut int    // rows of the weight
	Rank int
	A    []float32 // [n_in, rank], n_in contiguous: A[j*NIn+i]
	B    []float32 // [rank, n_out], rank contiguous: B[o*Rank+j]
}

// Head reads a scalar from the hidden state h after the final norm:
// raw = Weight·h + Bias.
type Head struct {
	Weight  []float32 // [n_embd]
	Bias    float32   // 0 without HasBias
	HasBias bool      // whether the bias exists and is trained
	// Mean and Std normalise: score = (raw - Mean)/Std. Std 0: not normalised.
	Mean, Std float32
}

// Normalise returns (raw-Mean)/Std, or raw where the head is not normalised.
func (h *Head) Normalise(raw float32) float32 {
	if h.Std == 0 {
		return raw
	}
	return (raw - h.Mean) / h.Std
}

// Scale returns the factor of B(Ax): alpha/rank, or alpha/√rank for RsLoRA, and 1
// where Alpha is 0. It is computed through the alpha that is written to disk, so
// training and llama.cpp's llama_adapter_lora_weight::get_scale agree to the bit.
func (a *Adapter) Scale(p Pair) float32 {
	if a.Alpha == 0 {
		return 1
	}
	return a.diskAlpha(p.Rank) / float32(p.Rank)
}

// diskAlpha is the alpha that makes alpha/rank the wanted scale: for RsLoRA
// alpha·√rank, since alpha·√rank/rank = alpha/√rank.
func (a *Adapter) diskAlpha(rank int) float32 {
	if a.RsLoRA {
		return float32(float64(a.Alpha) * math.Sqrt(float64(rank)))
	}
	return a.Alpha
}

// Pair returns the pair of the named weight.
func (a *Adapter) Pair(name string) (*Pair, bool) {
	i, ok := slices.BinarySearchFunc(a.Pairs, name, func(p Pair, name string) int {
		switch {
		case p.Name < name:
			return -1
		case p.Name > name:
			return 1
		}
		return 0
	})
	if !ok {
		return nil, false
	}
	return &a.Pairs[i], true
}

// NumParams returns the number of trained values: all pairs, and the head.
func (a *Adapter) NumParams() int64 {
	var n int64
	for _, p := range a.Pairs {
		n += int64(len(p.A)) + int64(len(p.B))
	}
	if a.Head != nil {
		n += int64(len(a.Head.Weight))
		if a.Head.HasBias {
			n++
		}
	}
	return n
}

// Targets returns the GGUF names of the adapted matrices, each once, in the order
// of Targets().
func (a *Adapter) Targets() []string {
	has := map[string]bool{}
	for _, p := range a.Pairs {
		if _, t, err := parseName(p.Name); err == nil {
			has[t] = true
		}
	}
	var out []string
	for _, t := range (Shape{Arch: a.Arch}).Targets() {
		if has[t] {
			out = append(out, t)
		}
	}
	return out
}

// Rank returns the rank all pairs share, or 0 if they differ or there are none.
func (a *Adapter) Rank() int {
	rank := 0
	for _, p := range a.Pairs {
		if rank != 0 && p.Rank != rank {
			return 0
		}
		rank = p.Rank
	}
	return rank
}

// Clone returns a deep copy.
func (a *Adapter) Clone() *Adapter {
	c := *a
	c.Pairs, c.Notices = slices.Clone(a.Pairs), slices.Clone(a.Notices)
	for i := range c.Pairs {
		c.Pairs[i].A = slices.Clone(c.Pairs[i].A)
		c.Pairs[i].B = slices.Clone(c.Pairs[i].B)
	}
	if a.Head != nil {
		h := *a.Head
		h.Weight = slices.Clone(h.Weight)
		c.Head = &h
	}
	if a.Meta != nil {
		c.Meta = make(map[string]string, len(a.Meta))
		for k, v := range a.Meta {
			c.Meta[k] = v
		}
	}
	return &c
}

// Validate checks that the adapter is whole: known names, each once and sorted,
// lengths as the sizes say, a scale that can be stored. It does not look at the
// values; see CheckFinite.
func (a *Adapter) Validate() error {
	if _, ok := family.Of(a.Arch); !ok {
		return fmt.Errorf("adapter: architecture %q: want one of %s: %w", a.Arch, family.Known(), ErrUnsupported)
	}
	if a.Alpha < 0 || !finite(a.Alpha) {
		return fmt.Errorf("adapter: alpha %g: want 0 or more: %w", a.Alpha, ErrFormat)
	}
	if len(a.Pairs) == 0 && a.Head == nil {
		return fmt.Errorf("adapter: neither a LoRA pair nor a head: %w", ErrFormat)
	}
	for i, p := range a.Pairs {
		if err := p.validate(); err != nil {
			return err
		}
		if i > 0 && a.Pairs[i-1].Name >= p.Name {
			return fmt.Errorf("adapter: %s after %s: want pairs sorted by name, each once: %w", p.Name,
				a.Pairs[i-1].Name, ErrFormat)
		}
		if !finite(a.diskAlpha(p.Rank)) {
			return fmt.Errorf("adapter: %s: alpha %g times the root of rank %d overflows: %w", p.Name, a.Alpha, p.Rank,
				ErrFormat)
		}
		if a.RsLoRA && p.Rank != a.Pairs[0].Rank {
			// llama.cpp has one alpha for the file; alpha·√rank is one number only
			// when there is one rank.
			return fmt.Errorf("adapter: %s has rank %d, %s has %d: rank-stabilized scaling needs one rank: %w",
				p.Name, p.Rank, a.Pairs[0].Name, a.Pairs[0].Rank, ErrUnsupported)
		}
	}
	if a.Head != nil {
		return a.Head.validate()
	}
	return nil
}

func (p Pair) validate() error {
	if _, _, err := parseName(p.Name); err != nil {
		return err
	}
	if p.NIn < 1 || p.NOut < 1 || p.Rank < 1 {
		return fmt.Errorf("adapter: %s: n_in %d, n_out %d, rank %d: want at least 1: %w", p.Name, p.NIn, p.NOut, p.Rank,
			ErrFormat)
	}
	if len(p.A) != p.NIn*p.Rank || len(p.B) != p.Rank*p.NOut {
		return fmt.Errorf("adapter: %s: %d values in A and %d in B, want %d (n_in %d, rank %d) and %d (n_out %d): %w",
			p.Name, len(p.A), len(p.B), p.NIn*p.Rank, p.NIn, p.Rank, p.Rank*p.NOut, p.NOut, ErrFormat)
	}
	return nil
}

func (h *Head) validate() error {
	if len(h.Weight) == 0 {
		return fmt.Errorf("adapter: head.weight is empty: %w", ErrFormat)
	}
	if !h.HasBias && h.Bias != 0 {
		return fmt.Errorf("adapter: head.bias is %g but the head has no bias: %w", h.Bias, ErrFormat)
	}
	if h.Std < 0 {
		return fmt.Errorf("adapter: head std %g: want 0 (not normalised) or more: %w", h.Std, ErrFormat)
	}
	return nil
}

// CheckFinite returns an error naming the first NaN or infinity, if there is one.
func (a *Adapter) CheckFinite() error {
	scan := func(name string, x []float32) error {
		for i, f := range x {
			if !finite(f) {
				return fmt.Errorf("adapter: %s: value %d of %d is %g: the adapter is damaged or its training "+
					"diverged, go back to an earlier checkpoint: %w",
					name, i, len(x), f, ErrNotFinite)
			}
		}
		return nil
	}
	for _, p := range a.Pairs {
		if err := scan(p.Name+suffixA, p.A); err != nil {
			return err
		}
		if err := scan(p.Name+suffixB, p.B); err != nil {
			return err
		}
	}
	if h := a.Head; h != nil {
		if err := scan("head.weight", h.Weight); err != nil {
			return err
		}
		return scan("head.bias, mean, std", []float32{h.Bias, h.Mean, h.Std})
	}
	return nil
}

func finite(f float32) bool {
	return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0)
}

func sortPairs(p []Pair) {
	sort.Slice(p, func(i, j int) bool { return p[i].Name < p[j].Name })
}
