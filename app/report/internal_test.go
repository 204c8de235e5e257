package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval/compare"
	"steer/internal/stats"
	"steer/rl/run"
)

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[float64]string{0: "0.000", -0.0001: "0.000", 0.12345: "0.123", -1.5: "-1.500",
		12.345: "12.35", 1234.56: "1234.6", 2e9: "2e+09"} {
		require.Equal(t, want, num(v))
	}
	p := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		mean, lo, hi float64
		want         string
	}{
		{0.812, 0.765, 0.851, "0.812 [0.765, 0.851]"},
		{60, 57, 63, "60.0 [57.0, 63.0]"},
		{0.104, 0.004, 0.204, "0.104 [0.004, 0.204]"}, // an end that is not 0 does not look like 0
		{-0.1, -0.2, 0, "-0.10 [-0.20, 0.00]"},
		{0.5, 0.5, 0.5, "0.500 [0.500, 0.500]"},
		{-1, -1, -1 + 1e-16, "-1.000 [-1.000, -1.000]"},
		{1e-9, -1e-9, 2e-9, "0.00000 [0.00000, 0.00000]"},
	} {
		require.Equal(t, c.want, Interval{Mean: c.mean, Lo: p(c.lo), Hi: p(c.hi)}.text())
	}
	require.Equal(t, "0.500", Interval{Mean: 0.5}.text())
	require.Equal(t, "1,234,567", group(1234567))
	require.Equal(t, "-123", group(-123))
	require.Equal(t, "a, b and c", list([]string{"a", "b", "c"}))
	require.Equal(t, "\u22120.5 [\u22121, 2] step-1", minus("-0.5 [-1, 2] step-1"))
	require.Equal(t, `steer 'it'\''s' --x=1 ''`, shellLine([]string{"steer", "it's", "--x=1", ""}))
}

func TestThinAveragesRuns(t *testing.T) {
	s := &Series{X: []float64{1, 2, 3, 4, 5}, Y: []float64{1, 3, 5, 7, 10}}
	got := s.thin(3)
	require.Equal(t, &Series{X: []float64{1.5, 3.5, 5}, Y: []float64{2, 6, 10}, Averaged: 2}, got)
	require.Equal(t, 1, s.thin(5).Averaged)
}

func TestJoinStepsPairsWhatBothLogged(t *testing.T) {
	a := &Series{Name: "a", X: []float64{1, 2, 4, 6}, Y: []float64{10, 20, 40, 60}}
	b := &Series{Name: "b", X: []float64{2, 3, 4, 5, 6}, Y: []float64{-2, -3, -4, -5, -6}}
	got := joinSteps(a, b)
	require.Equal(t, []float64{20, 40, 60}, got.X)
	require.Equal(t, []float64{-2, -4, -6}, got.Y)
}

func TestHistogramsShareBinsAndHaveAreaOne(t *testing.T) {
	hs := binAlike([]run.Histogram{{Name: "a", Values: []float64{0, 1, 2}}, {Name: "b", Values: []float64{4}},
		{Name: "c", Edges: []float64{0, 2, 3}, Counts: []float64{1, 3}}})
	require.Equal(t, hs[0].Edges, hs[1].Edges)
	require.InDelta(t, 4, hs[1].Edges[histogramBins], 1e-12)
	require.Equal(t, 1.0, hs[1].Counts[histogramBins-1], "the largest value is in the last bin")
	require.Equal(t, []float64{0, 2, 3}, hs[2].Edges)
	var c Chart
	for _, h := range hs {
		c.outline(h, h.Name, 0, false)
	}
	for _, l := range c.Lines {
		area := 0.0
		for i := 1; i < len(l.X); i++ {
			area += (l.X[i] - l.X[i-1]) * (l.Y[i] + l.Y[i-1]) / 2
		}
		require.InDelta(t, 1, area, 1e-12, l.Label)
	}
	require.InDelta(t, 1, *c.Lines[0].Mean, 1e-12)
	require.InDelta(t, (1.0*1+3*2.5)/4, *c.Lines[2].Mean, 1e-12)
	one := binAlike([]run.Histogram{{Values: []float64{5, 5}}})
	c = Chart{}
	c.outline(one[0], "one", 0, false)
	require.Len(t, c.Lines, 1)
	c.outline(run.Histogram{Edges: []float64{0, 1}, Counts: []float64{0}}, "none", 0, false)
	require.Len(t, c.Lines, 1, "an empty histogram is not drawn")
}

func TestMeanOfCurvesCoversWhatAllCover(t *testing.T) {
	m := meanSeries("m", []Series{{X: []float64{0, 2, 4}, Y: []float64{0, 2, 4}},
		{X: []float64{1, 3}, Y: []float64{10, 30}}})
	require.Equal(t, []float64{1, 2, 3}, m.X)
	require.Equal(t, []float64{(1. + 10) / 2, (2. + 20) / 2, (3. + 30) / 2}, m.Y)
	require.Empty(t, meanSeries("m",
		[]Series{{X: []float64{0, 1}, Y: []float64{0, 1}}, {X: []float64{5}, Y: []float64{1}}}).X)
	require.Empty(t, meanSeries("m", []Series{{X: []float64{0}, Y: []float64{0}}, {}}).X)
}

