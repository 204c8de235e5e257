package sft

import (
	"errors"
	"fmt"
	"slices"

	"steer/rl/data"
	"steer/rl/train"
)

// Config is everything a supervised run can be told. Start from [New].
type Config struct {
	// Preset names the values this configuration started from.
	Preset Preset `yaml:"preset"`
	// Seed determines every random choice of the run.
	Seed uint64 `yaml:"seed"`
	// LoRA is the adapter that is trained.
	LoRA train.LoRA `yaml:"lora"`
	// Optim is AdamW and the learning rate's course.
	Optim train.Optim `yaml:"optim"`

	// LossOn says which tokens of a conversation count: answers or all. Rows that
	// bring their own mask keep it.
	LossOn data.LossOn `yaml:"loss_on"`
	// JoinText tokenizes a conversation as one text (loss_on all only), so that a token
	// may reach across the seam of prompt and answer.
	JoinText bool `yaml:"join_text"`
	// Pack says how examples fill the places of a mini-batch.
	Pack Pack `yaml:"pack"`
	// MaxTokens is the length of a block when packing, else of the longest example.
	MaxTokens int `yaml:"max_tokens"`
	// Overlong says what becomes of a longer example (not with pack run_on, which
	// cuts the stream of examples wherever a block is full).
	Overlong data.Overlong `yaml:"overlong"`
	// NoShuffle takes the examples in the order given, in each epoch.
	NoShuffle bool `yaml:"no_shuffle"`

	// MiniBatchSize is the number of places of an optimizer step: blocks when packing,
	// examples otherwise.
	MiniBatchSize int `yaml:"mini_batch_size"`
	// MicroBatchSize is the number of places of a forward and backward pass; it divides
	// MiniBatchSize. MicroBatchTokens, which takes its place where MicroBatchSize is 0,
	// bounds a pass in tokens. Either changes memory and speed only.
	MicroBatchSize   int `yaml:"micro_batch_size"`
	MicroBatchTokens int `yaml:"micro_batch_tokens"`
	// Epochs is the number of passes over the data; 0 leaves it to the size of the data,
	// see Passes. MaxSteps, where not 0, ends the run after so many optimizer steps
	// instead, however many passes that takes.
	Epochs   int64 `yaml:"epochs"`
	MaxSteps int64 `yaml:"max_steps"`

	// EvalEvery so many steps the held-out examples are evaluated, besides before the
	// first and after the last; 0: only then.
	EvalEvery int64 `yaml:"eval_every"`
	// CheckpointEvery so many steps; 0: at the end, and whenever the run is stopped.
	CheckpointEvery int64 `yaml:"checkpoint_every"`
	// Keep says which weights become the result: the last, or those with the lowest
	// held-out loss.
	Keep Keep `yaml:"keep"`
}

// Pack says how examples share sequences.
type Pack string

// The ways.
const (
	// PackAuto: isolated where an epoch then has enough updates still, none otherwise: with
	// a few rows, blocks would make an epoch of one update.
	PackAuto Pack = "auto"
	// PackNone: one example a place.
	PackNone Pack = "none"
	// PackIsolated: whole examples share a block of MaxTokens, each a sequence of its
	// own that sees no other.
	PackIsolated Pack = "isolated"
	// PackRunOn: examples are laid end to end with EOS between and cut every MaxTokens,
	// neighbours see one another (trl's ConstantLengthDataset).
	PackRunOn Pack = "run_on"
)

// Values lists the ways.
func (Pack) Values() []string {
	return []string{string(PackAuto), string(PackNone), string(PackIsolated), string(PackRunOn)}
}

// Keep names the weights a run ends with.
type Keep string

// The choices.
const (
	KeepLast Keep = "last"
	KeepBest Keep = "best"
)

// Values lists the choices.
func (Keep) Values() []string { return []string{string(KeepLast), string(KeepBest)} }

