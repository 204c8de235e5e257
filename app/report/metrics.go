package report

import (
	"errors"
	"fmt"
	"io/fs"
	"math"

	"steer/rl/run"
)

// curvePoints is how many points a curve keeps, pathPoints how many where two
// metrics are drawn against one another: the rest is averaged away, because four
// noisy curves on one another show nothing.
const (
	curvePoints = 80
	pathPoints  = 20
)

// metricLog is a read metrics.jsonl: for each metric its values by step.
type metricLog struct {
	series map[string]*Series
	cut    bool // the last line was cut short and dropped
}

// Series is one metric over steps; X and Y have the same length, X ascends.
type Series struct {
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
	// Averaged is how many neighbouring values each point is the mean of; 1: none.
	Averaged int `json:"averaged,omitempty"`
}

// readMetrics reads a metrics.jsonl; a missing file gives an empty log.
func readMetrics(path string) (*metricLog, error) {
	log := &metricLog{series: map[string]*Series{}}
	records, cut, err := run.ReadMetrics(path)
	if errors.Is(err, fs.ErrNotExist) {
		return log, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	log.cut = cut
	for _, r := range records {
		for name, x := range r.Values {
			if !math.IsNaN(x) && !math.IsInf(x, 0) { // those are gaps
				log.add(name, float64(r.Step), x)
			}
		}
	}
	return log, nil
}

func (l *metricLog) add(name string, x, y float64) {
	s := l.series[name]
	if s == nil {
		s = &Series{Name: name}
		l.series[name] = s
	}
	s.X = append(s.X, x)
	s.Y = append(s.Y, y)
}

// first returns the first of the named metrics that was logged, or nil.
func (l *metricLog) first(names ...string) *Series {
	for _, n := range names {
		if s := l.series[n]; s != nil {
			return s
		}
	}
	return nil
}

// thin averages runs of neighbouring values so that at most n points remain.
// Averages are honest about level and trend, and said in the caption; they hide
// spikes, which is why warnings never depend on them.
func (s *Series) thin(n int) *Series {
	if len(s.X) <= n {
		return &Series{Name: s.Name, X: s.X, Y: s.Y, Averaged: 1}
	}
	k := (len(s.X) + n - 1) / n
	out := &Series{Name: s.Name, Averaged: k}
	for i := 0; i < len(s.X); i += k {
		j := min(i+k, len(s.X))
		var x, y float64
		for t := i; t < j; t++ {
			x += s.X[t]
			y += s.Y[t]
		}
		out.X = append(out.X, x/float64(j-i))
		out.Y = append(out.Y, y/float64(j-i))
	}
	return out
}
