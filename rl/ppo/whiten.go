package ppo

import (
	"errors"
	"fmt"
	"math"
)

// whitenEps keeps the division of [Whiten] finite; inside the root, as in trl.
const whitenEps = 1e-8

// ErrTooFewTokens: a variance was asked of fewer than two tokens.
var ErrTooFewTokens = errors.New("whitening needs at least two response tokens")

// Moments returns the mean and the Bessel-corrected variance (n-1 in the
// denominator) over all tokens of a ragged batch. The variance of fewer than two
// tokens, and the mean of none, is NaN.
func Moments(x [][]float64) (mean, variance float64) {
	n := 0
	for _, row := range x {
		n += len(row)
		for _, v := range row {
			mean += v
		}
	}
	mean /= float64(n)
	for _, row := range x {
		for _, v := range row {
			variance += (v - mean) * (v - mean)
		}
	}
	if n < 2 {
		return mean, math.NaN()
	}
	return mean, variance / float64(n-1)
}

// Whiten scales all tokens of a ragged batch to unit variance:
//
//	y = (x - mean) / sqrt(var + 1e-8), and + mean if keepMean
//
// keepMean false gives mean 0 (advantages), true leaves the mean where it was
// (rewards). This is masked_whiten of trl with shift_mean = !keepMean. Fewer than two
// tokens are ErrTooFewTokens, where trl gives NaN; numbers that are not finite are an
// error too.
func Whiten(x [][]float64, keepMean bool) ([][]float64, error) {
	mean, variance := Moments(x)
	if countTokens(x) < 2 {
		return nil, ErrTooFewTokens
	}
	if math.IsNaN(variance) || math.IsInf(variance, 0) {
		return nil, fmt.Errorf("whitening: the tokens are not finite (mean %v)", mean)
	}
	scale := 1 / math.Sqrt(variance+whitenEps)
	shift := 0.0
	if keepMean {
		shift = mean
	}
	out := make([][]float64, len(x))
	for s, row := range x {
		out[s] = make([]float64, len(row))
		for t, v := range row {
			out[s][t] = (v-mean)*scale + shift
		}
	}
	return out, nil
}

// whitenGroups whitens consecutive groups of size sequences on their own; 0 is one
// group. trl whitens each process's batch apart from the others'.
func whitenGroups(x [][]float64, size int, keepMean bool) ([][]float64, error) {
	if size == 0 {
		size = len(x)
	}
	out := make([][]float64, 0, len(x))
	for at := 0; at < len(x); at += size {
		group, err := Whiten(x[at:min(at+size, len(x))], keepMean)
		if err != nil {
			return nil, err
		}
		out = append(out, group...)
	}
	return out, nil
}

func countTokens(x [][]float64) int {
	n := 0
	for _, row := range x {
		n += len(row)
	}
	return n
}
