package ppo

import (
	"steer/ggml/lm"
	"steer/rl/rollout"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	// Deps is what every run that samples takes. The learner's forward pass gives log-probabilities and values.
	rollout.Deps
	// Weights are those of the scorer's rewards; nil for 1 each.
	Weights []float64
	// FullKL is needed for kl_penalty full only.
	FullKL lm.KLFunc
}

func (d *Deps) validate(c *Config) error {
	check := train.NewChecks("ppo")
	d.Deps.Check(check, &c.Sampling)
	if c.KLPenalty == rollout.KLFull && d.FullKL == nil {
		check.Error(errNoFullKL)
	}
	return check.Err()
}
