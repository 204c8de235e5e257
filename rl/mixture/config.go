package mixture

import (
	"maps"
	"slices"

	"steer/rl/train"
)

// Combine names how the rewards of an answer become one.
type Combine string

// The ways, for rewards r_k with weights w_k.
const (
	// Sum is Σ w_k r_k.
	Sum Combine = "sum"
	// Min is min w_k r_k: the voice that is worst off counts (Rawls 1971, maximin). Rewards of weight 0
	// have no voice.
	Min Combine = "min"
	// Rank is the weighted mean of the answers' ranks inside the batch, 0 for the worst and 1 for the
	// best: every voice has the same scale (Borda 1781).
	Rank Combine = "rank"
	// Lexicographic is the rank inside the batch where answers are compared by the first reward, and by
	// the next only where they are equal in it. See [Config.LexicographicStep].
	Lexicographic Combine = "lexicographic"
)

// Values implements the enum check of the configuration reader.
func (Combine) Values() []string {
	return []string{string(Sum), string(Min), string(Rank), string(Lexicographic)}
}

// Normalize names what is done to each reward before they are combined.
type Normalize string

// The ways.
const (
	// NormalizeNone takes rewards as they are; those of reward models are normalised by held-out pairs.
	NormalizeNone Normalize = "none"
	// NormalizeBatch subtracts each reward's mean in the batch and divides by its standard deviation.
	NormalizeBatch Normalize = "batch"
)

// Values implements the enum check of the configuration reader.
func (Normalize) Values() []string { return []string{string(NormalizeNone), string(NormalizeBatch)} }

// Config says how several rewards become one. The zero value is the plain sum.
type Config struct {
	// Combine is sum where it is not given.
	Combine Combine `yaml:"combine,omitempty"`
	// NormalizeRewards is none where it is not given.
	NormalizeRewards Normalize `yaml:"normalize_rewards,omitempty"`
	// LexicographicStep is the grain of comparing with combine lexicographic: rewards are rounded down
	// to a multiple of it. Real numbers are never equal, and the second voice would never be heard. 0 is 0.25.
	LexicographicStep float64 `yaml:"lexicographic_step,omitempty"`
	// Constraints bound the mean of a reward over the policy's answers; a Lagrange multiplier is learned
	// for each.
	Constraints map[string]Constraint `yaml:"constraints,omitempty"`
	// ConstraintPatience is after how many iterations in a row a constraint that is not met is spoken of.
	// 0 is 20.
	ConstraintPatience int `yaml:"constraint_patience,omitempty"`
}

// Constraint bounds the mean of one reward, from one side.
type Constraint struct {
	AtLeast *float64 `yaml:"at_least,omitempty"`
	AtMost  *float64 `yaml:"at_most,omitempty"`
	// Rate is the step of the multiplier's ascent; 0 is 0.1.
	Rate float64 `yaml:"rate,omitempty"`
	// Start is the multiplier before the first iteration, Max the greatest it becomes; 0 is 10.
	Start float64 `yaml:"start,omitempty"`
	Max   float64 `yaml:"max,omitempty"`
}

// What stands for 0.
const (
	defaultRate     = 0.1
	defaultMax      = 10
	defaultStep     = 0.25
	defaultPatience = 20
)

// Check notes what is wrong with a configuration that needs no names to be seen.
func (c *Config) Check(check *train.Checks) {
	if c.Combine != "" {
		check.Enum("combine", c.Combine)
	}
	if c.NormalizeRewards != "" {
		check.Enum("normalize_rewards", c.NormalizeRewards)
	}
	check.Number("lexicographic_step", c.LexicographicStep, c.LexicographicStep >= 0, "more than 0 (or 0: 0.25)")
	check.AtLeast("constraint_patience", int64(c.ConstraintPatience), 0)
	for _, name := range slices.Sorted(maps.Keys(c.Constraints)) {
		k, key := c.Constraints[name], "constraints."+name
		if (k.AtLeast == nil) == (k.AtMost == nil) {
			check.Bad("%s: want one of at_least and at_most (\"%s: {at_least: 0.0}\")", key, name)
		}
		check.Number(key+".rate", k.Rate, k.Rate >= 0, "more than 0 (or 0: 0.1)")
		check.Number(key+".max", k.Max, k.Max >= 0, "more than 0 (or 0: 10)")
		check.Number(key+".start", k.Start, k.Start >= 0 && k.Start <= k.most(), "0 to max")
	}
}

// bound is the number that the mean is held to; sign is 1 where it is to be above, -1 where below.
func (k Constraint) bound() (bound, sign float64) {
	if k.AtLeast != nil {
		return *k.AtLeast, 1
	}
	return *k.AtMost, -1
}

func (k Constraint) rate() float64 { return orDefault(k.Rate, defaultRate) }
func (k Constraint) most() float64 { return orDefault(k.Max, defaultMax) }

func orDefault[T int | float64](x, otherwise T) T {
	if x == 0 {
		return otherwise
	}
	return x
}
