package stats

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"
)

// One run is the plain bootstrap: every resample draws it, and the items are the same.
func TestTwoLevelOfOneRunIsTheBootstrap(t *testing.T) {
	gold, preds := randomLabels(120, 3, .7)
	src, _ := NewSeeded(120, 5)
	draws, err := NewRunDraws(1, 5)
	require.NoError(t, err)
	plain, err := BootstrapBinary(gold, preds, MetricMCC, src, 300)
	require.NoError(t, err)
	two, err := TwoLevelBinary(gold, [][][]int{preds}, MetricMCC, src, draws, 300)
	require.NoError(t, err)
	for m := range plain {
		require.InDelta(t, plain[m].Estimate, two[m].Estimate, 1e-15)
		require.InDeltaSlice(t, plain[m].Replicates, two[m].Replicates, 1e-15)
		require.Equal(t, plain[m].Degenerate, two[m].Degenerate)
	}
}

// By hand: with the items fixed, the replicates are the weighted means of the runs.
func TestTwoLevelDrawsRunsWhole(t *testing.T) {
	gold := []int{1, 1, 1, 1}
	preds := [][][]int{
		{{1, 1, 1, 1}, {0, 0, 0, 0}},
		{{1, 1, 0, 0}, {1, 1, 0, 0}},
		{{0, 0, 0, 0}, {1, 1, 1, 1}},
	}
	const count = 500
	fixed := make(Fixed, count)
	for b := range fixed {
		fixed[b] = []int32{0, 1, 2, 3}
	}
	draws, err := NewRunDraws(3, 11)
	require.NoError(t, err)
	boots, err := TwoLevelBinary(gold, preds, MetricAccuracy, fixed, draws, count)
	require.NoError(t, err)
	require.InDelta(t, 0.5, boots[0].Estimate, 1e-15)
	w, seen := make([]int, 3), map[[3]int]bool{}
	for b := range count {
		draws.Weights(b, w)
		require.Equal(t, 3, w[0]+w[1]+w[2])
		seen[[3]int(w)] = true
		require.InDelta(t, (1*float64(w[0])+.5*float64(w[1]))/3, boots[0].Replicates[b], 1e-12)
		// Both models of one resample come from the same runs.
		require.InDelta(t, 1, boots[0].Replicates[b]+boots[1].Replicates[b], 1e-12)
	}
	require.Len(t, seen, 10, "all ways to draw three of three")
}

// Where runs differ and items do not, the spread is that of a mean of drawn runs.
func TestTwoLevelMeansSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const runs, items = 8, 400
	columns := make([][][]float64, runs)
	level := make([]float64, runs)
	for k := range columns {
		level[k] = r.NormFloat64()
		x := make([]float64, items)
		for i := range x {
			x[i] = level[k] + 0.01*r.NormFloat64()
		}
		columns[k] = [][]float64{x}
	}
	src, _ := NewSeeded(items, 1)
	draws, _ := NewRunDraws(runs, 1)
	boots, err := TwoLevelMeans(columns, src, draws, 20000)
	require.NoError(t, err)
	m := MeanOf(level)
	want := m.StdDev * math.Sqrt(float64(runs-1)/float64(runs)) / math.Sqrt(runs)
	require.InDelta(t, want, boots[0].StdErr(), 0.02*want)
	v, ok := boots[0].BCa(0.95)
	require.False(t, ok, "no jackknife, no BCa")
	require.Equal(t, boots[0].Percentile(0.95), v)
}

func TestTwoLevelRefuses(t *testing.T) {
	gold, preds := randomLabels(20, 2, .7)
	src, _ := NewSeeded(20, 1)
	draws, _ := NewRunDraws(2, 1)
	_, err := NewRunDraws(0, 1)
	require.ErrorContains(t, err, "at least one")
	_, err = TwoLevelBinary(gold, nil, MetricMCC, src, draws, 10)
	require.ErrorContains(t, err, "without runs")
	_, err = TwoLevelBinary(gold, [][][]int{preds, preds[:1]}, MetricMCC, src, draws, 10)
	require.ErrorContains(t, err, "run 1 has 1 classifiers, run 0 has 2")
	_, err = TwoLevelBinary(gold, [][][]int{preds}, MetricMCC, src, draws, 10)
	require.ErrorContains(t, err, "draws are of 2 runs, the sample has 1")
	_, err = TwoLevelMeans(nil, src, draws, 10)
	require.ErrorContains(t, err, "without runs")
	_, err = TwoLevelMeans([][][]float64{{make([]float64, 20)}, {}}, src, draws, 10)
	require.ErrorContains(t, err, "run 1 has 0 columns")
}

