package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Mean is a sample mean with its spread.
type Mean struct {
	N      int     `json:"n"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"std_dev"` // n-1 in the denominator; 0 for n < 2
	StdErr float64 `json:"std_err"` // StdDev / sqrt(n), as lm-evaluation-harness reports it
}

// MeanOf computes the mean and its standard error; NaN without values.
func MeanOf(x []float64) Mean {
	m := Mean{N: len(x), Mean: math.NaN()}
	if len(x) == 0 {
		return m
	}
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	m.Mean = sum / float64(len(x))
	if len(x) > 1 {
		ss := 0.0
		for _, v := range x {
			ss += (v - m.Mean) * (v - m.Mean)
		}
		m.StdDev = math.Sqrt(ss / float64(len(x)-1))
		m.StdErr = m.StdDev / math.Sqrt(float64(len(x)))
	}
	return m
}

// Interval is Student's interval Mean ± t StdErr with n-1 degrees of freedom; for
// n < 2 it is unbounded.
func (m Mean) Interval(confidence float64) Interval {
	v := Interval{Lo: math.Inf(-1), Hi: math.Inf(1), Confidence: confidence}
	if m.N > 1 {
		half := studentsT(m.N-1).Quantile((1+confidence)/2) * m.StdErr
		v.Lo, v.Hi = m.Mean-half, m.Mean+half
	}
	return v
}

func studentsT(df int) distuv.StudentsT { return distuv.StudentsT{Sigma: 1, Nu: float64(df)} }

// Differences returns a[i] - b[i].
func Differences(a, b []float64) ([]float64, error) {
	if len(a) != len(b) {
		return nil, fmt.Errorf("stats: paired samples of different length: %d and %d", len(a), len(b))
	}
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d, nil
}

// Equivalence is the outcome of two one-sided tests (Schuirmann 1987): is the
// difference inside (-Delta, Delta)?
type Equivalence struct {
	Delta  float64 `json:"delta"`
	Mean   float64 `json:"mean"` // of the differences a - b
	DF     int     `json:"df"`
	TLower float64 `json:"t_lower"` // tests difference > -Delta
	PLower float64 `json:"p_lower"`
	TUpper float64 `json:"t_upper"` // tests difference < Delta
	PUpper float64 `json:"p_upper"`
	P      float64 `json:"p"` // the larger of the two: equivalence is shown if P < alpha
	// CI is the 1-2·alpha = 90% interval of the difference; it lies inside ±Delta
	// exactly if P < 0.05.
	CI Interval `json:"ci"`
}

// TOSTPaired tests paired samples for equivalence within ±delta by two one-sided
// paired t-tests (statsmodels' ttost_paired). It needs two pairs that do not all
// have the same difference.
func TOSTPaired(a, b []float64, delta float64) (Equivalence, error) {
	d, err := Differences(a, b)
	if err != nil {
		return Equivalence{}, err
	}
	m := MeanOf(d)
	switch {
	case !(delta > 0):
		return Equivalence{}, fmt.Errorf("stats: TOST: margin must be > 0, got %g", delta)
	case m.N < 2:
		return Equivalence{}, fmt.Errorf("stats: TOST needs two pairs, got %d", m.N)
	case m.StdErr == 0:
		return Equivalence{}, fmt.Errorf("stats: TOST: all %d differences equal %g, their spread is unknown", m.N,
			m.Mean)
	}
	e := Equivalence{Delta: delta, Mean: m.Mean, DF: m.N - 1, CI: m.Interval(0.90)}
	t := studentsT(e.DF)
	e.TLower, e.TUpper = (m.Mean+delta)/m.StdErr, (m.Mean-delta)/m.StdErr
	e.PLower, e.PUpper = t.CDF(-e.TLower), t.CDF(e.TUpper)
	e.P = math.Max(e.PLower, e.PUpper)
	return e, nil
}

// Within says whether an interval lies strictly inside ±delta. Given the 90%
// interval of a difference this is the interval form of TOST at alpha = 0.05, and
// the form to use for statistics without a t-test, such as a difference of MCCs.
func (v Interval) Within(delta float64) bool { return v.Lo > -delta && v.Hi < delta }
