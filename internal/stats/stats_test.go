package stats

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProportionEdges(t *testing.T) {
	lo, hi := Wilson(0, 0, 0.95)
	require.Equal(t, [2]float64{0, 1}, [2]float64{lo, hi})
	lo, _ = Wilson(3, 2, 0.95)
	require.True(t, math.IsNaN(lo))
	lo, _ = Wilson(1, 2, 1)
	require.True(t, math.IsNaN(lo))
	// 1.6 of the evaluation notes: 40 of 59 is (.55, .78).
	lo, hi = Wilson(40, 59, 0.95)
	require.InDelta(t, .55, lo, .005)
	require.InDelta(t, .78, hi, .005)
}

func TestMCCDegenerate(t *testing.T) {
	for _, c := range []Binary{{}, {TP: 4}, {TP: 3, FP: 2}, {TN: 2, FN: 3}, {TP: 3, FN: 1}} {
		m, degenerate := c.MCC()
		require.Zero(t, m)
		require.True(t, degenerate)
		require.True(t, math.IsNaN(c.MCCStdErr()))
		m, degenerate = c.Confusion().MCC()
		require.Zero(t, m)
		require.True(t, degenerate)
	}
	m, degenerate := Binary{TP: 18, TN: 8, FP: 4, FN: 18}.MCC()
	require.False(t, degenerate)
	require.InDelta(t, .14484136, m, 1e-8)
}

func TestCountBinaryRefuses(t *testing.T) {
	_, err := CountBinary([]int{0, 1}, []int{0})
	require.ErrorContains(t, err, "2 gold labels but 1 predictions")
	_, err = CountBinary([]int{0, 2}, []int{0, 1})
	require.ErrorContains(t, err, "item 1: want labels 0 or 1, got gold 2")
}

func TestRankingRefuses(t *testing.T) {
	_, err := AUC([]int{1, 1}, []float64{1, 2})
	require.ErrorIs(t, err, ErrOneClass)
	_, err = AUC(nil, nil)
	require.ErrorIs(t, err, ErrOneClass)
	_, err = AUC([]int{0, 1}, []float64{math.NaN(), 2})
	require.ErrorContains(t, err, "NaN")
	_, err = BestThreshold([]int{0, 1}, []float64{2, 2})
	require.ErrorContains(t, err, "all 2 scores equal 2")
}

func TestThresholdSeparatesNeighbouringFloats(t *testing.T) {
	a := 1.0
	b := math.Nextafter(a, 2)
	got, err := BestThreshold([]int{0, 1}, []float64{a, b})
	require.NoError(t, err)
	require.Greater(t, got.Tau, a)
	require.LessOrEqual(t, got.Tau, b)
}

func TestThresholdKeepsPolarity(t *testing.T) {
	// The reversed rule would be perfect; ours must not flip.
	got, err := BestThreshold([]int{1, 1, 0, 0}, []float64{1, 2, 3, 4})
	require.NoError(t, err)
	require.Less(t, got.MCC, 0.0)
}

func TestMeanInterval(t *testing.T) {
	m := MeanOf([]float64{1, 2, 3, 4})
	require.InDelta(t, 2.5, m.Mean, 1e-15)
	require.InDelta(t, math.Sqrt(5.0/3), m.StdDev, 1e-15)
	v := m.Interval(0.95)
	// t(.975, 3) = 3.182446305284263.
	require.InDelta(t, 2.5-3.182446305284263*math.Sqrt(5.0/12), v.Lo, 1e-9)
	require.InDelta(t, 2.5+3.182446305284263*math.Sqrt(5.0/12), v.Hi, 1e-9)
	require.True(t, math.IsInf(MeanOf([]float64{3}).Interval(0.95).Hi, 1))
	require.True(t, math.IsNaN(MeanOf(nil).Mean))
}

func TestMcNemarOf(t *testing.T) {
	p, err := McNemarOf([]bool{true, true, false, true}, []bool{true, false, true, false})
	require.NoError(t, err)
	require.Equal(t, 2, p.B)
	require.Equal(t, 1, p.C)
	_, err = McNemarOf([]bool{true}, nil)
	require.Error(t, err)
}

func TestCochranOfTwoEqualsMcNemar(t *testing.T) {
	x := [][]bool{{true, false}, {true, false}, {true, false}, {false, true}, {true, true}}
	q, p, _, err := CochranQ(x)
	require.NoError(t, err)
	m, _ := McNemar(3, 1)
	require.InDelta(t, m.Chi2, q, 1e-12)
	require.InDelta(t, m.Chi2P, p, 1e-12)
	q, p, _, err = CochranQ([][]bool{{true, true}, {false, false}})
	require.NoError(t, err)
	require.Equal(t, [2]float64{0, 1}, [2]float64{q, p})
}

