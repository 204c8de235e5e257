package stats

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Bootstrap is the bootstrap distribution of one statistic. Bootstraps made in
// one call share their resamples, so those of two models can be subtracted.
type Bootstrap struct {
	Estimate   float64   // on the sample itself
	Replicates []float64 // [resample]
	Jackknife  []float64 // [item]: with that item left out
	// Degenerate marks resamples on which the statistic was undefined and set to
	// its convention (0 for the MCC); nil when it cannot be.
	Degenerate []bool
}

// Minus is the paired bootstrap of the difference a - b; both must come from the
// same call.
func (a Bootstrap) Minus(b Bootstrap) (Bootstrap, error) {
	if len(a.Replicates) != len(b.Replicates) || len(a.Jackknife) != len(b.Jackknife) {
		return Bootstrap{}, fmt.Errorf("stats: difference of unpaired bootstraps: %d resamples of %d items against "+
			"%d of %d",
			len(a.Replicates), len(a.Jackknife), len(b.Replicates), len(b.Jackknife))
	}
	d := Bootstrap{Estimate: a.Estimate - b.Estimate}
	d.Replicates, _ = Differences(a.Replicates, b.Replicates)
	d.Jackknife, _ = Differences(a.Jackknife, b.Jackknife)
	if a.Degenerate != nil && b.Degenerate != nil {
		d.Degenerate = make([]bool, len(a.Degenerate))
		for i := range d.Degenerate {
			d.Degenerate[i] = a.Degenerate[i] || b.Degenerate[i]
		}
	}
	return d, nil
}

// DegenerateCount is the number of resamples on which the statistic was undefined.
func (a Bootstrap) DegenerateCount() int {
	k := 0
	for _, d := range a.Degenerate {
		if d {
			k++
		}
	}
	return k
}

// StdErr is the standard deviation of the replicates (n-1).
func (a Bootstrap) StdErr() float64 { return MeanOf(a.Replicates).StdDev }

// Percentile is the interval between the (1±confidence)/2 quantiles of the replicates.
func (a Bootstrap) Percentile(confidence float64) Interval {
	s := slices.Clone(a.Replicates)
	slices.Sort(s)
	return Interval{
		Lo:         Quantile(s, (1-confidence)/2),
		Hi:         Quantile(s, (1+confidence)/2),
		Confidence: confidence,
	}
}

// Basic is the percentile interval mirrored at the estimate ("reverse percentile").
func (a Bootstrap) Basic(confidence float64) Interval {
	p := a.Percentile(confidence)
	return Interval{Lo: 2*a.Estimate - p.Hi, Hi: 2*a.Estimate - p.Lo, Confidence: confidence}
}

// BCa is Efron's bias-corrected and accelerated interval (1987). With B
// replicates θ*, jackknife values θ_i, their mean θ̄, and z = Φ⁻¹((1±confidence)/2):
//
//	z0 = Φ⁻¹((#{θ* < θ} + #{θ* <= θ}) / 2B)
//	a  = Σ(θ̄-θ_i)³ / (6 (Σ(θ̄-θ_i)²)^{3/2})
//	α  = Φ(z0 + (z0+z) / (1 - a(z0+z)))
//
// and the ends are the α quantiles of the replicates, as in scipy.stats.bootstrap.
// Where z0 is infinite (the estimate lies outside all replicates) or the jackknife
// has no spread the correction does not exist; ok is then false and the
// percentile interval is returned.
func (a Bootstrap) BCa(confidence float64) (v Interval, ok bool) {
	z0, acc := a.bcaTerms()
	if math.IsInf(z0, 0) || math.IsNaN(z0) || math.IsNaN(acc) {
		return a.Percentile(confidence), false
	}
	s := slices.Clone(a.Replicates)
	slices.Sort(s)
	end := func(p float64) float64 {
		z := z0 + distuv.UnitNormal.Quantile(p)
		return Quantile(s, distuv.UnitNormal.CDF(z0+z/(1-acc*z)))
	}
	return Interval{Lo: end((1 - confidence) / 2), Hi: end((1 + confidence) / 2), Confidence: confidence}, true
}