func TestPoolKeepsEveryCount(t *testing.T) {
	in := map[string][]run.Histogram{
		"a": {{Edges: []float64{0, 1, 2}, Counts: []float64{4, 6}},
			{Edges: []float64{0.5, 2.5}, Counts: []float64{10}}},
		"b": {{Values: []float64{0, 2.5, 2.5}}},
	}
	out := pool([]string{"a", "b"}, in)
	sum := func(v []float64) (s float64) {
		for _, x := range v {
			s += x
		}
		return s
	}
	require.InDelta(t, 20, sum(out[0].Counts), 1e-9)
	require.Equal(t, 3., sum(out[1].Counts))
	require.Equal(t, out[0].Edges, out[1].Edges)
	require.Equal(t, 2.5, out[0].Edges[len(out[0].Edges)-1])
	require.Nil(t, out[0].Values)
	require.Len(t, out[1].Values, 3)
	h := rescaled(run.Histogram{Edges: []float64{1, 3}, Counts: []float64{1}}, run.Normalisation{Mean: 1, Std: 2})
	require.Equal(t, []float64{0, 1}, h.Edges)
}

func TestPooledBinsHaveTheErrorOfAll(t *testing.T) {
	bins, ece := poolBins([]stats.Bin{{Lo: .5, Hi: 1, N: 10, Forecast: .8, Observed: .6},
		{Lo: 0, Hi: .5, N: 10, Forecast: .4, Observed: .4}, {Lo: .5, Hi: 1, N: 30, Forecast: .6, Observed: .6}})
	require.Len(t, bins, 2)
	require.Equal(t, 0., bins[0].Lo)
	require.Equal(t, 40, bins[1].N)
	require.InDelta(t, .65, bins[1].Forecast, 1e-12)
	require.InDelta(t, .6, bins[1].Observed, 1e-12)
	require.InDelta(t, 40./50*.05, ece, 1e-12)
}

func TestMarkdownEscapesAllButIntervals(t *testing.T) {
	for in, want := range map[string]string{
		"+0.1 [-0.2, 0.30]; [1e-05, 2]": "+0.1 [-0.2, 0.30]; [1e-05, 2]",
		"[0.1, 0.2](javascript:x)":      `\[0.1, 0.2](javascript:x)`,
		"[0.1, 0.2]: x":                 `\[0.1, 0.2]: x`,
		"[a](b) *c* <d> |":              `\[a](b) \*c\* &lt;d&gt; \|`,
	} {
		require.Equal(t, want, escapeMD(in))
	}
}

// An interval as wide as the metric's whole range, as over two runs, excludes nothing.
func TestWhatIsLeftOpen(t *testing.T) {
	p := func(v float64) *float64 { return &v }
	pair := compare.Pair{A: "a", B: "b", Simultaneous: &compare.Estimate{Lo: p(-0.2), Hi: p(0.3)}}
	r := &Report{
		Benchmarks: []BenchmarkTable{{Benchmark: "scruples", Protocol: "loglik", Columns: []string{"mcc"}}},
		Tests: []*compare.Family{{Benchmark: "scruples", Protocol: "loglik", Metric: "mcc",
			Options: compare.Options{Confidence: 0.95, Margin: 0.05}, Pairs: []compare.Pair{pair}}},
	}
	require.Contains(t, r.leftOpen(), "on Scruples (loglik), differences of MCC larger than 0.3 between any two "+
		"models are excluded (simultaneous")
	r.Tests[0].Pairs[0].Simultaneous.Hi = p(1.6)
	require.Contains(t, r.leftOpen(), "on Scruples (loglik), no difference of MCC between any two models is excluded "+
		"(simultaneous 95 % intervals), equivalence")
}

// Chance is .5, not 0: what is said of a reward model rests on which side of it the whole
// interval lies, and that side can be read from the numbers shown.
func TestClaimsOfRewardModelsExcludeChance(t *testing.T) {
	accuracy := func(mean, lo, hi float64) PairAccuracy {
		return PairAccuracy{Theory: "x", Accuracy: Interval{Mean: mean, Lo: &lo, Hi: &hi, mark: chance}}
	}
	for _, c := range []struct {
		a                    PairAccuracy
		side                 int
		text, verdict, flags string
	}{
		{accuracy(.585, .495, .67), 0, "0.585 [0.495, 0.670]", "Better than chance was not shown for x",
			"is not told apart from chance"},
		{accuracy(.59, .5003, .67), 1, "0.5900 [0.5003, 0.6700]",
			"By their 95 % intervals, held-out pairs are ordered better than chance by 1 reward model: x", ""},
		{accuracy(.59, .4997, .67), 0, "0.5900 [0.4997, 0.6700]", "Better than chance was not shown for x",
			"is not told apart from chance"},
		{accuracy(.58, .5, .66), 0, "0.580 [0.500, 0.660]", "Better than chance was not shown for x",
			"is not told apart from chance"},
		{accuracy(.4, .32, .4998), -1, "0.4000 [0.3200, 0.4998]", "Worse than chance: x",
			"worse than chance (0.4000 [0.3200, 0.4998]): are chosen and rejected the right way round?"},
		{PairAccuracy{Theory: "x", Accuracy: Interval{Mean: .9, mark: chance}}, 0, "0.900",
			"Better than chance was not shown for x", "(0.900, without an interval)"},
	} {
		require.Equal(t, c.side, c.a.side(), c.text)
		require.Equal(t, c.text, c.a.Accuracy.text())
		r := &Report{Accuracies: []PairAccuracy{c.a}}
		require.Contains(t, strings.Join(r.verdictTraining(), " "), c.verdict)
		r.flagAccuracies()
		if c.flags == "" {
			require.Empty(t, r.Flags)
		} else {
			require.Contains(t, r.Flags[0].Text, c.flags)
		}
	}
}
