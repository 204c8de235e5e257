package rollout

import (
	"steer/ggml/lm"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	// Deps is what every trainer takes; the stage is named after the algorithm where it has no name. The
	// learner is the policy.
	train.Deps
	// Reference is what the KL is measured against: the base with the SFT adapter.
	Reference lm.Evaluator
	// Generator samples from the live weights of the policy.
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
}

// Check notes what is missing; s is how responses are sampled.
func (d *Deps) Check(check *train.Checks, s *Sampling) {
	if d.Learner == nil || d.Reference == nil || d.Generator == nil || d.Scorer == nil || d.Tokenizer == nil {
		check.Bad("policy, reference, generator, scorer and tokenizer are all needed")
		return
	}
	if len(d.Prompts) == 0 {
		check.Bad("no prompts to train on: want at least one")
	}
	if len(d.Heldout) == 1 {
		check.Bad("1 held-out prompt: want none, or two and more for an interval")
	}
	for i, p := range append(append([]Prompt(nil), d.Prompts...), d.Heldout...) {
		if len(p.Tokens) == 0 {
			check.Bad("prompt %d (%q): no token: want at least one", i, shorten(p.Text, 60))
			break
		}
	}
	if len(d.stopTokens()) == 0 && len(s.StopStrings) == 0 && s.MissingEOSPenalty > 0 {
		check.Bad("missing_eos_penalty %g, but this vocabulary has no end token and there are no stop_strings: "+
			"every response would be punished: set it to 0 or give stop_strings", s.MissingEOSPenalty)
	}
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
