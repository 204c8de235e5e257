package train

import "steer/internal/seed"

// Order is the endless sequence in which a run takes its items: pass after pass over all of them,
// each pass in an order of its own that is derived from the seed. Which item stands at a position
// depends on nothing else, which is why a resumed run needs a count and no more.
//
// It belongs to one goroutine: it keeps the order of the pass it was last asked about.
type Order struct {
	items   int64
	shuffle bool
	seed    uint64
	use     string
	pass    int64 // of which permutation is the order
	order   []int
}

// NewOrder is the order of so many items (at least one). use names this use of the run's seed
// ("sft.shuffle", see [seed.Derive]); without shuffle every pass takes them as they are given.
func NewOrder(items int, shuffle bool, runSeed uint64, use string) *Order {
	return &Order{items: int64(items), shuffle: shuffle, seed: runSeed, use: use, pass: -1}
}

// At is the item at a position, counted from 0.
func (o *Order) At(position int64) int {
	pass, within := position/o.items, position%o.items
	if !o.shuffle {
		return int(within)
	}
	if pass != o.pass {
		o.pass, o.order = pass, seed.Permutation(int(o.items), o.seed, o.use, uint64(pass))
	}
	return o.order[within]
}

// Span lists the items at the positions from one to before another, [to-from]. It may reach over
// the border of two passes.
func (o *Order) Span(from, to int64) []int {
	out := make([]int, 0, to-from)
	for at := from; at < to; at++ {
		out = append(out, o.At(at))
	}
	return out
}
