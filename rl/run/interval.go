package run

import (
	"encoding/json"
	"fmt"
)

// Interval is a mean with the ends of its 95 % interval, over N values. Lo and Hi are nil where a
// file gives the number alone.
type Interval struct {
	Mean float64  `json:"mean"`
	Lo   *float64 `json:"lo,omitempty"`
	Hi   *float64 `json:"hi,omitempty"`
	N    int      `json:"n,omitempty"`
}

// NewInterval is an interval whose ends are known.
func NewInterval(mean, lo, hi float64, n int) Interval {
	return Interval{Mean: mean, Lo: &lo, Hi: &hi, N: n}
}

// Known tells whether both ends are there.
func (v Interval) Known() bool { return v.Lo != nil && v.Hi != nil }

// UnmarshalJSON takes a bare number for an interval without ends.
func (v *Interval) UnmarshalJSON(b []byte) error {
	var mean float64
	if json.Unmarshal(b, &mean) == nil {
		*v = Interval{Mean: mean}
		return nil
	}
	type plain Interval
	return json.Unmarshal(b, (*plain)(v))
}

func (v Interval) check(field string) error {
	if v.Known() && *v.Lo > *v.Hi {
		return fmt.Errorf("field %q: want lo <= hi, got [%g, %g]", field, *v.Lo, *v.Hi)
	}
	return nil
}

// Normalisation maps a raw score to (raw - Mean) / Std.
type Normalisation struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// Histogram counts scores: Counts[i] of them lie in [Edges[i], Edges[i+1]), the last bin closed;
// there is one edge more than counts. A file may give the Values themselves instead.
type Histogram struct {
	Name   string    `json:"name,omitempty"`   // of a reward model's: chosen, rejected
	Policy string    `json:"policy,omitempty"` // of the matrix: whose answers,
	Reward string    `json:"reward,omitempty"` // scored by which reward model
	Edges  []float64 `json:"edges,omitempty"`
	Counts []float64 `json:"counts,omitempty"`
	Values []float64 `json:"values,omitempty"`
}

func (h Histogram) check(field string) error {
	if len(h.Values) > 0 {
		return nil
	}
	if len(h.Edges) != len(h.Counts)+1 {
		return fmt.Errorf("field %q: want one edge more than counts, got %d edges and %d counts",
			field, len(h.Edges), len(h.Counts))
	}
	for i := 1; i < len(h.Edges); i++ {
		if h.Edges[i] <= h.Edges[i-1] {
			return fmt.Errorf("field %q: edges must ascend, edge %d is %g after %g", field, i, h.Edges[i], h.Edges[i-1])
		}
	}
	return nil
}
