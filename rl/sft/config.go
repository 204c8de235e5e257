package sft

import (
	"steer/rl/data"
	"steer/rl/train"
)

// Config is everything a supervised run can be told. Start from [New].
type Config struct {
	// Preset names the values this configuration started from.
	Preset train.Preset `yaml:"preset"`
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
	// may reach across the border of prompt and answer.
	JoinText bool `yaml:"join_text"`
	// Pack says how examples fill the items of a mini-batch.
	Pack Pack `yaml:"pack"`
	// MaxTokens is the length of a block when packing, else of the longest example.
	MaxTokens int `yaml:"max_tokens"`
	// Overlong says what becomes of a longer example (not with pack run_on, which
	// cuts the stream of examples wherever a block is full).
	Overlong data.Overlong `yaml:"overlong"`
	// NoShuffle takes the examples in the order given, in each epoch.
	NoShuffle bool `yaml:"no_shuffle"`

	// Batches counts items: blocks when packing, examples otherwise. Epochs 0 leaves the number
	// of passes to the size of the data, see Passes.
	train.Batches `yaml:",inline"`

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
	// PackNone: an example is an item.
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
	check := train.NewChecks("sft")
	check.Error(c.LoRA.Validate("lora"))
	check.Error(c.Optim.Validate("optim"))
	check.Enum("loss_on", c.LossOn)
	check.Enum("pack", c.Pack)
	check.Enum("overlong", c.Overlong)
	check.Enum("keep", c.Keep)
	if c.JoinText && c.LossOn != data.LossAll {
		check.Bad("join_text: needs loss_on all: in a text tokenized as one, an answer has no first token")
	}
	check.AtLeast("max_tokens", int64(c.MaxTokens), 2)
	c.Batches.Check(check)
	check.AtLeast("eval_every", c.EvalEvery, 0)
	check.AtLeast("checkpoint_every", c.CheckpointEvery, 0)
	return check.Err()
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

// Passes is the number of passes over items (blocks or examples) of a run that is measured
// in epochs: Epochs, or, where that is 0, 3, or as many more as make 32 updates, 20 at most.
func (c Config) Passes(items int) int64 {
	if c.Epochs > 0 || items == 0 {
		return c.Epochs
	}
	n := int64(items)
	return min(mostEpochs, max(autoEpochs, (autoUpdates*int64(c.MiniBatchSize)+n-1)/n))
}

// Steps is the number of optimizer steps of a run over items (blocks or examples).
func (c Config) Steps(items int) int64 { return c.Updates(items, c.Passes(items)) }

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
