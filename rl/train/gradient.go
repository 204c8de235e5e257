package train

import (
	"context"

	"steer/ggml/lm"
)

// MiniBatch is what an optimizer step learns from. T is what is counted of it on the way: losses, statistics.
type MiniBatch[T any] struct {
	// Items are learned from in their order.
	Items []Item
	// Split lays whole items out in forward passes, in their order.
	Split   func([]Item) [][]Item
	Options lm.Options // Gradient is set
	// Tally is an empty count.
	Tally func() *T
	// Gradient adds the items of a pass to a count and gives dLoss/dOutput, already divided by the normaliser of
	// the whole mini-batch: that is why the split does not matter. It changes nothing but the count.
	Gradient func(t *T, p ForwardPass) (lm.Gradient, error)
}

// ForwardPass is a forward pass of a mini-batch.
type ForwardPass struct {
	// Item and Sequence are the places of its first item and sequence within the mini-batch.
	Item, Sequence int
	Items          []Item
	Output         *lm.Output
}

// Accumulate runs the mini-batch's passes forward and backward, from cleared gradients, and returns what was
// counted of them, in the order of the items.
func (m MiniBatch[T]) Accumulate(ctx context.Context, l lm.Learner) (*T, error) {
	tally := m.Tally()
	if err := l.ZeroGrad(); err != nil {
		return tally, err
	}
	opt := m.Options
	opt.Gradient = true
	p := ForwardPass{}
	for _, items := range m.Split(m.Items) {
		var err error
		p.Items = items
		if p.Output, err = l.Forward(ctx, flat(items), opt); err != nil {
			return tally, err
		}
		g, err := m.Gradient(tally, p)
		if err != nil {
			return tally, err
		}
		if err := l.Backward(g); err != nil {
			return tally, err
		}
		p = p.next()
	}
	return tally, nil
}

// next begins where a pass ends.
func (p ForwardPass) next() ForwardPass {
	return ForwardPass{Item: p.Item + len(p.Items), Sequence: p.Sequence + len(flat(p.Items))}
}

// flat are the sequences of items.
func flat(items []Item) (out []lm.Sequence) {
	for _, item := range items {
		out = append(out, item...)
	}
	return out
}

// Alone makes an item of each sequence.
func Alone(seqs []lm.Sequence) []Item {
	out := make([]Item, len(seqs))
	for i := range seqs {
		out[i] = seqs[i : i+1]
	}
	return out
}

// Update takes the optimizer step with number step (counted from 1) by the gradients that
// [MiniBatch.Accumulate] left, and returns their global norm before clipping. name is what the norm is
// called where it is no number.
func Update(l lm.Learner, u lm.Update, step int64, name string) (norm float64, err error) {
	if norm, err = l.Update(u); err != nil {
		return 0, err
	}
	return norm, CheckFinite(step, name, norm)
}
