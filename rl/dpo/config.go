package dpo

import (
	"slices"

	"steer/rl/data"
	"steer/rl/train"
)

// Config is everything a run can be told. Start from [New].
type Config struct {
	// Preset names the values this configuration started from.
	Preset Preset `yaml:"preset"`
	// Seed determines every random choice of the run.
	Seed uint64 `yaml:"seed"`

	// Loss is what is minimised, with the constants of [Terms].
	Loss  Loss `yaml:"loss"`
	Terms `yaml:",inline"`
	// RPOAlpha weighs the SFT term: the mean of -log π over the chosen answers' tokens of a mini-batch, added to
	// the loss (RPO, Pang et al. 2024, arXiv:2404.19733). nil: what the loss has by definition, 1 in orpo and
	// cpo and 0 in the others.
	RPOAlpha *float64 `yaml:"rpo_alpha,omitempty"`
	// LDAlpha is how much the tokens of an answer count that it has beyond the length of the shorter one of its
	// pair (LD-DPO, Liu et al. 2024, arXiv:2409.06411); 1: as much as all others.
	LDAlpha float64 `yaml:"ld_alpha"`

	// MaxLength bounds prompt and answer together, in tokens.
	MaxLength int `yaml:"max_length"`
	// Overlong says what becomes of longer ones.
	Overlong data.Overlong `yaml:"overlong"`

	// LoRA is the adapter that is trained.
	LoRA train.LoRA `yaml:"lora"`
	// Optim is AdamW and the learning rate's course.
	Optim train.Optim `yaml:"optim"`
	// Batches counts pairs, or single answers.
	train.Batches `yaml:",inline"`
	// NoShuffle takes the pairs in the order given, in each epoch.
	NoShuffle bool `yaml:"no_shuffle"`

	// RatioTolerance bounds |log π - log π_ref| a token in the first step, before anything was learned; 0: unchecked.
	RatioTolerance float64 `yaml:"ratio_tolerance"`
	// EvalEvery so many steps the first EvalPairs held-out pairs are measured; 0: only after the last step.
	// The final measurement takes all of them.
	EvalEvery int64 `yaml:"eval_every"`
	EvalPairs int   `yaml:"eval_pairs"`
	// CheckpointEvery so many steps; 0: at the end, and whenever the run is stopped.
	CheckpointEvery int64 `yaml:"checkpoint_every"`
}

// Validate names the fields that are out of range or contradict each other, all of them.
func (c Config) Validate() error {
	check := train.NewChecks("dpo")
	check.Enum("loss", c.Loss)
	c.checkTerms(check)
	c.checkIgnored(check)
	check.Enum("overlong", c.Overlong)
	check.AtLeast("max_length", int64(c.MaxLength), 2)
	check.Error(c.LoRA.Validate("lora"))
	check.Error(c.Optim.Validate("optim"))
	c.Batches.Check(check)
	if c.Loss == KTO && c.MiniBatchSize == 1 {
		check.Bad("mini_batch_size: kto wants at least 2: its KL is estimated by answers to the prompts of others")
	}
	check.Number("ratio_tolerance", c.RatioTolerance, c.RatioTolerance >= 0, "at least 0 (0: unchecked)")
	check.AtLeast("eval_every", c.EvalEvery, 0)
	check.AtLeast("eval_pairs", int64(c.EvalPairs), 0)
	check.AtLeast("checkpoint_every", c.CheckpointEvery, 0)
	if c.Epochs == 0 && c.MaxSteps == 0 {
		check.Bad("epochs or max_steps: want one of them to be at least 1")
	}
	return check.Err()
}

