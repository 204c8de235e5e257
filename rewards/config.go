package rewards

import (
	"errors"
	"fmt"

	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/train"
)

// Config is everything a reward run can be told. Start from [New].
type Config struct {
	// Preset names the values this configuration started from.
	Preset train.Preset `yaml:"preset"`
	// Seed determines every random choice of the run.
	Seed uint64 `yaml:"seed"`

	// Theory is what the reward model stands for.
	Theory TheoryName `yaml:"theory"`
	// Train names the file the pairs are learned from. Its split goes by scenario, its
	// limit counts pairs.
	Train data.Source `yaml:"train"`
	// HeldOut names the file they are measured on. Without a path it is a share of the
	// train file (HeldOutShare), taken off before training.
	HeldOut      data.Source `yaml:"held_out"`
	HeldOutShare float64     `yaml:"held_out_share"`
	// DropOverlap leaves out held-out pairs that share their prompt or a whole text with
	// a train pair.
	DropOverlap bool `yaml:"drop_overlap"`
	// Recipe makes pairs of labelled rows: cross, zip or one; empty is the theory's own.
	Recipe Recipe `yaml:"recipe,omitempty"`

	// Form is how a pair is put before the model.
	Form Form `yaml:"form"`
	// Template and System are the chat form's; they have to be the policy's.
	Template data.TemplateName `yaml:"template,omitempty"`
	System   *string           `yaml:"system,omitempty"`
	// Date is what a model's own template shows as today.
	Date data.Date `yaml:"date,omitempty"`
	// TemplateVars are variables of a model's own template, such as enable_thinking.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	// Own is what the adapter's metadata keep of a model's own template.
	Own map[string]string `yaml:"-"`
	// EOS ends a text of the chat form whose template has no end token of its own, and
	// any text of the plain form, with the vocabulary's EOS; the score is read there.
	EOS bool `yaml:"eos"`
	// MaxLength bounds a side, in tokens.
	MaxLength int `yaml:"max_length"`
	// Overlong: drop the pair, truncate_left (the end is what is scored), or error.
	Overlong data.Overlong `yaml:"overlong"`

	// LoRA is the adapter that is trained; the scalar head is trained with it.
	LoRA train.LoRA `yaml:"lora"`
	// HeadInit is the standard deviation rule of the head's first weights.
	HeadInit HeadInit `yaml:"head_init"`
	// Optim is AdamW and the learning rate's course.
	Optim train.Optim `yaml:"optim"`

	// Margin is by how much the chosen side should win before the loss is ln 2, in
	// units of score; a pair's own margin is added.
	Margin float64 `yaml:"margin"`
	// Centre is c in the term c*mean((r_chosen + r_rejected)^2), which keeps scores
	// near 0.
	Centre float64 `yaml:"centre"`
	// Normalise measures mean and standard deviation of the score on reference answers
	// after training and stores them with the head.
	Normalise bool `yaml:"normalise"`

	// Batches counts pairs.
	train.Batches `yaml:",inline"`
	// NoShuffle takes the pairs in the order given, in each epoch.
	NoShuffle bool `yaml:"no_shuffle"`

	// EvalEvery so many steps the first EvalPairs held-out pairs are scored; 0: only
	// after the last step. The final evaluation takes all of them.
	EvalEvery int64 `yaml:"eval_every"`
	EvalPairs int   `yaml:"eval_pairs"`
	// CheckpointEvery so many steps; 0: at the end, and whenever the run is stopped.
	CheckpointEvery int64 `yaml:"checkpoint_every"`
	// StuckAfter is the step from which a loss that stays at chance is warned of; 0: never.
	StuckAfter int64 `yaml:"stuck_after"`
}

// Form is how a pair is put before the model.
type Form string

// The forms.
const (
	// FormPlain: the texts end to end with nothing around them, as the thesis did.
	FormPlain Form = "plain"
	// FormChat: a user's message and an assistant's answer in the template the policy
	// is steered with, so that the reward model sees what PPO will show it.
	FormChat Form = "chat"
)

