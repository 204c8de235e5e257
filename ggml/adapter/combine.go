package adapter

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Keys of Adapter.Meta by which a combined adapter tells what it is made of, lowest first, with blanks
// between: the content hashes of its parts, the SHA-256 of their files ("-" for what is no file), and
// what each was multiplied by.
const (
	MetaCombined       = "steer.combined"
	MetaCombinedFiles  = "steer.combined_files"
	MetaCombinedScales = "steer.combined_scales"
)

// Part is one adapter of those that Combine joins.
type Part struct {
	*Adapter
	// Scale multiplies what the adapter adds, as llama.cpp's --lora-scaled does; 1 is the adapter as
	// it was trained.
	Scale float32
}

// Combined is what Combine made.
type Combined struct {
	*Adapter
	// Rounded counts the values of B that had to be rounded to carry their adapter's scale, of
	// Scaled which were multiplied by something that is not a power of two: each by at most half
	// a unit in the last place of its own.
	Rounded, Scaled int64
	// HeadFrom is the index of the part whose head was kept, -1 where no part has one; Dropped lists
	// those whose heads were left out.
	HeadFrom int
	Dropped  []int
}

// Combine joins adapters of one base, lowest first, into one that adds what they add together:
//
//	Σ_i s_i B_i A_i x = [s_1 B_1 | s_2 B_2 | …] [A_1; A_2; …] x
//
// The A stand above each other, the B side by side, and the ranks add up. A matrix that a part does
// not adapt gets no rank from it. A file holds one alpha for all pairs, and llama.cpp divides it by
// each pair's own rank: alpha is chosen so that as few values as possible change, and what it does not
// say is multiplied into B, in double precision, rounded once. Powers of two round nothing.
//
// The result says of itself what the topmost part does (its role, its template), but that it was
// trained on what the lowest was. Of several heads the topmost stays. Parts of different bases are
// ErrMismatch.
func Combine(parts []Part) (*Combined, error) {
	if len(parts) == 0 {
		return nil, errors.New("adapter: nothing to combine")
	}
	out := &Combined{Adapter: &Adapter{Arch: parts[0].Arch}, HeadFrom: -1}
	for i, p := range parts {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		if err := p.CheckFinite(); err != nil {
			return nil, err
		}
		if !finite(p.Scale) {
			return nil, fmt.Errorf("adapter: scale %g: want a finite number: %w", p.Scale, ErrFormat)
		}
		if p.Arch != out.Arch {
			return nil, fmt.Errorf("adapter: one is made for a base of architecture %q, another for %q: %w", out.Arch,
				p.Arch, ErrMismatch)
		}
		if p.Head == nil {
			continue
		}
		if out.HeadFrom >= 0 {
			out.Dropped = append(out.Dropped, out.HeadFrom)
		}
		out.HeadFrom = i
	}
	if out.HeadFrom >= 0 {
		out.Head = parts[out.HeadFrom].Adapter.Clone().Head
	}
	groups, err := groupPairs(parts)
	if err != nil {
		return nil, err
	}
	out.Alpha = commonAlpha(groups)
	for _, g := range groups {
		out.join(g)
	}
	sortPairs(out.Pairs)
	out.describe(parts)
	if err := errors.Join(out.Validate(), out.CheckFinite()); err != nil {
		return nil, fmt.Errorf("adapter: combined: a scale is too large: %w", err)
	}
	return out, nil
}

// scaledPair is a pair with everything that multiplies it, in double precision.
type scaledPair struct {
	Pair
	scale float64
}