func TestTOSTRefuses(t *testing.T) {
	_, err := TOSTPaired([]float64{1, 2}, []float64{1, 2}, .1)
	require.ErrorContains(t, err, "all 2 differences equal 0")
	_, err = TOSTPaired([]float64{1, 2}, []float64{1, 3}, 0)
	require.ErrorContains(t, err, "margin")
	_, err = TOSTPaired([]float64{1}, []float64{1}, .1)
	require.ErrorContains(t, err, "two pairs")
}

// randomLabels makes gold labels and predictions of models that are right with
// probability acc.
func randomLabels(n, models int, acc float64) (gold []int, preds [][]int) {
	r := rand.New(rand.NewPCG(1, 2))
	gold = make([]int, n)
	preds = make([][]int, models)
	for m := range preds {
		preds[m] = make([]int, n)
	}
	for i := range gold {
		gold[i] = r.IntN(2)
		for m := range preds {
			preds[m][i] = gold[i]
			if r.Float64() > acc {
				preds[m][i] = 1 - gold[i]
			}
		}
	}
	return gold, preds
}

func TestBootstrapBinaryEqualsGeneral(t *testing.T) {
	// Nine models need two groups of patterns.
	gold, preds := randomLabels(60, 9, .6)
	src, err := NewSeeded(60, 7)
	require.NoError(t, err)
	fast, err := BootstrapBinary(gold, preds, MetricMCC, src, 50)
	require.NoError(t, err)
	for m, pred := range preds {
		slow, err := BootstrapFunc(src, 50, func() func([]int32) (float64, bool) {
			return func(items []int32) (float64, bool) {
				var c Binary
				for _, i := range items {
					c.add(gold[i], pred[i], 1)
				}
				return c.MCC()
			}
		})
		require.NoError(t, err)
		require.Equal(t, slow, fast[m])
	}
}

func TestBootstrapDoesNotDependOnProcessors(t *testing.T) {
	gold, preds := randomLabels(200, 2, .6)
	src, _ := NewSeeded(200, 7)
	first, err := BootstrapBinary(gold, preds, MetricMCC, src, 300)
	require.NoError(t, err)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	second, err := BootstrapBinary(gold, preds, MetricMCC, src, 300)
	require.NoError(t, err)
	require.Equal(t, first, second)
	other, _ := NewSeeded(200, 8)
	third, err := BootstrapBinary(gold, preds, MetricMCC, other, 300)
	require.NoError(t, err)
	require.NotEqual(t, first[0].Replicates, third[0].Replicates)
}

func TestBootstrapMeansAgreesWithTheory(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x, y := make([]float64, 400), make([]float64, 400)
	for i := range x {
		x[i] = r.NormFloat64()
		y[i] = x[i] + 1 + .1*r.NormFloat64()
	}
	src, _ := NewSeeded(len(x), 1)
	boots, err := BootstrapMeans([][]float64{x, y}, src, 4000)
	require.NoError(t, err)
	require.InDelta(t, MeanOf(x).StdErr, boots[0].StdErr(), .003)
	d, err := boots[1].Minus(boots[0])
	require.NoError(t, err)
	diff, _ := Differences(y, x)
	require.InDelta(t, MeanOf(diff).Mean, d.Estimate, 1e-12)
	// Paired: the common part cancels.
	require.InDelta(t, MeanOf(diff).StdErr, d.StdErr(), .0005)
	normal := MeanOf(diff).Interval(.95)
	bca, ok := d.BCa(.95)
	require.True(t, ok)
	require.InDelta(t, normal.Lo, bca.Lo, .002)
	require.InDelta(t, normal.Hi, bca.Hi, .002)
}

func TestDrawsAreUniform(t *testing.T) {
	const n, count = 7, 20000
	src, _ := NewSeeded(n, 99)
	idx := make([]int32, n)
	seen := make([]float64, n)
	for b := range count {
		src.Draw(b, idx)
		for _, i := range idx {
			seen[i]++
		}
	}
	chi := 0.0
	for _, k := range seen {
		chi += (k - count) * (k - count) / count
	}
	require.Less(t, chi, 22.46) // 99.9% of chi-squared with 6 degrees of freedom
}

func TestStratifiedKeepsLabelCounts(t *testing.T) {
	labels := []int{1, 0, 0, 1, 0, 0, 0, 2}
	src, err := NewStratified(labels, 5)
	require.NoError(t, err)
	idx := make([]int32, len(labels))
	varies := false
	for b := range 50 {
		src.Draw(b, idx)
		var k [3]int
		for _, i := range idx {
			k[labels[i]]++
		}
		require.Equal(t, [3]int{5, 2, 1}, k)
		varies = varies || idx[0] != idx[1]
	}
	require.True(t, varies)
}

