package compare_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval/compare"
	"steer/internal/stats"
	"steer/rl/run"
)

func item(id string, gold, pred int) run.Prediction {
	return run.Prediction{ID: id, Gold: &gold, Pred: &pred, Refused: pred < 0}
}

// models makes records of invented classifiers of the given accuracies on n two-class
// items; refuse is the share of refusals of each.
func models(n int, seed uint64, accuracy, refuse []float64) []compare.Input {
	r := rand.New(rand.NewPCG(seed, 1))
	gold := make([]int, n)
	for i := range gold {
		if r.Float64() < .7 {
			gold[i] = 1
		}
	}
	var out []compare.Input
	for m, acc := range accuracy {
		in := compare.Input{Model: fmt.Sprintf("m%d", m)}
		for i, g := range gold {
			p := g
			if r.Float64() > acc {
				p = 1 - g
			}
			if refuse != nil && r.Float64() < refuse[m] {
				p = -1
			}
			in.Items = append(in.Items, item(fmt.Sprint(i), g, p))
		}
		out = append(out, in)
	}
	return out
}

func columns(in compare.Input) (gold, pred []int) {
	for _, x := range in.Items {
		p := *x.Pred
		if p < 0 {
			p = 1 - *x.Gold
		}
		gold, pred = append(gold, *x.Gold), append(pred, p)
	}
	return gold, pred
}

func options() compare.Options {
	opt := compare.DefaultOptions()
	opt.Resamples = 2000
	return opt
}

func family(t *testing.T, metric compare.Metric, runs ...[]compare.Input) *compare.Family {
	t.Helper()
	f, err := compare.Classifiers(compare.Benchmark{Name: "scruples", Protocol: "loglik", Metric: metric, Runs: runs},
		options())
	require.NoError(t, err)
	return f
}

// Every number of a family is that of the statistics it names.
func TestFamilyHoldsTheStatistics(t *testing.T) {
	in := models(400, 3, []float64{.55, .6, .75}, nil)
	f := family(t, compare.MCC, in)
	require.Equal(t, []int{400, 1, 3, 3}, []int{f.Items, f.Runs, len(f.Models), len(f.Pairs)})
	require.Nil(t, f.Common)
	raw := []float64{}
	for k, want := range [][2]int{{1, 0}, {2, 0}, {2, 1}} {
		p := f.Pairs[k]
		require.Equal(t, []string{in[want[0]].Model, in[want[1]].Model}, []string{p.A, p.B})
		gold, a := columns(in[want[0]])
		_, b := columns(in[want[1]])
		perm, err := stats.PermuteBinary(gold, a, b, stats.MetricMCC)
		require.NoError(t, err)
		require.Equal(t, perm.P, p.P)
		require.InDelta(t, perm.Observed, p.Difference.Value, 1e-12)
		raw = append(raw, perm.P)
		bc := [2]int{}
		for i := range gold {
			switch {
			case a[i] == gold[i] && b[i] != gold[i]:
				bc[0]++
			case a[i] != gold[i] && b[i] == gold[i]:
				bc[1]++
			}
		}
		m, err := stats.McNemar(bc[0], bc[1])
		require.NoError(t, err)
		require.Equal(t, m, *p.McNemar)
		require.Less(t, *p.Simultaneous.Lo, *p.Difference.Lo, "simultaneous intervals are wider")
		require.Greater(t, *p.Simultaneous.Hi, *p.Difference.Hi)
		require.Greater(t, p.Equivalence.Lo, *p.Difference.Lo, "those of the equivalence test are narrower")
		require.Greater(t, *p.DetectableHolm, *p.Detectable)
	}
	for k, v := range stats.Holm(raw) {
		require.Equal(t, v, f.Pairs[k].Holm)
	}
	require.True(t, f.Pairs[1].Different(.05))
	x := make([][]bool, 400)
	for i := range x {
		for _, m := range in {
			x[i] = append(x[i], *m.Items[i].Pred == *m.Items[i].Gold)
		}
	}
	q, p, df, err := stats.CochranQ(x)
	require.NoError(t, err)
	require.Equal(t, compare.Omnibus{Q: q, P: p, DF: df}, *f.Omnibus)
	require.Nil(t, f.Answered)
}

