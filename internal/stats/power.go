package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// MinDetectable is the difference that a two-sided test at level alpha finds with the
// given power, for a statistic that is normal with standard error se:
//
//	(z_{1-alpha/2} + z_{power}) se
//
// For a difference of MCCs se is that of the paired bootstrap. NaN where se is not
// positive: two classifiers that agree on every item tell nothing about the spread of
// their difference.
func MinDetectable(se, alpha, power float64) float64 {
	if !(se > 0) || !validLevel(alpha, power) {
		return math.NaN()
	}
	return (distuv.UnitNormal.Quantile(1-alpha/2) + distuv.UnitNormal.Quantile(power)) * se
}

// MinDetectableAccuracy is the difference of two accuracies that McNemar's test finds
// with the given power on n shared items of which the share psi is discordant (one
// classifier right, the other wrong). It solves Connor's sample size (Biometrics 43,
// 1987) for the difference d:
//
//	n = (z_{1-alpha/2} sqrt(psi) + z_{power} sqrt(psi - d²))² / d²
//
// A difference cannot exceed psi. NaN where not even a difference of psi would be found,
// and without items or discordance.
func MinDetectableAccuracy(n int, psi, alpha, power float64) float64 {
	if n < 1 || !(psi > 0 && psi <= 1) || !validLevel(alpha, power) {
		return math.NaN()
	}
	za, zb := distuv.UnitNormal.Quantile(1-alpha/2), distuv.UnitNormal.Quantile(power)
	// The needed n falls as d grows: bisection between 0 and psi.
	need := func(d float64) float64 {
		root := za*math.Sqrt(psi) + zb*math.Sqrt(psi-d*d)
		return root * root / (d * d)
	}
	if need(psi) > float64(n) {
		return math.NaN()
	}
	lo, hi := 0.0, psi
	for range 100 {
		mid := (lo + hi) / 2
		if need(mid) > float64(n) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

func validLevel(alpha, power float64) bool {
	return alpha > 0 && alpha < 1 && power > 0 && power < 1
}
