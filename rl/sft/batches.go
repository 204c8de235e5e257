package sft

import (
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/train"
)

// prepare fits and packs examples: an item is an example, or a block of them. whole keeps what
// fills no block, which training
// leaves out as trl does and evaluation does not.
func (c Config) prepare(examples []data.Example, eos int32, whole bool) ([]train.Item, data.Counts, error) {
	var counts data.Counts
	var err error
	if c.Pack != PackRunOn {
		if examples, counts, err = data.Fit(examples, c.MaxTokens, c.Overlong); err != nil {
			return nil, counts, err
		}
	}
	var blocks []data.Block
	switch c.Pack {
	case PackIsolated, PackAuto:
		blocks, _, err = data.PackIsolated(examples, c.MaxTokens)
	case PackRunOn:
		blocks, counts, err = data.PackRunOn(examples, c.MaxTokens, eos, whole)
	}
	if err != nil {
		return nil, counts, err
	}
	switch c.packing(len(blocks)) {
	case PackNone:
		blocks = nil
		for _, e := range examples {
			blocks = append(blocks, data.Block{e})
		}
	case PackIsolated:
		counts.Blocks = len(blocks)
	}
	items := make([]train.Item, len(blocks))
	for i, b := range blocks {
		for _, e := range b {
			items[i] = append(items[i], e.Sequence(0))
		}
	}
	return items, counts, nil
}

// fingerprint is the SHA-256 of everything a run reads, for telling changed data.
func fingerprint(parts ...[]train.Item) string {
	f := data.NewFingerprint()
	for _, items := range parts {
		for _, item := range items {
			f.IDs([]int32{int32(len(item))})
			for _, s := range item {
				f.IDs(s.Tokens)
				f.IDs(s.Targets)
			}
		}
	}
	return f.Sum()
}

// order is the order in which items are taken.
func (c Config) order(items int) *train.Order {
	return train.NewOrder(items, !c.NoShuffle, c.Seed, "sft.shuffle")
}

// parts are the items of a step as its passes may be split between them; sequences get the dropout
// seeds of their position in the mini-batch, so that the split changes nothing.
func (c Config) parts(items []train.Item, step int64) (parts []train.Item) {
	n := uint64(0)
	for _, item := range items {
		part := make(train.Item, 0, len(item))
		for _, s := range item {
			s.DropoutSeed = seed.Derive(c.Seed, "sft.dropout", uint64(step), n)
			part = append(part, s)
			n++
		}
		if c.MicroBatchSize > 0 {
			parts = append(parts, part)
			continue
		}
		// Tokens bound a pass: the examples of a block need not go through the model together.
		for i := range part {
			parts = append(parts, part[i:i+1])
		}
	}
	return parts
}
