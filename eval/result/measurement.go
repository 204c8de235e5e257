package result

import (
	"slices"
	"strings"

	"steer/internal/stats"
)

// ID names a measurement: a benchmark under a protocol, of a model. Parts may be empty.
type ID struct {
	Benchmark string `json:"benchmark"`
	Protocol  string `json:"protocol"`
	Model     string `json:"model"`
}

// String is how people read it.
func (id ID) String() string {
	parts := []string{id.Benchmark, id.Protocol, id.Model}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// Measurement is the outcome of one benchmark, under one protocol, for one model; an
// element of "benchmarks" in result.json (docs/report.md).
type Measurement struct {
	ID
	N       int                `json:"n"`
	Metrics map[string]float64 `json:"metrics"`
	// Intervals holds [lo, hi] of the metric of the same name.
	Intervals  map[string][2]float64 `json:"intervals,omitempty"`
	Flags      []string              `json:"flags,omitempty"`
	Provenance map[string]any        `json:"provenance,omitempty"`
	// Calibration compares forecast probabilities with what came true, where the
	// benchmark has such.
	Calibration []stats.Bin `json:"calibration,omitempty"`
}