// Of accuracies the permutation test is McNemar's exact test, and equivalence that of
// paired t-tests.
func TestAccuracy(t *testing.T) {
	in := models(900, 5, []float64{.6, .62}, nil)
	f := family(t, compare.Accuracy, in)
	p := f.Pairs[0]
	require.InDelta(t, p.McNemar.ExactP, p.P, 1e-9)
	x, y := make([]float64, 900), make([]float64, 900)
	for i := range x {
		if *in[1].Items[i].Pred == *in[1].Items[i].Gold {
			x[i] = 1
		}
		if *in[0].Items[i].Pred == *in[0].Items[i].Gold {
			y[i] = 1
		}
	}
	e, err := stats.TOSTPaired(x, y, .05)
	require.NoError(t, err)
	require.Equal(t, e.P, *p.Equivalence.P)
	require.InDelta(t, e.CI.Lo, p.Equivalence.Lo, 1e-12)
	require.Equal(t, "wilson", f.Models[0].Kind)
	want := stats.MinDetectableAccuracy(900, float64(p.McNemar.B+p.McNemar.C)/900, .05, .8)
	require.Equal(t, want, *p.Detectable)
	// Labels beyond two classes: accuracy only.
	for i := range in[0].Items {
		in[0].Items[i] = item(in[0].Items[i].ID, 3, 2)
		in[1].Items[i] = item(in[1].Items[i].ID, 3, i%4)
	}
	family(t, compare.Accuracy, in)
	_, err = compare.Classifiers(compare.Benchmark{Name: "s", Metric: compare.MCC, Runs: [][]compare.Input{in}},
		options())
	require.ErrorIs(t, err, compare.ErrManyClasses)
}

// The intervals are those of the evaluation: same seed, same resamples.
func TestIntervalsAreTheEvaluations(t *testing.T) {
	in := models(300, 9, []float64{.7, .6}, nil)
	f := family(t, compare.MCC, in)
	gold, pred := columns(in[1])
	require.EqualValues(t, 1, f.Seed)
	src, err := stats.NewSeeded(300, f.ResampleSeed)
	require.NoError(t, err)
	boot, err := stats.BootstrapBinary(gold, [][]int{pred}, stats.MetricMCC, src, 2000)
	require.NoError(t, err)
	v, ok := boot[0].BCa(.95)
	require.True(t, ok)
	require.Equal(t, []float64{v.Lo, v.Hi}, []float64{*f.Models[1].Lo, *f.Models[1].Hi})
}

func TestRefusalsAreNeverDropped(t *testing.T) {
	in := models(500, 4, []float64{.8, .8, .8}, []float64{0, .3, .6})
	f := family(t, compare.MCC, in)
	require.Equal(t, 0, f.Models[0].Refused)
	require.InDelta(t, .7, f.Models[1].Coverage, .06)
	require.NotNil(t, f.Common)
	require.Less(t, f.Answered.P, 1e-10, "they answer differently often")
	require.Less(t, f.Models[2].Value, f.Models[0].Value-.3, "a refusal is wrong")
	answeredByAll, right := 0, 0
	for i := range 500 {
		if *in[1].Items[i].Pred >= 0 && *in[2].Items[i].Pred >= 0 {
			answeredByAll++
			if *in[2].Items[i].Pred == *in[2].Items[i].Gold {
				right++
			}
		}
	}
	require.Equal(t, answeredByAll, *f.Common)
	require.InDelta(t, .55, f.Models[2].Common.Value, .15, "on common ground it is as good")
	require.InDelta(t, f.Models[2].Common.Value-f.Models[0].Common.Value, f.Pairs[1].Common.Difference.Value, 1e-12)
	require.Greater(t, f.Pairs[1].Common.P, .05)
	acc := family(t, compare.Accuracy, in)
	require.InDelta(t, float64(right)/float64(answeredByAll), acc.Models[2].Common.Value, 1e-12)

	// Nothing in common: said, not invented.
	for i := range in[0].Items {
		in[0].Items[i] = item(in[0].Items[i].ID, *in[0].Items[i].Gold, -1)
	}
	f = family(t, compare.MCC, in)
	require.Equal(t, 0, *f.Common)
	require.Nil(t, f.Models[0].Common)
	require.Equal(t, 0.0, f.Models[0].Coverage)
}

// A tie is wrong, but an answer: it lowers no coverage.
func TestTies(t *testing.T) {
	in := models(100, 8, []float64{.7, .8}, nil)
	for i := range 10 {
		x := item(in[1].Items[i].ID, *in[1].Items[i].Gold, -1)
		x.Refused, x.Tie = false, true
		in[1].Items[i] = x
	}
	f := family(t, compare.MCC, in)
	require.Equal(t, []int{10, 0}, []int{f.Models[1].Ties, f.Models[1].Refused})
	require.Equal(t, 1.0, f.Models[1].Coverage)
	require.Nil(t, f.Common)
	gold, pred := columns(in[1])
	c, err := stats.CountBinary(gold, pred)
	require.NoError(t, err)
	m, _ := c.MCC()
	require.InDelta(t, m, f.Models[1].Value, 1e-12)
}