// Validate names the fields that are out of range or contradict each other, all of
// them.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("sft: "+format, args...)) }
	check := func(err error) {
		if err != nil {
			bad("%w", err)
		}
	}
	check(c.LoRA.Validate("lora"))
	check(c.Optim.Validate("optim"))
	enum := func(key string, value string, values []string) {
		if !slices.Contains(values, value) {
			bad("%s: want one of %v, got %q", key, values, value)
		}
	}
	enum("loss_on", string(c.LossOn), c.LossOn.Values())
	enum("pack", string(c.Pack), c.Pack.Values())
	enum("overlong", string(c.Overlong), c.Overlong.Values())
	enum("keep", string(c.Keep), c.Keep.Values())
	if c.JoinText && c.LossOn != data.LossAll {
		bad("join_text: needs loss_on all: in a text tokenized as one, an answer has no first token")
	}
	if c.MaxTokens < 2 {
		bad("max_tokens: want at least 2, got %d", c.MaxTokens)
	}
	switch {
	case c.MiniBatchSize < 1:
		bad("mini_batch_size: want at least 1, got %d", c.MiniBatchSize)
	case c.MicroBatchSize != 0 && c.MicroBatchTokens != 0:
		bad("micro_batch_size %d and micro_batch_tokens %d: set one of them to 0", c.MicroBatchSize, c.MicroBatchTokens)
	case c.MicroBatchSize != 0:
		check(train.CheckDivides("mini_batch_size", c.MiniBatchSize, "micro_batch_size", c.MicroBatchSize))
	case c.MicroBatchTokens < 1:
		bad("micro_batch_size or micro_batch_tokens: want one of them to be at least 1")
	}
	for _, f := range []struct {
		key   string
		value int64
	}{{"epochs", c.Epochs}, {"max_steps", c.MaxSteps}, {"eval_every", c.EvalEvery}, {"checkpoint_every", c.CheckpointEvery}} {
		if f.value < 0 {
			bad("%s: want at least 0, got %d", f.key, f.value)
		}
	}
	return errors.Join(errs...)
}

// MayChange lists the keys that a resumed run may have changed, as run.Options
// wants them: they say how the same thing is computed, up to the rounding of sums.
func MayChange() []string {
	return []string{"micro_batch_size", "micro_batch_tokens", "checkpoint_every"}
}

// Tokenize gives the options that conversations rendered by a template are tokenized
// with. An EOS ends each example unless the template has an end token of its own or
// packing puts one in.
func (c Config) Tokenize(t *data.Template) data.TokenizeOptions {
	return data.TokenizeOptions{
		Loss: c.LossOn, Join: c.JoinText,
		EOS: c.Pack != PackRunOn && t.StopToken() == "",
	}
}

// What epochs 0 and pack auto go by.
const (
	autoEpochs     = 3  // passes over data that are large enough
	mostEpochs     = 20 // passes over the smallest
	autoUpdates    = 32 // that a run has at least
	updatesAnEpoch = 32 // that packing has to leave
)

// Passes is the number of passes over places (blocks or examples) of a run that is measured
// in epochs: Epochs, or, where that is 0, 3, or as many more as make 32 updates, 20 at most.
func (c Config) Passes(places int) int64 {
	if c.Epochs > 0 || places == 0 {
		return c.Epochs
	}
	n := int64(places)
	return min(mostEpochs, max(autoEpochs, (autoUpdates*int64(c.MiniBatchSize)+n-1)/n))
}

// Steps is the number of optimizer steps of a run over places (blocks or examples).
func (c Config) Steps(places int) int64 {
	if c.MaxSteps > 0 {
		return c.MaxSteps
	}
	mini := int64(c.MiniBatchSize)
	return (c.Passes(places)*int64(places) + mini - 1) / mini
}

// packing settles pack auto for blocks (of isolated packing).
func (c Config) packing(blocks int) Pack {
	if c.Pack != PackAuto {
		return c.Pack
	}
	if blocks < updatesAnEpoch*c.MiniBatchSize {
		return PackNone
	}
	return PackIsolated
}