// Where all variance lies between the runs, the correction is the t-test on their means;
// where there is none, it changes nothing.
func TestFewRunsAtBothEnds(t *testing.T) {
	const items, count = 50, 40000
	src, _ := NewSeeded(items, 1)
	draws, _ := NewRunDraws(3, 1)
	columns := func(levels ...float64) [][][]float64 {
		var out [][][]float64
		for _, l := range levels {
			x := make([]float64, items)
			for i := range x {
				x[i] = l
			}
			out = append(out, [][]float64{x})
		}
		return out
	}
	levels := []float64{1, 2, 4.5}
	boots, err := TwoLevelMeans(columns(levels...), src, draws, count)
	require.NoError(t, err)
	f, m := boots[0].OfRuns(levels), MeanOf(levels)
	require.InDelta(t, m.StdErr, f.StdErr, .01*m.StdErr)
	require.InDelta(t, 2, f.DF, .1)
	want := 2 * studentsT(2).CDF(-m.Mean/m.StdErr)
	require.InDelta(t, want, f.P(), .003)
	require.Greater(t, f.P(), .05, "three runs of one sign are no proof by themselves")

	same := columns(0, 0, 0)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range items {
		v := r.NormFloat64() + .3
		for k := range same {
			same[k][0][i] = v
		}
	}
	boots, err = TwoLevelMeans(same, src, draws, count)
	require.NoError(t, err)
	level := MeanOf(same[0][0]).Mean
	f = boots[0].OfRuns([]float64{level, level, level})
	require.True(t, math.IsInf(f.DF, 1))
	require.InDelta(t, boots[0].Percentile(.95).Lo, f.Interval(.95).Lo, 1e-12)
	require.InDelta(t, boots[0].Percentile(.95).Hi, f.Interval(.95).Hi, 1e-12)
	require.InDelta(t, 2*distuv.UnitNormal.CDF(-level/boots[0].StdErr()), f.P(), 1e-9)

	rounded := boots[0].OfRuns([]float64{level, level + 1e-16, level})
	require.True(t, math.IsInf(rounded.DF, 1))
	require.InDelta(t, f.Interval(.95).Hi, rounded.Interval(.95).Hi, 1e-9)

	none := Bootstrap{Replicates: []float64{0, 0, 0}}.OfRuns([]float64{0, 0})
	require.Equal(t, 1.0, none.P())
	require.Equal(t, Interval{Confidence: .9}, none.Interval(.9))
	lo, hi := Range([]float64{2, -1, 5})
	require.Equal(t, []float64{-1, 5}, []float64{lo, hi})
}

// The corrected 95 % interval of three runs holds the truth about as often as it says,
// whether runs or items make most of the spread; the plain one fails where runs do.
func TestFewRunsCover(t *testing.T) {
	for _, between := range []float64{.13, .5} {
		corrected, plain := coverage(t, between, 600)
		t.Logf("between runs %g: corrected %.3f, plain %.3f", between, corrected, plain)
		require.InDelta(t, .95, corrected, .03)
		if between == .5 {
			require.Less(t, plain, .85)
		}
	}
}

// coverage simulates experiments whose true value is 0.
func coverage(t *testing.T, between float64, trials int) (corrected, plain float64) {
	r := rand.New(rand.NewPCG(5, 5))
	const runs, items = 3, 60
	for trial := range trials {
		columns, level := make([][][]float64, runs), make([]float64, runs)
		common := make([]float64, items)
		for i := range common {
			common[i] = r.NormFloat64()
		}
		for k := range columns {
			shift, x := between*r.NormFloat64(), make([]float64, items)
			for i := range x {
				x[i] = shift + common[i] + .3*r.NormFloat64()
			}
			columns[k], level[k] = [][]float64{x}, MeanOf(x).Mean
		}
		src, _ := NewSeeded(items, uint64(trial))
		draws, _ := NewRunDraws(runs, uint64(trial))
		boots, err := TwoLevelMeans(columns, src, draws, 400)
		require.NoError(t, err)
		if v := boots[0].Percentile(.95); v.Lo <= 0 && v.Hi >= 0 {
			plain += 1 / float64(trials)
		}
		if v := boots[0].OfRuns(level).Interval(.95); v.Lo <= 0 && v.Hi >= 0 {
			corrected += 1 / float64(trials)
		}
	}
	return corrected, plain
}

