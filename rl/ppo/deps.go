package ppo

import (
	"errors"
	"fmt"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/run"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	// Policy learns; its forward pass gives log-probabilities and values.
	Policy lm.Learner
	// Reference is what the KL is measured against: the base with the SFT adapter.
	Reference lm.Evaluator
	// Generator samples from the live weights of Policy.
	Generator lm.Generator
	Scorer    Scorer
	Tokenizer lm.Tokenizer
	// StopTokens end a response; empty means the tokenizer's EOS.
	StopTokens []int32
	// Prompts are trained on, Heldout are measured on. Heldout may be empty,
	// otherwise it has two or more.
	Prompts, Heldout []Prompt
	// Baseline samples from what held-out scores are compared with, the SFT model;
	// nil means the policy as it is before the first update.
	Baseline lm.Generator
	// FullKL is needed for kl_penalty full only.
	FullKL FullKLFunc

	// Stage is shown in progress lines and errors; empty means "ppo".
	Stage string
	// Run keeps checkpoints, metrics and samples; nil keeps nothing.
	Run      *run.Folder
	Progress train.Progress
	Stopper  *train.Stopper
	// AdapterOf turns the policy's state into the adapter to be written; nil writes none.
	AdapterOf func(*lm.State) (*adapter.Adapter, error)
}

func (d *Deps) validate(c *Config) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("ppo: "+format, args...)) }
	if d.Policy == nil || d.Reference == nil || d.Generator == nil || d.Scorer == nil || d.Tokenizer == nil {
		bad("policy, reference, generator, scorer and tokenizer are all needed")
		return errors.Join(errs...)
	}
	if len(d.Prompts) == 0 {
		bad("no prompts to train on: want at least one")
	}
	if len(d.Heldout) == 1 {
		bad("1 held-out prompt: want none, or two and more for an interval")
	}
	for i, p := range append(append([]Prompt(nil), d.Prompts...), d.Heldout...) {
		if len(p.Tokens) == 0 {
			bad("prompt %d (%q): no token: want at least one", i, shorten(p.Text, 60))
			break
		}
	}
	if len(d.stopTokens()) == 0 && len(c.StopStrings) == 0 && c.MissingEOSPenalty > 0 {
		bad("missing_eos_penalty %g, but this vocabulary has no end token and there are no stop_strings: "+
			"every response would be punished: set it to 0 or give stop_strings", c.MissingEOSPenalty)
	}
	if c.KLPenalty == KLFull && d.FullKL == nil {
		bad("%w", errNoFullKL)
	}
	return errors.Join(errs...)
}

func (d *Deps) stopTokens() []int32 {
	if len(d.StopTokens) > 0 {
		return d.StopTokens
	}
	if eos := d.Tokenizer.EOS(); eos >= 0 {
		return []int32{eos}
	}
	return nil
}

func (d *Deps) stage() string {
	if d.Stage == "" {
		return "ppo"
	}
	return d.Stage
}