// checkTerms looks at the range of each constant.
func (c Config) checkTerms(check *train.Checks) {
	check.Number("beta", c.Beta, c.Beta > 0, "more than 0")
	check.Number("label_smoothing", c.LabelSmoothing, c.LabelSmoothing >= 0 && c.LabelSmoothing < 0.5,
		"at least 0 and less than 0.5")
	check.Enum("f_divergence_type", c.Divergence)
	check.Number("f_alpha_divergence_coef", c.AlphaCoef, c.Divergence != Alpha || c.AlphaCoef != 1,
		"a number that is not 1 (1 is reverse_kl)")
	check.Number("discopop_tau", c.DiscopopTau, c.DiscopopTau > 0, "more than 0")
	check.Number("desirable_weight", c.DesirableWeight, c.DesirableWeight >= 0, "at least 0")
	check.Number("undesirable_weight", c.UndesirableWeight, c.UndesirableWeight >= 0, "at least 0")
	if c.DesirableWeight == 0 && c.UndesirableWeight == 0 {
		check.Bad("desirable_weight, undesirable_weight: want one of them to be more than 0")
	}
	check.Number("simpo_gamma", c.SimPOGamma, c.SimPOGamma >= 0, "at least 0")
	check.Number("alphapo", c.AlphaPO, true, "a number")
	check.Number("ld_alpha", c.LDAlpha, c.LDAlpha >= 0 && c.LDAlpha <= 1, "from 0 to 1")
	if c.RPOAlpha != nil {
		check.Number("rpo_alpha", *c.RPOAlpha, *c.RPOAlpha >= 0, "at least 0")
	}
	if c.Loss == EXOPair && c.LabelSmoothing == 0 {
		check.Bad("label_smoothing: exo_pair wants more than 0, it takes its logarithm (TRL puts 1e-3 in place of 0)")
	}
}

// Which losses read a constant.
var (
	smoothed     = []Loss{Sigmoid, SigmoidNorm, Robust, EXOPair, SimPO, CPO}
	ofDifference = []Loss{Sigmoid, SigmoidNorm, Hinge, IPO, Robust, EXOPair, Discopop}
	ofSums       = []Loss{Sigmoid, Hinge, Robust, EXOPair, NCAPair, BCOPair, SPPOHard, APOZero, APODown, Discopop}
)

// checkIgnored refuses constants that the loss would not read: nobody sets one to have it ignored.
func (c Config) checkIgnored(check *train.Checks) {
	usual := Default()
	for _, k := range []struct {
		key   string
		set   bool
		reads []Loss
	}{
		{"label_smoothing", c.LabelSmoothing != 0, smoothed},
		{"f_divergence_type", c.Divergence != ReverseKL, ofDifference},
		{"ld_alpha", c.LDAlpha != 1, ofSums},
		{"desirable_weight", c.DesirableWeight != 1, []Loss{KTO, APOZeroUnpaired}},
		{"undesirable_weight", c.UndesirableWeight != 1, []Loss{KTO, APOZeroUnpaired}},
		{"simpo_gamma", c.SimPOGamma != usual.SimPOGamma, []Loss{SimPO}},
		{"alphapo", c.AlphaPO != 0, []Loss{SimPO}},
		{"discopop_tau", c.DiscopopTau != usual.DiscopopTau, []Loss{Discopop}},
	} {
		if k.set && !slices.Contains(k.reads, c.Loss) {
			check.Bad("%s: loss %s does not read it, only %v do", k.key, c.Loss, k.reads)
		}
	}
	if c.AlphaCoef != usual.AlphaCoef && c.Divergence != Alpha {
		check.Bad("f_alpha_divergence_coef: f_divergence_type %s does not read it, only %s does", c.Divergence, Alpha)
	}
	if c.RPOAlpha != nil && *c.RPOAlpha != 0 && c.Loss.Unpaired() {
		check.Bad("rpo_alpha: loss %s has no chosen answers: set it to 0", c.Loss)
	}
}

// sftWeight is the weight of the SFT term.
func (c Config) sftWeight() float64 {
	switch {
	case c.RPOAlpha != nil:
		return *c.RPOAlpha
	case c.Loss == ORPO || c.Loss == CPO:
		return 1
	}
	return 0
}

// Steps is the number of optimizer steps of a run over so many items.
func (c Config) Steps(items int) int64 { return c.Updates(items, c.Epochs) }
