package benchmark

import (
	"context"
	"fmt"
	"strings"

	"steer/eval"
	"steer/rl/run"
)

// Spec describes one benchmark under one protocol, bound to a configuration.
type Spec struct {
	Name, Protocol string
	// off: the configuration names the data but does not ask for this protocol.
	off bool
	// Inputs are the data files: the measured rows first, then what else is read. The
	// benchmark is run if the first has a path.
	Inputs []Input
	// Rendered: what models read is rendered with the configuration's Template.
	Rendered bool
	// options are keys of the configuration that belong to it besides those of its inputs.
	options []string
	// skips tells, if set, whether there is nothing to measure of a model: it is what
	// the others are compared with.
	skips func(model string) bool
	// check refuses what this benchmark cannot run with, if set.
	check func() error
	// generated is about how many tokens a model writes for it, if any.
	generated func() float64
	// Load reads the data, so that a mistake in them shows before a model is asked.
	Load func() error
	// Notes say, if set, what was odd about the data, once they are loaded.
	Notes func() []string
	// Language measures a language model, or reward a reward model; one of them is set.
	Language func(context.Context, eval.Subject) (*run.Measurement, []run.Item, error)
	Reward   func(context.Context, eval.Reward) (*run.Measurement, []run.Item, error)
}

// Input is a data file as the configuration and the provenance name it.
type Input struct {
	Key    string // of the configuration: "scruples.threshold"
	Prefix string // of its keys in the provenance
	// whole: read as a whole whatever the limit, a table that rows are looked up in.
	whole bool
	*File
	// SelfDescribed: the benchmark itself describes the file in its provenance.
	SelfDescribed bool
	// derived: another file names this one, so that it is known once that is found.
	derived bool
}

// Wanted tells whether the configuration asks for the benchmark.
func (b *Spec) Wanted() bool { return !b.off && len(b.Inputs) > 0 && b.Inputs[0].Path != "" }

// MeasuresSubject tells whether the benchmark measures this language model.
func (b *Spec) MeasuresSubject(model string) bool {
	return b.Language != nil && (b.skips == nil || !b.skips(model))
}

// MeasuresRewards tells whether it measures reward models.
func (b *Spec) MeasuresRewards() bool { return b.Reward != nil }

// validate checks the windows of the data files, then what is the benchmark's own.
func (b *Spec) validate() error {
	for _, f := range b.Inputs {
		if f.First < 0 || f.Limit < 0 {
			return fmt.Errorf("eval: %s: first and limit: want 0 or more, got %d and %d", f.Key, f.First, f.Limit)
		}
	}
	if b.check != nil {
		return b.check()
	}
	return nil
}

// Sections are the keys of the configuration that belong to the benchmark.
func (b *Spec) Sections() []string {
	var out []string
	for _, f := range b.Inputs {
		section, _, _ := strings.Cut(f.Key, ".")
		out = append(out, section)
	}
	return append(out, b.options...)
}

// Work is a measurement with what it is expected to cost, in units of no meaning of their
// own: about tokens that are read.
type Work struct {
	run.ID
	Cost float64
}

// BytesPerToken of English prose, about.
const BytesPerToken = 4

// generationCost is what a generated token costs in tokens that are only read, about.
const generationCost = 4

// Cost guesses what a benchmark costs before anything was measured: the tokens of its
// data.
func (b *Spec) Cost() float64 {
	bytes := 0.0
	for _, f := range b.Inputs {
		if f.Path == "" || f.whole {
			continue
		}
		size, err := fileSize(f.Path)
		if err != nil {
			continue // it was read a moment ago; a guess can do without
		}
		if f.held > 0 {
			size = size * int64(f.measured) / int64(f.held)
		}
		bytes += float64(size)
	}
	cost := max(1, bytes/BytesPerToken)
	if b.generated != nil {
		cost += b.generated() * generationCost
	}
	return cost
}