func TestDegenerateAndIdenticalModels(t *testing.T) {
	in := models(200, 6, []float64{.7, .7, .7}, nil)
	for i := range in[0].Items {
		for _, m := range []int{0, 1} {
			in[m].Items[i] = item(in[m].Items[i].ID, *in[m].Items[i].Gold, 1)
		}
	}
	f := family(t, compare.MCC, in)
	require.True(t, f.Models[0].Degenerate && f.Models[1].Degenerate && !f.Models[2].Degenerate)
	require.Equal(t, compare.Estimate{Value: 0}, f.Models[0].Estimate, "no interval of a convention")
	p := f.Pairs[0]
	require.True(t, p.Identical)
	require.Equal(t, "both", p.Degenerate)
	require.Equal(t, 1.0, p.P)
	require.Nil(t, p.Equivalence, "agreement of two constants shows no equivalence of MCCs")
	require.Nil(t, p.Detectable)
	require.Equal(t, "b", f.Pairs[1].Degenerate)
	// Always Yes against always No: both MCCs are 0 by convention, which shows nothing.
	other := models(200, 6, []float64{.7, .7, .7}, nil)
	for i := range other[0].Items {
		other[0].Items[i] = item(other[0].Items[i].ID, *other[0].Items[i].Gold, 1)
		other[1].Items[i] = item(other[1].Items[i].ID, *other[1].Items[i].Gold, 0)
	}
	q := family(t, compare.MCC, other).Pairs[0]
	require.False(t, q.Identical)
	require.Equal(t, "both", q.Degenerate)
	require.Nil(t, q.Difference.Lo)
	require.Nil(t, q.Equivalence)
	require.Equal(t, 1.0, q.P)
	require.Less(t, q.McNemar.ExactP, .05, "their accuracies differ")
	// Of accuracies the discordant share is bounded: 0 of 200, at most 1.83 %.
	p = family(t, compare.Accuracy, in).Pairs[0]
	require.InDelta(t, 1-math.Pow(.025, 1./200), *p.Difference.Hi, 1e-9)
	require.InDelta(t, 1-math.Pow(.05, 1./200), p.Equivalence.Hi, 1e-9)
	require.True(t, p.Equivalence.Shown)
}

func TestSeveralRuns(t *testing.T) {
	var runs [][]compare.Input
	for s := range uint64(3) {
		runs = append(runs, models(300, 7, []float64{.6, .62 + .06*float64(s), .85}, nil))
	}
	f := family(t, compare.MCC, runs...)
	require.Equal(t, 3, f.Runs)
	require.Nil(t, f.Omnibus)
	require.Equal(t, []int{3, 3}, []int{len(f.Models[1].PerRun), len(f.Pairs[0].PerRun)})
	mean := (f.Models[1].PerRun[0] + f.Models[1].PerRun[1] + f.Models[1].PerRun[2]) / 3
	require.InDelta(t, mean, f.Models[1].Value, 1e-12)
	require.Equal(t, "two-level", f.Models[1].Kind)
	require.Equal(t, compare.TestTwoLevel, f.Pairs[0].Test)
	require.Nil(t, f.Pairs[0].McNemar)
	require.True(t, f.Pairs[1].Different(.05), "m2 is far above m0 in every run")
	width := func(e compare.Estimate) float64 { return *e.Hi - *e.Lo }
	one := family(t, compare.MCC, runs[1])
	require.Greater(t, width(f.Models[1].Estimate), .6*width(one.Models[1].Estimate), "seeds that differ keep the "+
		"interval wide")

	_, err := compare.Classifiers(compare.Benchmark{Name: "s", Metric: compare.MCC,
		Runs: [][]compare.Input{runs[0], runs[1][:2]}}, options())
	require.ErrorContains(t, err, "run 1 has 2 models, run 0 has 3")
	runs[1][0], runs[1][1] = runs[1][1], runs[1][0]
	_, err = compare.Classifiers(compare.Benchmark{Name: "s", Metric: compare.MCC, Runs: runs}, options())
	require.ErrorContains(t, err, `model 0 is "m1", in run 0 "m0"`)
}

// A model that answers alike to everything in one run is not alike to another in all of them.
func TestOneClassInSomeRun(t *testing.T) {
	constant := models(200, 7, []float64{.6, .8}, nil)
	for m := range constant {
		for i := range constant[m].Items {
			one := 1
			constant[m].Items[i].Pred = &one
		}
	}
	busy := models(200, 7, []float64{.6, .9}, nil)
	f := family(t, compare.MCC, constant, busy)
	require.Equal(t, "both", f.Pairs[0].Degenerate)
	require.InDelta(t, (f.Pairs[0].PerRun[0]+f.Pairs[0].PerRun[1])/2, f.Pairs[0].Difference.Value, 1e-12)
	require.NotNil(t, f.Pairs[0].Difference.Lo)
	require.Less(t, f.Pairs[0].P, 1.)

	f = family(t, compare.MCC, constant, constant)
	require.Equal(t, 1., f.Pairs[0].P)
	require.Nil(t, f.Pairs[0].Difference.Lo, "of two constants nothing is known")
}

