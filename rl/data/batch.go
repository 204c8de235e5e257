package data

import (
	"fmt"
	"slices"
)

// Overlong says what becomes of a sequence longer than max_tokens.
type Overlong string

// The policies. Truncate keeps the beginning; TruncateLeft keeps the end, which is
// where a reward model reads its score.
const (
	OverlongDrop         Overlong = "drop"
	OverlongTruncate     Overlong = "truncate"
	OverlongTruncateLeft Overlong = "truncate_left"
	OverlongError        Overlong = "error"
)

// Values lists the policies.
func (Overlong) Values() []string {
	return []string{string(OverlongDrop), string(OverlongTruncate), string(OverlongTruncateLeft), string(OverlongError)}
}

// Counts says what became of the examples; it is printed, never swallowed. In result.json it is
// run.Counts, which has the same fields.
type Counts struct {
	In        int
	Kept      int
	Dropped   int   // longer than max_tokens
	Truncated int   // kept, but cut to max_tokens
	NoTargets int   // dropped: no token counts
	Tokens    int64 // of what was kept
	Targets   int64 // tokens whose log-probability counts
	Blocks    int
	Remainder int // tokens that filled no whole block
}

// String says it in a line.
func (c Counts) String() string {
	s := fmt.Sprintf("%d of %d examples kept (%d tokens, %d counted)", c.Kept, c.In, c.Tokens, c.Targets)
	if c.Dropped > 0 {
		s += fmt.Sprintf(", %d too long and dropped", c.Dropped)
	}
	if c.Truncated > 0 {
		s += fmt.Sprintf(", %d too long and truncated", c.Truncated)
	}
	if c.NoTargets > 0 {
		s += fmt.Sprintf(", %d without a counted token and dropped", c.NoTargets)
	}
	if c.Blocks > 0 {
		s += fmt.Sprintf(", %d blocks", c.Blocks)
	}
	if c.Remainder > 0 {
		s += fmt.Sprintf(", %d tokens left over", c.Remainder)
	}
	return s
}

// Fit applies the length limit maxTokens to examples. An example that has no
// counted token left is dropped. The inputs are not changed.
func Fit(examples []Example, maxTokens int, policy Overlong) ([]Example, Counts, error) {
	if maxTokens < 2 {
		return nil, Counts{}, fmt.Errorf("data: max_tokens: want at least 2, got %d", maxTokens)
	}
	if !slices.Contains(policy.Values(), string(policy)) {
		return nil, Counts{}, fmt.Errorf("data: overlong: want one of %v, got %q", policy.Values(), policy)
	}
	counts := Counts{In: len(examples)}
	var out []Example
	for i, e := range examples {
		if n := len(e.IDs); n > maxTokens {
			switch policy {
			case OverlongError:
				return nil, counts, fmt.Errorf("data: example %d (line %d): %d tokens, max_tokens is %d: %w; set "+
					"overlong to drop or truncate", i, e.Line, n, maxTokens, ErrOverlong)
			case OverlongDrop:
				counts.Dropped++
				continue
			case OverlongTruncate:
				e.IDs, e.Mask = e.IDs[:maxTokens:maxTokens], e.Mask[:maxTokens:maxTokens]
			case OverlongTruncateLeft:
				e.IDs, e.Mask = e.IDs[n-maxTokens:], slices.Clone(e.Mask[n-maxTokens:])
				e.Mask[0] = false
			}
			if len(e.Targets()) > 0 {
				counts.Truncated++
			}
		}
		targets := len(e.Targets())
		if targets == 0 {
			counts.NoTargets++
			continue
		}
		counts.Kept++
		counts.Tokens += int64(len(e.IDs))
		counts.Targets += int64(targets)
		out = append(out, e)
	}
	return out, counts, nil
}

// Block is what one training example slot holds after packing: sequences that
// share max_tokens. They are separate sequences: none sees another.
type Block []Example

// Tokens is the number of tokens of the block.
func (b Block) Tokens() int {
	n := 0
	for _, e := range b {
		n += len(e.IDs)
	}
	return n
}

// PackIsolated fills blocks of at most maxTokens with whole examples, each of which
// stays a sequence of its own. Every example goes into the first of the last 64
// blocks that still has room for it, so the result depends on the order alone.
// Examples have to fit maxTokens (see Fit).
func PackIsolated(examples []Example, maxTokens int) ([]Block, Counts, error) {
	const window = 64
	counts := Counts{In: len(examples)}
	var blocks []Block
	var room []int
	for i, e := range examples {
		n := len(e.IDs)
		if n > maxTokens {
			return nil, counts, fmt.Errorf("data: example %d (line %d): %d tokens, a block has %d: %w", i, e.Line, n,
				maxTokens, ErrOverlong)
		}
		at := max(0, len(blocks)-window)
		for at < len(blocks) && room[at] < n {
			at++
		}
		if at == len(blocks) {
			blocks, room = append(blocks, nil), append(room, maxTokens)
		}
		blocks[at] = append(blocks[at], e)
		room[at] -= n
		counts.Kept++
		counts.Tokens += int64(n)
		counts.Targets += int64(len(e.Targets()))
	}
	counts.Blocks = len(blocks)
	return blocks, counts, nil
}

// PackRunOn lays the examples end to end, an EOS after each (unless eos is
// negative or the example ends in it already), and cuts the stream into
// sequences of exactly maxTokens; documents see one another and positions run on,
// as in trl's ConstantLengthDataset. What fills no whole sequence is left out and counted, unless keepRemainder.
func PackRunOn(examples []Example, maxTokens int, eos int32, keepRemainder bool) ([]Block, Counts, error) {
	if maxTokens < 2 {
		return nil, Counts{}, fmt.Errorf("data: max_tokens: want at least 2, got %d", maxTokens)
	}
	counts := Counts{In: len(examples), Kept: len(examples)}
	var stream Example
	for _, e := range examples {
		stream.IDs = append(stream.IDs, e.IDs...)
		mask := e.Mask
		if len(mask) > 1 && len(stream.Mask) > 0 {
			// In a stream the first token of a document has a context too: it counts
			// where the whole document does.
			mask = slices.Clone(mask)
			mask[0] = !slices.Contains(mask[1:], false)
		}
		stream.Mask = append(stream.Mask, mask...)
		if n := len(e.IDs); eos >= 0 && n > 0 && e.IDs[n-1] != eos {
			stream.IDs = append(stream.IDs, eos)
			stream.Mask = append(stream.Mask, e.Mask[n-1])
		}
	}
	var blocks []Block
	for begin := 0; begin < len(stream.IDs); begin += maxTokens {
		end := min(begin+maxTokens, len(stream.IDs))
		if n := end - begin; n < maxTokens && (!keepRemainder || n < 2) {
			counts.Remainder = n
			break
		}
		e := Example{IDs: stream.IDs[begin:end:end], Mask: slices.Clone(stream.Mask[begin:end])}
		e.Mask[0] = false
		targets := len(e.Targets())
		if targets == 0 {
			counts.NoTargets++
			continue
		}
		counts.Tokens += int64(end - begin)
		counts.Targets += int64(targets)
		blocks = append(blocks, Block{e})
	}
	counts.Blocks = len(blocks)
	return blocks, counts, nil
}