// groupPairs puts together the pairs of one matrix, in the order of the parts.
func groupPairs(parts []Part) ([][]scaledPair, error) {
	at := map[string]int{}
	var groups [][]scaledPair
	for _, part := range parts {
		for _, p := range part.Pairs {
			i, known := at[p.Name]
			if !known {
				i = len(groups)
				at[p.Name] = i
				groups = append(groups, nil)
			} else if q := groups[i][0]; q.NIn != p.NIn || q.NOut != p.NOut {
				return nil, fmt.Errorf("adapter: %s: one part is made for a matrix of %d by %d, another of %d by %d: "+
					"they belong to different bases: %w", p.Name, q.NOut, q.NIn, p.NOut, p.NIn, ErrMismatch)
			}
			groups[i] = append(groups[i], scaledPair{p, float64(part.Adapter.Scale(p)) * float64(part.Scale)})
		}
	}
	return groups, nil
}

func rankOf(group []scaledPair) (rank int) {
	for _, p := range group {
		rank += p.Rank
	}
	return rank
}

// commonAlpha is the alpha with which the fewest values of B are multiplied by what is not a power of
// two. It is 0, which stands for scale 1, or one that makes some part's scale right of itself.
func commonAlpha(groups [][]scaledPair) float32 {
	candidates := []float32{0}
	for _, g := range groups {
		for _, p := range g {
			alpha := float32(p.scale * float64(rankOf(g)))
			if finite(alpha) && alpha > 0 && !slices.Contains(candidates, alpha) {
				candidates = append(candidates, alpha)
			}
		}
	}
	best, least := float32(0), int64(math.MaxInt64)
	for _, alpha := range candidates {
		var cost int64
		for _, g := range groups {
			for _, p := range g {
				if !powerOfTwo(factor(p, alpha, rankOf(g))) {
					cost += int64(len(p.B))
				}
			}
		}
		if cost < least {
			best, least = alpha, cost
		}
	}
	return best
}

// factor is what B has to be multiplied by where the file has an alpha and the joined pair a rank.
func factor(p scaledPair, alpha float32, rank int) float64 {
	if alpha == 0 {
		return p.scale
	}
	return p.scale / float64(alpha/float32(rank)) // as Scale computes it
}

func powerOfTwo(x float64) bool {
	half, _ := math.Frexp(math.Abs(x))
	return x == 0 || half == 0.5
}

// join appends the pair of one matrix.
func (c *Combined) join(group []scaledPair) {
	rank := rankOf(group)
	out := Pair{Name: group[0].Name, NIn: group[0].NIn, NOut: group[0].NOut, Rank: rank,
		B: make([]float32, rank*group[0].NOut)}
	left := 0
	for _, p := range group {
		out.A = append(out.A, p.A...)
		by := factor(p, c.Alpha, rank)
		if !powerOfTwo(by) {
			c.Scaled += int64(len(p.B))
		}
		for o := range p.NOut {
			for j, b := range p.B[o*p.Rank : (o+1)*p.Rank] {
				exact := float64(b) * by
				out.B[o*rank+left+j] = float32(exact)
				if float64(float32(exact)) != exact {
					c.Rounded++
				}
			}
		}
		left += p.Rank
	}
	c.Pairs = append(c.Pairs, out)
}

// describe says what the combined adapter is and what it is made of.
func (c *Combined) describe(parts []Part) {
	top := parts[len(parts)-1]
	c.Meta = maps.Clone(top.Meta)
	if c.Meta == nil {
		c.Meta = map[string]string{}
	}
	delete(c.Meta, MetaCombinedFiles) // the caller knows the files
	if below, known := parts[0].Meta[MetaTrainedOn]; known {
		c.Meta[MetaTrainedOn] = below
	} else {
		delete(c.Meta, MetaTrainedOn)
	}
	if c.Meta[MetaBase] == "" {
		delete(c.Meta, MetaBase)
		for _, p := range parts {
			if base := p.Meta[MetaBase]; base != "" {
				c.Meta[MetaBase] = base
			}
		}
	}
	var hashes, scales []string
	for _, p := range parts {
		hashes = append(hashes, p.ContentSHA256())
		scales = append(scales, strconv.FormatFloat(float64(p.Scale), 'g', -1, 32))
	}
	c.Meta[MetaCombined], c.Meta[MetaCombinedScales] = strings.Join(hashes, " "), strings.Join(scales, " ")
}