// Two runs that differ much have a wide interval, but none wider than what an MCC can be.
func TestIntervalsStayWithinTheMetric(t *testing.T) {
	f := family(t, compare.MCC, models(60, 7, []float64{.1, .9}, nil), models(60, 7, []float64{.9, .2}, nil))
	for _, m := range f.Models {
		require.GreaterOrEqual(t, *m.Lo, -1.)
		require.LessOrEqual(t, *m.Hi, 1.)
	}
	require.Equal(t, []float64{-2, 2}, []float64{*f.Pairs[0].Difference.Lo, *f.Pairs[0].Difference.Hi})
	f = family(t, compare.Accuracy, models(60, 7, []float64{.1, .9}, nil), models(60, 7, []float64{.9, .2}, nil))
	require.Equal(t, []float64{-1, 1}, []float64{*f.Pairs[0].Difference.Lo, *f.Pairs[0].Difference.Hi})
	require.GreaterOrEqual(t, *f.Models[0].Lo, 0.)
}

// A difference over runs has to stand against items and against seeds.
func TestSeveralRunsStandBoth(t *testing.T) {
	// One run given thrice is no more than one run, also where one model nearly always gives
	// one answer and the bootstrap takes its difference for far surer than it is.
	var in [2]compare.Input
	for i := range 60 {
		gold, lopsided, good := i%2, 1, i%2
		if i < 3 {
			lopsided = 0
		}
		if i%3 == 0 {
			good = 1 - gold
		}
		for m, p := range []int{lopsided, good} {
			in[m].Model = fmt.Sprint("m", m)
			in[m].Items = append(in[m].Items, item(fmt.Sprint(i), gold, p))
		}
	}
	one := family(t, compare.MCC, in[:])
	thrice := family(t, compare.MCC, in[:], in[:], in[:])
	require.Greater(t, one.Pairs[0].P, .01)
	require.InDelta(t, one.Pairs[0].P, thrice.Pairs[0].P, .012)

	// One run of three that is far better: sure of its items, not of its seed.
	var runs [][]compare.Input
	for _, acc := range []float64{.6, .6, .97} {
		runs = append(runs, models(400, 7, []float64{.6, acc}, nil))
	}
	require.Greater(t, family(t, compare.MCC, runs...).Pairs[0].P, .05)
}

func TestItemsArePairedById(t *testing.T) {
	in := models(50, 2, []float64{.6, .8}, nil)
	want := family(t, compare.MCC, in)
	in[1].Items[3], in[1].Items[40] = in[1].Items[40], in[1].Items[3]
	require.Equal(t, want, family(t, compare.MCC, in), "the order of the second model's records does not matter")
	in[1].Items = in[1].Items[:45]
	f := family(t, compare.MCC, in)
	require.Equal(t, []int{45, 5}, []int{f.Items, f.LeftOut})
	in[1].Items[0] = item(in[1].Items[0].ID, 1-*in[1].Items[0].Gold, 1)
	bad := func(in []compare.Input, want string) {
		_, err := compare.Classifiers(compare.Benchmark{Name: "s", Protocol: "p", Metric: compare.MCC,
			Runs: [][]compare.Input{in}}, options())
		require.ErrorContains(t, err, want)
	}
	bad(in, "the records are of different data")
	in[1].Items = []run.Prediction{item("elsewhere", 1, 1)}
	bad(in, "are these records of one benchmark?")
	bad(in[:1], "at least two models")
	opt := options()
	opt.Margin = 0
	_, err := compare.Classifiers(compare.Benchmark{Name: "s", Metric: compare.MCC,
		Runs: [][]compare.Input{models(9, 1, []float64{1, 1}, nil)}}, opt)
	require.ErrorContains(t, err, "margin")
}

func TestChosenPairs(t *testing.T) {
	in := models(100, 2, []float64{.6, .8, .7}, nil)
	b := compare.Benchmark{Name: "s", Metric: compare.MCC, Runs: [][]compare.Input{in}}
	f, err := compare.Chosen(b, [][2]string{{"m0", "m2"}}, options())
	require.NoError(t, err)
	require.Len(t, f.Pairs, 1)
	require.Equal(t, f.Pairs[0].P, f.Pairs[0].Holm, "a family of one")
	_, err = compare.Chosen(b, [][2]string{{"m0", "m9"}}, options())
	require.ErrorContains(t, err, `"m9"`)
}