func TestBootstrapRefuses(t *testing.T) {
	_, err := NewSeeded(0, 1)
	require.Error(t, err)
	_, err = NewStratified(nil, 1)
	require.Error(t, err)
	src, _ := NewSeeded(3, 1)
	_, err = BootstrapMeans([][]float64{{1, 2}}, src, 10)
	require.ErrorContains(t, err, "resamples are of 3 items, the sample has 2")
	_, err = BootstrapMeans([][]float64{{1, 2, 3}}, src, 0)
	require.ErrorContains(t, err, "at least one")
	_, err = BootstrapMeans([][]float64{{1, 2, 3}, {1}}, src, 2)
	require.ErrorContains(t, err, "column 1 has 1 items")
	_, err = BootstrapBinary([]int{0, 1}, [][]int{{0, 1}}, MetricMCC, Fixed{{0, 1}}, 2)
	require.ErrorContains(t, err, "only 1 index vectors")
	_, err = Bootstrap{Replicates: []float64{1}}.Minus(Bootstrap{})
	require.ErrorContains(t, err, "unpaired")
}

func TestBCaFallsBack(t *testing.T) {
	b := Bootstrap{Estimate: 5, Replicates: []float64{1, 2, 3}, Jackknife: []float64{1, 2}}
	v, ok := b.BCa(.95)
	require.False(t, ok)
	require.Equal(t, b.Percentile(.95), v)
	constant := Bootstrap{Estimate: 1, Replicates: []float64{1, 1}, Jackknife: []float64{1, 1}}
	_, ok = constant.BCa(.95)
	require.False(t, ok)
}

func TestPermuteBinaryEqualsEnumeration(t *testing.T) {
	gold, preds := randomLabels(11, 2, .5)
	got, err := PermuteBinary(gold, preds[0], preds[1], MetricMCC)
	require.NoError(t, err)
	hits := 0
	for pattern := range 1 << len(gold) {
		var a, b Binary
		for i, g := range gold {
			x, y := preds[0][i], preds[1][i]
			if pattern>>i&1 == 1 {
				x, y = y, x
			}
			a.add(g, x, 1)
			b.add(g, y, 1)
		}
		va, _ := a.MCC()
		vb, _ := b.MCC()
		if math.Abs(va-vb) >= math.Abs(got.Observed)-tieSlack {
			hits++
		}
	}
	require.InDelta(t, float64(hits)/float64(int(1)<<len(gold)), got.P, 1e-12)
}

func TestSampledPermutationApproachesExact(t *testing.T) {
	a := []float64{1.06, 0.11, -0.19, 1.45, -1.75, -1.29, .4, .3}
	b := []float64{0.68, 0.65, 0.34, 2.91, -1.85, -0.39, .9, .1}
	exact, err := PermuteMeans(a, b, 0, 0)
	require.NoError(t, err)
	require.True(t, exact.Exact)
	d, _ := Differences(a, b)
	got, err := PermuteFunc(len(a), 20000, 3, func() func([]uint64) float64 {
		return func(swap []uint64) float64 {
			sum := 0.0
			for i, v := range d {
				if swap[0]>>i&1 == 1 {
					v = -v
				}
				sum += v
			}
			return sum / float64(len(d))
		}
	})
	require.NoError(t, err)
	require.InDelta(t, exact.P, got.P, .015)

	// More than twenty items: sampled, and the same again with the same seed.
	long := func(x []float64) []float64 { return append(append(append([]float64{}, x...), x...), x...) }
	p1, err := PermuteMeans(long(a), long(b), 5000, 9)
	require.NoError(t, err)
	require.False(t, p1.Exact)
	p2, _ := PermuteMeans(long(a), long(b), 5000, 9)
	require.Equal(t, p1, p2)
	_, err = PermuteMeans(long(a), long(b), 0, 9)
	require.ErrorContains(t, err, "at least one")
}

// The promise is 10,000 resamples of 2,500 items under six models within two
// seconds on two cores.
func BenchmarkBootstrapMCC(b *testing.B) {
	gold, preds := randomLabels(2500, 6, .6)
	src, _ := NewSeeded(2500, 1)
	for b.Loop() {
		if _, err := BootstrapBinary(gold, preds, MetricMCC, src, 10000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBootstrapMeans(b *testing.B) {
	columns := make([][]float64, 6)
	r := rand.New(rand.NewPCG(1, 2))
	for m := range columns {
		columns[m] = make([]float64, 2500)
		for i := range columns[m] {
			columns[m][i] = r.NormFloat64()
		}
	}
	src, _ := NewSeeded(2500, 1)
	for b.Loop() {
		if _, err := BootstrapMeans(columns, src, 10000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPermuteMCC(b *testing.B) {
	gold, preds := randomLabels(2500, 2, .6)
	for b.Loop() {
		if _, err := PermuteBinary(gold, preds[0], preds[1], MetricMCC); err != nil {
			b.Fatal(err)
		}
	}
}
