package metrics

import (
	"fmt"
	"math"

	"steer/eval"
	"steer/internal/seed"
	"steer/internal/stats"
	"steer/rl/run"
)

// Summary is a measurement in the making: its methods compute metrics of the items, with
// their intervals, and raise flags.
type Summary struct {
	*run.Measurement
	Settings eval.Settings
}

// New begins the summary of n items. version is that of the prompt.
func New(benchmark, protocol, model, version string, n int, set eval.Settings) *Summary {
	return &Summary{Settings: set, Measurement: &run.Measurement{
		ID: run.ID{Benchmark: benchmark, Protocol: protocol, Model: model}, N: n,
		Metrics:   map[string]float64{},
		Intervals: map[string][2]float64{},
		Provenance: run.Provenance{
			PromptVersion: version, Confidence: &set.Confidence, Resamples: &set.Resamples, Seed: &set.Seed,
			Margin: &set.Margin,
		},
	}}
}

// Set stores a metric. What is undefined (NaN, infinite) is left out, as JSON has no word
// for it.
func (s *Summary) Set(name string, v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		s.Metrics[name] = v
	}
}

// SetInterval stores the interval of a metric. One with an undefined end is left out.
func (s *Summary) SetInterval(name string, lo, hi float64) {
	if !math.IsNaN(lo+hi) && !math.IsInf(lo, 0) && !math.IsInf(hi, 0) {
		s.Intervals[name] = [2]float64{lo, hi}
	}
}

// Flag says in a word what a reader of the numbers should know.
func (s *Summary) Flag(word string) { s.Flags = append(s.Flags, word) }

// FlagCount flags the number of items that something befell, as word=n, unless it is 0.
func (s *Summary) FlagCount(word string, n int) {
	if n > 0 {
		s.Flag(fmt.Sprintf("%s=%d", word, n))
	}
}

// AddShare stores k/n with its Wilson interval; of nothing there is no share.
func (s *Summary) AddShare(name string, k, n int) {
	if n == 0 {
		return
	}
	s.Set(name, float64(k)/float64(n))
	lo, hi := stats.Wilson(k, n, s.Settings.Confidence)
	s.SetInterval(name, lo, hi)
}

// AddMean stores the mean of one value an item with its bootstrap interval (BCa where it
// exists).
func (s *Summary) AddMean(name string, values []float64) error {
	mean, v, err := s.bootstrapMean(values)
	if err != nil {
		return err
	}
	s.Set(name, mean)
	s.SetInterval(name, v.Lo, v.Hi)
	return nil
}

func (s *Summary) bootstrapMean(values []float64) (mean float64, v stats.Interval, err error) {
	resamples, err := s.Resamples(len(values))
	if err != nil {
		return 0, v, err
	}
	boot, err := stats.BootstrapMeans([][]float64{values}, resamples, s.Settings.Resamples)
	if err != nil {
		return 0, v, err
	}
	v, _ = boot[0].BCa(s.Settings.Confidence)
	return boot[0].Estimate, v, nil
}

// Resamples are those of the benchmark. They depend on the run's seed, the benchmark and
// the number of items only, so that all models and protocols share them.
func (s *Summary) Resamples(n int) (stats.Resamples, error) {
	return stats.NewSeeded(n, seed.Bootstrap(s.Settings.Seed, s.Benchmark, n))
}