// bcaTerms returns the bias correction z0 and the acceleration a.
func (a Bootstrap) bcaTerms() (z0, acc float64) {
	below := 0
	for _, r := range a.Replicates {
		if r < a.Estimate {
			below++
		}
		if r <= a.Estimate {
			below++
		}
	}
	z0 = distuv.UnitNormal.Quantile(float64(below) / (2 * float64(len(a.Replicates))))
	mean := MeanOf(a.Jackknife).Mean
	var squares, cubes float64
	for _, v := range a.Jackknife {
		d := mean - v
		squares += d * d
		cubes += d * d * d
	}
	return z0, cubes / (6 * math.Pow(squares, 1.5))
}

// Quantile interpolates linearly between order statistics of ascending values at
// position p·(n-1) (numpy's "linear", R's type 7); NaN without values.
func Quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 || math.IsNaN(p) {
		return math.NaN()
	}
	at := math.Max(0, math.Min(1, p)) * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// checkResamples refuses what would index out of range.
func checkResamples(src Resamples, items, count int) error {
	if count < 1 {
		return fmt.Errorf("stats: bootstrap with %d resamples: at least one is needed", count)
	}
	if f, isFixed := src.(Fixed); isFixed && len(f) < count {
		return fmt.Errorf("stats: bootstrap with %d resamples, but only %d index vectors are stored", count, len(f))
	}
	if src.Items() != items {
		return fmt.Errorf("stats: bootstrap: resamples are of %d items, the sample has %d", src.Items(), items)
	}
	return nil
}

// BootstrapMeans bootstraps the means of several columns measured on the same
// items (columns[model][item]) with shared resamples.
func BootstrapMeans(columns [][]float64, src Resamples, count int) ([]Bootstrap, error) {
	if len(columns) == 0 {
		return nil, fmt.Errorf("stats: bootstrap of no column")
	}
	items := len(columns[0])
	if err := checkResamples(src, items, count); err != nil {
		return nil, err
	}
	out := make([]Bootstrap, len(columns))
	for m, x := range columns {
		if len(x) != items {
			return nil, fmt.Errorf("stats: bootstrap: column %d has %d items, column 0 has %d", m, len(x), items)
		}
		out[m] = Bootstrap{Estimate: MeanOf(x).Mean, Replicates: make([]float64, count), Jackknife: leaveOneOutMeans(x)}
	}
	parallel(count, func() func(int) {
		idx := make([]int32, items)
		return func(b int) {
			src.Draw(b, idx)
			for m, x := range columns {
				sum := 0.0
				for _, i := range idx {
					sum += x[i]
				}
				out[m].Replicates[b] = sum / float64(items)
			}
		}
	})
	return out, nil
}

func leaveOneOutMeans(x []float64) []float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	jack := make([]float64, len(x))
	for i, v := range x {
		jack[i] = (sum - v) / float64(len(x)-1)
	}
	return jack
}

// BootstrapFunc bootstraps any statistic of a set of items. newStatistic is called
// once a goroutine and may own scratch space; the statistic it returns gets the
// items of a resample (or all but one, for the jackknife) and says whether it was
// degenerate there. It costs one call a resample and item: prefer
// [BootstrapMeans] and [BootstrapBinary] where they apply.
func BootstrapFunc(
	src Resamples, count int, newStatistic func() func(items []int32) (v float64, degenerate bool),
) (Bootstrap, error) {
	n := src.Items()
	if err := checkResamples(src, n, count); err != nil {
		return Bootstrap{}, err
	}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	out := Bootstrap{Replicates: make([]float64, count), Jackknife: make([]float64, n), Degenerate: make([]bool, count)}
	out.Estimate, _ = newStatistic()(all)
	parallel(count, func() func(int) {
		stat, idx := newStatistic(), make([]int32, n)
		return func(b int) {
			src.Draw(b, idx)
			out.Replicates[b], out.Degenerate[b] = stat(idx)
		}
	})
	parallel(n, func() func(int) {
		stat, idx := newStatistic(), make([]int32, n-1)
		return func(i int) {
			copy(idx, all[:i])
			copy(idx[i:], all[i+1:])
			out.Jackknife[i], _ = stat(idx)
		}
	})
	return out, nil
}
