package train

import (
	"fmt"
	"maps"
	"slices"
)

// Preset names a set of values that a configuration starts from.
type Preset string

// The presets. docs has a page for each trainer that lists the fields in which its presets
// differ, with the reason.
const (
	// PresetDefault is what is right today.
	PresetDefault Preset = "default"
	// PresetThesis is the published recipe that this program began with.
	PresetThesis Preset = "thesis"
)

// Values lists the presets.
func (Preset) Values() []string { return []string{string(PresetDefault), string(PresetThesis)} }

// Presets gives the configurations of a trainer by their presets.
type Presets[C any] map[Preset]func() C

// New returns the configuration of a preset; "" is the default one. trainer ("sft") begins the
// error of one that there is not.
func (p Presets[C]) New(trainer string, name Preset) (C, error) {
	if name == "" {
		name = PresetDefault
	}
	if configuration, ok := p[name]; ok {
		return configuration(), nil
	}
	var none C
	return none, fmt.Errorf("%s: preset %q: want one of %v", trainer, name, slices.Sorted(maps.Keys(p)))
}
