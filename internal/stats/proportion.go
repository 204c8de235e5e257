package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Wilson returns the Wilson score interval for a proportion of k successes in n
// trials at the given confidence (0.95, say):
//
//	z = Φ⁻¹((1+confidence)/2),  p = k/n
//	(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
//
// as statsmodels' proportion_confint(method="wilson") computes it. With n = 0
// nothing is known and the interval is [0, 1]. k outside [0, n] or a confidence
// outside (0, 1) gives NaN.
func Wilson(k, n int, confidence float64) (lo, hi float64) {
	if lo, hi, done := proportionEdge(k, n, confidence); done {
		return lo, hi
	}
	z := distuv.UnitNormal.Quantile((1 + confidence) / 2)
	N, p := float64(n), float64(k)/float64(n)
	den := 1 + z*z/N
	center := (p + z*z/(2*N)) / den
	half := z * math.Sqrt(p*(1-p)/N+z*z/(4*N*N)) / den
	lo, hi = math.Max(0, center-half), math.Min(1, center+half)
	// The formula reaches the ends exactly; rounding may miss them by an ulp.
	if k == 0 {
		lo = 0
	}
	if k == n {
		hi = 1
	}
	return lo, hi
}

// ClopperPearson returns the exact interval for a proportion, from the quantiles
// of the beta distribution (alpha = 1 - confidence):
//
//	lo = B⁻¹(alpha/2; k, n-k+1),  hi = B⁻¹(1-alpha/2; k+1, n-k)
//
// as statsmodels' proportion_confint(method="beta"). Edge cases as in [Wilson].
func ClopperPearson(k, n int, confidence float64) (lo, hi float64) {
	if lo, hi, done := proportionEdge(k, n, confidence); done {
		return lo, hi
	}
	tail := (1 - confidence) / 2
	K, N := float64(k), float64(n)
	lo, hi = 0, 1
	if k > 0 {
		lo = distuv.Beta{Alpha: K, Beta: N - K + 1}.Quantile(tail)
	}
	if k < n {
		hi = distuv.Beta{Alpha: K + 1, Beta: N - K}.Quantile(1 - tail)
	}
	return lo, hi
}

// NormalProportion returns the Wald interval p ± z sqrt(p(1-p)/n), cut to [0, 1].
// It is here for comparison with published numbers only: near 0 and 1 its
// coverage collapses; prefer [Wilson]. Edge cases as there.
func NormalProportion(k, n int, confidence float64) (lo, hi float64) {
	if lo, hi, done := proportionEdge(k, n, confidence); done {
		return lo, hi
	}
	z := distuv.UnitNormal.Quantile((1 + confidence) / 2)
	p := float64(k) / float64(n)
	half := z * math.Sqrt(p*(1-p)/float64(n))
	return math.Max(0, p-half), math.Min(1, p+half)
}

// AgrestiCoull returns the interval of Agresti and Coull (1998): the Wald
// interval after adding z²/2 successes and z²/2 failures. Edge cases as in [Wilson].
func AgrestiCoull(k, n int, confidence float64) (lo, hi float64) {
	if lo, hi, done := proportionEdge(k, n, confidence); done {
		return lo, hi
	}
	z := distuv.UnitNormal.Quantile((1 + confidence) / 2)
	N := float64(n) + z*z
	p := (float64(k) + z*z/2) / N
	half := z * math.Sqrt(p*(1-p)/N)
	return math.Max(0, p-half), math.Min(1, p+half)
}

func proportionEdge(k, n int, confidence float64) (lo, hi float64, done bool) {
	switch {
	case n < 0 || k < 0 || k > n || !(confidence > 0 && confidence < 1):
		return math.NaN(), math.NaN(), true
	case n == 0:
		return 0, 1, true
	}
	return 0, 0, false
}

// Interval is a closed interval with the confidence it claims.
type Interval struct {
	Lo         float64 `json:"lo"`
	Hi         float64 `json:"hi"`
	Confidence float64 `json:"confidence"`
}

// String prints the interval for people.
func (v Interval) String() string {
	return fmt.Sprintf("[%.4g, %.4g] (%g%%)", v.Lo, v.Hi, 100*v.Confidence)
}