// The power table of the reference notes, made there by simulation: RIGHT 79.4 %, TPR .6,
// TNR .55, latent correlation .5, 2,500 items: .063 unadjusted, .079 for the worst of six.
func TestMinDetectableAgreesWithSimulation(t *testing.T) {
	const n, share, tpr, tnr = 2500, .794, .6, .55
	r := rand.New(rand.NewPCG(8, 9))
	sum, trials := 0.0, 5
	for k := range trials {
		gold, preds := make([]int, n), [][]int{make([]int, n), make([]int, n)}
		for i := range gold {
			right := tnr
			if r.Float64() < share {
				gold[i], right = 1, tpr
			}
			common := r.NormFloat64()
			for m := range preds {
				u := distuv.UnitNormal.CDF(math.Sqrt(.5)*common + math.Sqrt(.5)*r.NormFloat64())
				preds[m][i] = gold[i]
				if u > right {
					preds[m][i] = 1 - gold[i]
				}
			}
		}
		src, _ := NewSeeded(n, uint64(k))
		boots, err := BootstrapBinary(gold, preds, MetricMCC, src, 2000)
		require.NoError(t, err)
		d, err := boots[0].Minus(boots[1])
		require.NoError(t, err)
		sum += d.StdErr()
	}
	se := sum / float64(trials)
	require.InDelta(t, .063, MinDetectable(se, .05, .8), .003)
	require.InDelta(t, .079, MinDetectable(se, .05/6, .8), .004)
}

// A hand-worked case, and the test's own power at the answer, by simulation of nothing
// but binomials: Connor's formula against McNemar's exact test.
func TestMinDetectableAccuracy(t *testing.T) {
	const n, psi = 500, .3
	d := MinDetectableAccuracy(n, psi, .05, .8)
	za, zb := 1.959963984540054, 0.8416212335729143
	root := za*math.Sqrt(psi) + zb*math.Sqrt(psi-d*d)
	require.InDelta(t, n, root*root/(d*d), 1e-6)
	require.InDelta(t, .0681, d, .0005)

	r := rand.New(rand.NewPCG(1, 1))
	hits, trials := 0, 4000
	for range trials {
		b, c := 0, 0
		for range n {
			switch u := r.Float64(); {
			case u < (psi+d)/2:
				b++
			case u < psi:
				c++
			}
		}
		m, err := McNemar(b, c)
		require.NoError(t, err)
		if m.MidP < .05 {
			hits++
		}
	}
	require.InDelta(t, .8, float64(hits)/float64(trials), .03)

	require.Less(t, MinDetectableAccuracy(4*n, psi, .05, .8), d, "more items, smaller difference")
	require.Greater(t, MinDetectableAccuracy(n, psi, .05/15, .8), d, "a stricter level, larger difference")
	for _, bad := range []float64{
		MinDetectableAccuracy(0, psi, .05, .8), MinDetectableAccuracy(n, 0, .05, .8),
		MinDetectableAccuracy(n, .001, .05, .8),
		MinDetectableAccuracy(n, psi, 0, .8), MinDetectable(0, .05, .8), MinDetectable(math.NaN(), .05, .8),
		MinDetectable(1, .05, 1),
	} {
		require.True(t, math.IsNaN(bad))
	}
}

// What is skipped as negligible does not show, and large tables stay quick.
func TestPermuteBinaryOfManyDiscordantItems(t *testing.T) {
	gold, preds := randomLabels(20000, 2, .6)
	start := time.Now()
	p, err := PermuteBinary(gold, preds[0], preds[1], MetricAccuracy)
	require.NoError(t, err)
	require.Less(t, time.Since(start), 3*time.Second)
	var right [2][]bool
	for m := range preds {
		for i, g := range gold {
			right[m] = append(right[m], preds[m][i] == g)
		}
	}
	m, err := McNemarOf(right[0], right[1])
	require.NoError(t, err)
	require.InDelta(t, m.ExactP, p.P, 1e-9, "of accuracies the permutation test is McNemar's")
}
