package eval

import (
	"context"
	"fmt"
	"strings"
)

// benchmark describes one benchmark under one protocol, bound to a configuration.
type benchmark struct {
	name, protocol string
	// off: the configuration names the data but does not ask for this protocol.
	off bool
	// files are the data files: the measured rows first, then what else is read. The
	// benchmark is run if the first has a path.
	files []dataFile
	// rendered: what models read is rendered with the configuration's Template.
	rendered bool
	// passesOver tells, if set, whether there is nothing to measure of a model: it is what
	// the others are compared with.
	passesOver func(model string) bool
	// check refuses what this benchmark cannot run with, if set.
	check func() error
	// generated is about how many tokens a model writes for it, if any.
	generated func() float64
	// load reads the data, so that a mistake in them shows before a model is asked.
	load func() error
	// notes say, if set, what was odd about the data, once they are loaded.
	notes func() []string
	// language measures a language model, or reward a reward model; one of them is set.
	language func(context.Context, Subject) (*Measurement, []Record, error)
	reward   func(context.Context, Reward) (*Measurement, []Record, error)
}

// dataFile is a data file as the configuration and the provenance name it.
type dataFile struct {
	key    string // of the configuration: "scruples.threshold"
	prefix string // of its keys in the provenance
	// whole: read as a whole whatever the limit, a table that rows are looked up in.
	whole bool
	*File
	// quiet: the benchmark itself describes the file in its provenance.
	quiet bool
	// derived: another file names this one, so that it is known once that is found.
	derived bool
}

func (b *benchmark) wanted() bool { return !b.off && len(b.files) > 0 && b.files[0].Path != "" }

// ofLanguage tells whether the benchmark measures this language model.
func (b *benchmark) ofLanguage(model string) bool {
	return b.language != nil && (b.passesOver == nil || !b.passesOver(model))
}

// ofReward tells whether it measures reward models.
func (b *benchmark) ofReward() bool { return b.reward != nil }

// validate checks the windows of the data files, then what is the benchmark's own.
func (b *benchmark) validate() error {
	for _, f := range b.files {
		if f.First < 0 || f.Limit < 0 {
			return fmt.Errorf("eval: %s: first and limit: want 0 or more, got %d and %d", f.key, f.First, f.Limit)
		}
	}
	if b.check != nil {
		return b.check()
	}
	return nil
}

// sections are the keys of the configuration that belong to the benchmark.
func (b *benchmark) sections() []string {
	var out []string
	for _, f := range b.files {
		section, _, _ := strings.Cut(f.key, ".")
		out = append(out, section)
	}
	return out
}

// Work is a measurement with what it is expected to cost, in units of no meaning of their
// own: about tokens that are read.
type Work struct {
	ID
	Cost float64
}

// bytesPerToken of English prose, about.
const bytesPerToken = 4

// generationCost is what a generated token costs in tokens that are only read, about.
const generationCost = 4

// cost guesses what a benchmark costs before anything was measured: the tokens of its
// data.
func (b *benchmark) cost() float64 {
	bytes := 0.0
	for _, f := range b.files {
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
	cost := max(1, bytes/bytesPerToken)
	if b.generated != nil {
		cost += b.generated() * generationCost
	}
	return cost
}
