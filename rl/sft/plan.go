package sft

import (
	"errors"
	"fmt"

	"steer/rl/data"
)

// Plan says what a run over examples comes to, without a model: optimizer steps and
// tokens. It fails on what Train would fail on before the first step.
type Plan struct {
	Counts data.Counts
	Items  int   // blocks or examples of an epoch
	Steps  int64 // optimizer steps
	Tokens int64 // through the model in training, all epochs
}

// NewPlan makes the plan of a run; eos as in Deps.
func NewPlan(c Config, examples []data.Example, eos int32) (Plan, error) {
	if err := c.Validate(); err != nil {
		return Plan{}, err
	}
	items, counts, err := c.prepare(examples, eos, false)
	if err != nil {
		return Plan{}, fmt.Errorf("sft: %w", err)
	}
	p := Plan{Counts: counts, Items: len(items), Steps: c.Steps(len(items))}
	if err := p.check(c); err != nil {
		return p, err
	}
	order := c.order(len(items))
	for step := range p.Steps {
		for _, i := range order.Span(c.Positions(step, len(items), c.Passes(len(items)))) {
			p.Tokens += items[i].Tokens()
		}
	}
	return p, nil
}

func (p Plan) check(c Config) error {
	switch {
	case p.Items > 0:
		return nil
	case c.Pack == PackRunOn && p.Counts.Remainder > 0:
		return fmt.Errorf("sft: the data fill no block of max_tokens %d: %s", c.MaxTokens, p.Counts)
	}
	return errors.New("sft: no example to train on: " + p.Counts.String())
}
