package grpo

import (
	"math"
	"slices"
)

// normEps is what trl adds to a standard deviation before it divides.
const normEps = 1e-4

// Advantages of answers, [answer]. rewards is [reward][answer] with the weights of the rewards, scores their
// combination; groups of size answers lie in a row. NaN is a reward that does not judge an answer and is left out; an
// answer without any score has advantage 0. flat tells whose group (or batch, where that scales) had no spread.
//
//	above = score - baseline
//	A     = above / (std + 1e-4), std of the scores of the group or the batch, or undivided
//	GDPO: each reward as A in its group; A = Σ w_k A_k, less its mean in the batch, over its std + 1e-4
func (a *Advantage) Advantages(scores []float64, rewards [][]float64, weights []float64, size int) (
	adv []float64, flat []bool,
) {
	flat = make([]bool, len(scores))
	if a.Aggregation == NormalizeThenSum {
		adv = make([]float64, len(scores))
		for i := range adv {
			adv[i] = math.NaN()
		}
		for k, row := range rewards {
			one, _ := compareInGroups(row, size, GroupMean, ScaleGroup)
			for i, x := range one {
				if math.IsNaN(x) {
					continue
				}
				if math.IsNaN(adv[i]) {
					adv[i] = 0
				}
				adv[i] += weights[k] * x
			}
		}
		spread := standardDeviation(adv)
		adv = normalized(adv)
		for i := range flat {
			flat[i] = isZero(spread)
		}
	} else {
		adv, flat = compareInGroups(scores, size, a.Baseline, a.ScaleRewards)
		if a.NormalizeAdvantages && a.KLIn != KLInTokenReward { // else the tokens' are normalised
			adv = normalized(adv)
		}
	}
	for i := range adv {
		if math.IsNaN(adv[i]) {
			adv[i] = 0
		}
	}
	return adv, flat
}

// compareInGroups subtracts the baseline of each group and divides by a standard deviation.
func compareInGroups(scores []float64, size int, baseline Baseline, scale Scale) (adv []float64, flat []bool) {
	adv, flat = make([]float64, len(scores)), make([]bool, len(scores))
	batch := standardDeviation(scores)
	for at := 0; at < len(scores); at += size {
		group := scores[at : at+size]
		mean, spread := mean(group), standardDeviation(group)
		if scale == ScaleBatch {
			spread = batch
		}
		for i, r := range group {
			switch baseline {
			case GroupMean:
				adv[at+i] = r - mean
			case LeaveOneOut: // r - (Σ - r) / (n - 1)
				n := float64(len(judged(group)))
				adv[at+i] = (r - mean) * n / (n - 1)
			case NoBaseline:
				adv[at+i] = r
			}
			if scale != ScaleNone {
				adv[at+i] /= spread + normEps
			}
			flat[at+i] = isZero(spread)
		}
	}
	return adv, flat
}

// normalized gives numbers mean 0 and standard deviation 1.
func normalized(x []float64) []float64 {
	m, spread := mean(x), standardDeviation(x)
	out := make([]float64, len(x))
	for i := range x {
		out[i] = (x[i] - m) / (spread + normEps)
	}
	return out
}

// Returns are the advantages of the tokens of answers whose KL counts token by token (REINFORCE++, Hu et al. 2025,
// arXiv:2501.03262): what comes from a token on,
//
//	A_t = advantage of the answer - beta Σ_{s ≥ t} kl_s
//
// with mean 0 and standard deviation 1 over all tokens where normalize says so. kl is [answer][token].
func Returns(adv []float64, kl [][]float64, beta float64, normalize bool) [][]float64 {
	out := make([][]float64, len(adv))
	var all []float64
	for i, row := range kl {
		out[i] = make([]float64, len(row))
		rest := 0.0
		for t := len(row) - 1; t >= 0; t-- {
			rest += beta * row[t]
			out[i][t] = adv[i] - rest
		}
		all = append(all, out[i]...)
	}
	if !normalize {
		return out
	}
	flat := normalized(all)
	for i := range out {
		n := copy(out[i], flat)
		flat = flat[n:]
	}
	return out
}

// judged are the numbers that are not missing.
func judged(x []float64) []float64 { return slices.DeleteFunc(slices.Clone(x), math.IsNaN) }

// mean of what is not missing; NaN of nothing.
func mean(x []float64) float64 {
	x = judged(x)
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// standardDeviation of what is not missing, n-1 in the denominator; 0 of one number, NaN of none.
func standardDeviation(x []float64) float64 {
	x = judged(x)
	if len(x) == 1 {
		return 0
	}
	m, ss := mean(x), 0.0
	for _, v := range x {
		ss += (v - m) * (v - m)
	}
	return math.Sqrt(ss / float64(len(x)-1))
}

// isZero is torch.isclose with 0.
func isZero(x float64) bool { return math.Abs(x) <= 1e-8 }
