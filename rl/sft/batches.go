package sft

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/train"
)

// place is one of the mini_batch_size places of a step: an example, or a block of them.
type place []lm.Sequence

func (p place) tokens() (n int64) {
	for _, s := range p {
		n += int64(len(s.Tokens))
	}
	return n
}

// prepare fits and packs examples. whole keeps what fills no block, which training
// leaves out as trl does and evaluation does not.
func (c Config) prepare(examples []data.Example, eos int32, whole bool) ([]place, data.Counts, error) {
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
	places := make([]place, len(blocks))
	for i, b := range blocks {
		for _, e := range b {
			places[i] = append(places[i], e.Sequence(0))
		}
	}
	return places, counts, nil
}

// hashOf is the SHA-256 of everything a run reads, for telling changed data.
func hashOf(parts ...[]place) string {
	h := sha256.New()
	var buf []byte
	ints := func(xs []int32) {
		buf = binary.LittleEndian.AppendUint64(buf[:0], uint64(len(xs)))
		for _, x := range xs {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(x))
		}
		h.Write(buf)
	}
	for _, places := range parts {
		for _, p := range places {
			ints([]int32{int32(len(p))})
			for _, s := range p {
				ints(s.Tokens)
				ints(s.Targets)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Plan says what a run over examples comes to, without a model: optimizer steps and
// tokens. It fails on what Train would fail on before the first step.
type Plan struct {
	Counts data.Counts
	Places int   // blocks or examples of an epoch
	Steps  int64 // optimizer steps
	Tokens int64 // through the model in training, all epochs
}

// NewPlan makes the plan of a run; eos as in Deps.
func NewPlan(c Config, examples []data.Example, eos int32) (Plan, error) {
	if err := c.Validate(); err != nil {
		return Plan{}, err
	}
	places, counts, err := c.prepare(examples, eos, false)
	if err != nil {
		return Plan{}, fmt.Errorf("sft: %w", err)
	}
	p := Plan{Counts: counts, Places: len(places), Steps: c.Steps(len(places))}
	if err := p.check(c); err != nil {
		return p, err
	}
	order := newOrder(c, places)
	for step := range p.Steps {
		for _, i := range order.batch(step) {
			p.Tokens += places[i].tokens()
		}
	}
	return p, nil
}

func (p Plan) check(c Config) error {
	switch {
	case p.Places > 0:
		return nil
	case c.Pack == PackRunOn && p.Counts.Remainder > 0:
		return fmt.Errorf("sft: the data fill no block of max_tokens %d: %s", c.MaxTokens, p.Counts)
	}
	return errors.New("sft: no example to train on: " + p.Counts.String())
}

// order says which places a step takes: epoch after epoch in an order of its own, steps
// reaching over the border of two. It is a function of the step alone, which is why a
// resumed run needs no cursor.
type order struct {
	cfg    Config
	n      int64
	epoch  int64 // of perm
	perm   []int
	places int64 // of the whole run; 0: no end
}

func newOrder(c Config, places []place) *order {
	o := &order{cfg: c, n: int64(len(places)), epoch: -1}
	if c.MaxSteps == 0 {
		o.places = c.Passes(len(places)) * o.n
	}
	return o
}

// batch lists the places of a step, [mini_batch_size]; the last of a run measured in
// epochs may be shorter.
func (o *order) batch(step int64) []int {
	begin := step * int64(o.cfg.MiniBatchSize)
	end := begin + int64(o.cfg.MiniBatchSize)
	if o.places > 0 {
		end = min(end, o.places)
	}
	out := make([]int, 0, o.cfg.MiniBatchSize)
	for at := begin; at < end; at++ {
		out = append(out, o.at(at/o.n, at%o.n))
	}
	return out
}

func (o *order) at(epoch, i int64) int {
	if o.cfg.NoShuffle {
		return int(i)
	}
	if epoch != o.epoch {
		o.epoch, o.perm = epoch, seed.Permutation(int(o.n), o.cfg.Seed, "sft.shuffle", uint64(epoch))
	}
	return o.perm[i]
}

// micro splits the places of a step into forward passes; sequences get the dropout
// seeds of their position in the mini-batch, so that the split changes nothing.
func (c Config) micro(places []place, step int64) [][]lm.Sequence {
	var flat []lm.Sequence
	sizes := make([]int, len(places)) // sequences of each place
	for i, p := range places {
		sizes[i] = len(p)
		for _, s := range p {
			s.DropoutSeed = seed.Derive(c.Seed, "sft.dropout", uint64(step), uint64(len(flat)))
			flat = append(flat, s)
		}
	}
	if c.MicroBatchSize == 0 {
		return train.MicroByTokens(flat, c.MicroBatchTokens)
	}
	var out [][]lm.Sequence
	for _, part := range train.Micro(sizes, c.MicroBatchSize) {
		n := 0
		for _, k := range part {
			n += k
		}
		out, flat = append(out, flat[:n]), flat[n:]
	}
	return out
}
