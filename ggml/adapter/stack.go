package adapter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"
)

// ErrStack: an adapter lies on other adapters than those it was trained on.
var ErrStack = errors.New("not the stack it was trained on")

// ContentSHA256 is the SHA-256 of what the adapter does to those above it: of every pair
// its name, sizes, scale, A and B. Heads and metadata do not count, so that a
// normalised, described, exported or re-imported adapter stays the same one.
func (a *Adapter) ContentSHA256() string {
	h := sha256.New()
	for _, p := range a.Pairs {
		fmt.Fprintf(h, "%s %d %d %d %08x\n", p.Name, p.NIn, p.NOut, p.Rank, math.Float32bits(a.Scale(p)))
		hashFloats(h, p.A)
		hashFloats(h, p.B)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashFloats(h hash.Hash, x []float32) {
	var block [1 << 14]byte
	for len(x) > 0 {
		n := min(len(x), len(block)/4)
		for i, f := range x[:n] {
			binary.LittleEndian.PutUint32(block[4*i:], math.Float32bits(f))
		}
		h.Write(block[:4*n])
		x = x[n:]
	}
}

// Placed is an adapter of a stack.
type Placed struct {
	Path string
	*Adapter
	// Content is the adapter's ContentSHA256; "" stands for one that is not trained yet,
	// which is whatever is asked for.
	Content string
}

// TrainedOnText is the value of MetaTrainedOn for an adapter trained on top of a stack.
// Adapters without pairs, which change nothing above them, do not count.
func TrainedOnText(below []Placed) string {
	return strings.Join(contents(below), " ")
}

func contents(stack []Placed) (out []string) {
	for _, p := range stack {
		if p.Adapter == nil || len(p.Pairs) > 0 {
			out = append(out, p.Content)
		}
	}
	return out
}

// CheckStack compares what every adapter of a stack, lowest first, lies on with what it
// was trained on. A difference is ErrStack, for the first adapter that has one. unknown
// lists the paths of those that do not say; one that says it is an SFT adapter and lies
// on the base alone is not among them, as that is where they belong.
func CheckStack(stack []Placed) (unknown []string, err error) {
	for i, p := range stack {
		have := contents(stack[:i])
		want, known := p.TrainedOn()
		switch {
		case p.Content == "":
		case !known:
			if p.Role() != RoleSFT || len(have) > 0 {
				unknown = append(unknown, p.Path)
			}
		case !sameStack(want, have):
			return unknown, stackError(stack, i, want)
		}
	}
	return unknown, nil
}

func sameStack(want, have []string) bool {
	return slices.EqualFunc(want, have, func(w, h string) bool { return w == h || h == "" })
}

// stackError says what adapter i of a stack lies on and what it should.
func stackError(stack []Placed, i int, want []string) error {
	p := stack[i]
	role := "adapter"
	if r := p.Role(); r != "" {
		role = string(r) + " adapter"
	}
	var lies []string
	for _, b := range stack[:i] {
		lies = append(lies, fmt.Sprintf("%s (content %.12s)", b.Path, b.Content))
	}
	here := "the base alone"
	if len(lies) > 0 {
		here = strings.Join(lies, ", ")
	}
	return fmt.Errorf("%s %s was trained on %s, and lies on %s here: %w: %s",
		role, p.Path, stackText(want), here, ErrStack, remedy(stack, i, want))
}

func stackText(contents []string) string {
	if len(contents) == 0 {
		return "the base alone"
	}
	short := make([]string, len(contents))
	for i, c := range contents {
		short[i] = fmt.Sprintf("%.12s", c)
	}
	if len(contents) == 1 {
		return "an adapter of content " + short[0]
	}
	return fmt.Sprintf("%d adapters of contents %s", len(contents), strings.Join(short, ", "))
}

// remedy is what makes the stack right, as far as the stack itself tells.
func remedy(stack []Placed, i int, want []string) string {
	if len(want) == 0 {
		return "put nothing below it"
	}
	var order []string
	for _, w := range want {
		at := slices.IndexFunc(stack, func(p Placed) bool { return p.Content == w })
		if at < 0 {
			return "put the adapter it was trained on, and nothing else, below it (\"steer adapter inspect\" " +
				"shows an adapter's content)"
		}
		order = append(order, stack[at].Path)
	}
	return "the order is " + strings.Join(append(order, stack[i].Path), ", then ")
}
