package train

import (
	"fmt"

	"steer/ggml/lm"
)

// Batches says how many items an update learns from, how many of them go through the model at
// once, and how many updates a run has. An item is what a method learns from as one: an example,
// a block of examples, a pair of texts.
type Batches struct {
	// MiniBatchSize is the number of items of an optimizer step.
	MiniBatchSize int `yaml:"mini_batch_size"`
	// MicroBatchSize is the number of items of a forward and backward pass; it divides
	// MiniBatchSize. MicroBatchTokens, which takes its place where MicroBatchSize is 0,
	// bounds a pass in tokens. Either changes memory and speed only.
	MicroBatchSize   int `yaml:"micro_batch_size"`
	MicroBatchTokens int `yaml:"micro_batch_tokens"`
	// Epochs is the number of passes over the items. MaxSteps, where not 0, ends the run after
	// so many optimizer steps instead, however many passes that takes.
	Epochs   int64 `yaml:"epochs"`
	MaxSteps int64 `yaml:"max_steps"`
}

// Check notes what is wrong.
func (b Batches) Check(c *Checks) {
	switch {
	case b.MiniBatchSize < 1:
		c.AtLeast("mini_batch_size", int64(b.MiniBatchSize), 1)
	case b.MicroBatchSize != 0 && b.MicroBatchTokens != 0:
		c.Bad("micro_batch_size %d and micro_batch_tokens %d: set one of them to 0", b.MicroBatchSize,
			b.MicroBatchTokens)
	case b.MicroBatchSize != 0:
		c.Error(CheckDivides("mini_batch_size", b.MiniBatchSize, "micro_batch_size", b.MicroBatchSize))
	case b.MicroBatchTokens < 1:
		c.Bad("micro_batch_size or micro_batch_tokens: want one of them to be at least 1")
	}
	c.AtLeast("epochs", b.Epochs, 0)
	c.AtLeast("max_steps", b.MaxSteps, 0)
}

// Updates is the number of optimizer steps of a run over so many items; passes says how often it
// goes over them where MaxSteps does not say when it ends.
func (b Batches) Updates(items int, passes int64) int64 {
	if b.MaxSteps > 0 {
		return b.MaxSteps
	}
	mini := int64(b.MiniBatchSize)
	return (passes*int64(items) + mini - 1) / mini
}

// Positions are those, in the [Order] of a run, that the optimizer step after step earlier ones
// takes: from one to before another. The last step of a run that is measured in passes may have
// fewer than MiniBatchSize.
func (b Batches) Positions(step int64, items int, passes int64) (from, to int64) {
	from = step * int64(b.MiniBatchSize)
	to = from + int64(b.MiniBatchSize)
	if b.MaxSteps == 0 {
		to = min(to, passes*int64(items))
	}
	return from, to
}

// Passed is how many passes over so many items are behind a run after done optimizer steps.
func (b Batches) Passed(done int64, items int) float64 {
	return float64(done*int64(b.MiniBatchSize)) / float64(items)
}

// PassTokens bounds a forward pass of an evaluation as those of training are: in tokens, of which
// an item has longest at most.
func (b Batches) PassTokens(longest int) int {
	if b.MicroBatchSize == 0 {
		return b.MicroBatchTokens
	}
	return b.MicroBatchSize * longest
}

// Item is the sequences that are read for one item of a mini-batch.
type Item []lm.Sequence

// Tokens is how many go through the model for it.
func (i Item) Tokens() (n int64) {
	for _, s := range i {
		n += int64(len(s.Tokens))
	}
	return n
}

// Split lays whole items out in forward passes: MicroBatchSize of them, or as many as have
// MicroBatchTokens tokens together, where one with more has a pass of its own.
func (b Batches) Split(items []Item) [][]Item {
	var passes [][]Item
	var pass []Item
	tokens := int64(0)
	for _, item := range items {
		full := b.MicroBatchSize > 0 && len(pass) == b.MicroBatchSize ||
			b.MicroBatchSize == 0 && len(pass) > 0 && tokens+item.Tokens() > int64(b.MicroBatchTokens)
		if full {
			passes, pass, tokens = append(passes, pass), nil, 0
		}
		pass = append(pass, item)
		tokens += item.Tokens()
	}
	if len(pass) > 0 {
		passes = append(passes, pass)
	}
	return passes
}

// CheckDivides refuses batch sizes that do not divide exactly; big and small are the
// configuration keys ("mini_batch_size", "micro_batch_size").
func CheckDivides(big string, n int, small string, m int) error {
	switch {
	case n < 1:
		return fmt.Errorf("%s: want at least 1, got %d", big, n)
	case m < 1:
		return fmt.Errorf("%s: want at least 1, got %d", small, m)
	case n%m != 0:
		return fmt.Errorf("%s %d does not divide by %s %d: choose one of %v", big, n, small, m, divisors(n))
	}
	return nil
}

func divisors(n int) []int {
	var out []int
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			out = append(out, d)
		}
	}
	return out
}
