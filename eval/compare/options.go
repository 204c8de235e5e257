package compare

import "fmt"

// Options of all tests. The zero value is not valid; see [DefaultOptions].
type Options struct {
	Confidence float64 `json:"confidence"` // of all intervals
	// Margin is the largest difference that counts as none, in units of the metric. It
	// has to be fixed before the numbers are seen.
	Margin float64 `json:"margin"`
	Alpha  float64 `json:"alpha"` // level of the tests
	Power  float64 `json:"power"` // of the detectable differences
	// Resamples of the bootstrap.
	Resamples int    `json:"resamples"`
	Seed      uint64 `json:"seed"` // of the evaluation
}

// DefaultOptions are those of an evaluation that says nothing else.
func DefaultOptions() Options {
	return Options{Confidence: 0.95, Margin: 0.05, Alpha: 0.05, Power: 0.8, Resamples: 10000, Seed: 1}
}

func (o Options) check() error {
	for _, v := range []struct {
		name  string
		value float64
	}{{"confidence", o.Confidence}, {"margin", o.Margin}, {"alpha", o.Alpha}, {"power", o.Power}} {
		if !(v.value > 0 && v.value < 1) {
			return fmt.Errorf("compare: %s: want a number between 0 and 1, got %g", v.name, v.value)
		}
	}
	if o.Resamples < 1 {
		return fmt.Errorf("compare: resamples: want at least 1, got %d", o.Resamples)
	}
	return nil
}