// Values lists the forms.
func (Form) Values() []string { return []string{string(FormPlain), string(FormChat)} }

// Validate names the fields that are out of range or contradict each other, all of
// them. It does not open files.
func (c Config) Validate() error {
	check := train.NewChecks("rewards")
	theory, unknown := Lookup(c.Theory)
	if unknown == nil {
		_, unknown = theory.recipe(c.Recipe)
	}
	check.Error(c.LoRA.Validate("lora"))
	check.Error(c.Optim.Validate("optim"))
	check.Enum("form", c.Form)
	if c.Template != "" { // else chatml
		check.Enum("template", c.Template)
	}
	check.Enum("head_init", c.HeadInit)
	check.OneOf("overlong", string(c.Overlong),
		[]string{string(data.OverlongDrop), string(data.OverlongTruncateLeft), string(data.OverlongError)})
	check.AtLeast("max_length", int64(c.MaxLength), 2)
	check.Number("margin", c.Margin, c.Margin >= 0, "at least 0")
	check.Number("centre", c.Centre, c.Centre >= 0, "at least 0")
	c.Batches.Check(check)
	check.AtLeast("eval_every", c.EvalEvery, 0)
	check.AtLeast("eval_pairs", int64(c.EvalPairs), 0)
	check.AtLeast("checkpoint_every", c.CheckpointEvery, 0)
	check.AtLeast("stuck_after", c.StuckAfter, 0)
	if c.Epochs == 0 && c.MaxSteps == 0 {
		check.Bad("epochs or max_steps: want one of them to be at least 1")
	}
	return errors.Join(unknown, check.Err())
}

// ValidateData checks the fields that name files, without opening them.
func (c Config) ValidateData() error {
	if c.Train.Path == "" {
		return fmt.Errorf("rewards: train.path: want the file of the pairs, got none")
	}
	if c.HeldOut.Path == "" {
		if !(c.HeldOutShare > 0 && c.HeldOutShare < 1) {
			return fmt.Errorf("rewards: held_out_share: without held_out.path, want a share in (0, 1), got %g",
				c.HeldOutShare)
		}
		if c.Train.Split != "" && c.Train.Split != data.SplitAll {
			return fmt.Errorf("rewards: train.split %q: name held_out.path too, or leave the split to held_out_share",
				c.Train.Split)
		}
	}
	trainSource, heldSource := c.sources()
	for _, s := range []struct {
		key    string
		source data.Source
	}{{"train", trainSource}, {"held_out", heldSource}} {
		if err := s.source.Validate(); err != nil {
			return fmt.Errorf("rewards: %s: %w", s.key, err)
		}
	}
	return nil
}

func (c Config) theory() (Theory, error) {
	if err := c.ValidateData(); err != nil {
		return Theory{}, err
	}
	return Lookup(c.Theory)
}

// sources gives the train and the held-out source, the latter as a share of the
// former where it has no path.
func (c Config) sources() (trainSource, heldOut data.Source) {
	trainSource, heldOut = c.Train, c.HeldOut
	if trainSource.Seed == 0 {
		trainSource.Seed = seed.Derive(c.Seed, "reward.data")
	}
	if heldOut.Path == "" {
		limit := heldOut.Limit
		heldOut = trainSource
		trainSource.Split, heldOut.Split = data.SplitTrain, data.SplitHeldOut
		trainSource.HeldOut, heldOut.HeldOut = c.HeldOutShare, c.HeldOutShare
		heldOut.Limit = limit
	}
	if heldOut.Seed == 0 {
		heldOut.Seed = trainSource.Seed
	}
	return trainSource, heldOut
}

// Steps is the number of optimizer steps of a run over so many pairs.
func (c Config) Steps(pairs int) int64 { return c.Updates(pairs, c.Epochs) }
