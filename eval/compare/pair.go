package compare

import (
	"errors"
	"math"

	"steer/internal/seed"
	"steer/internal/stats"
)

// The tests, as a pair names them.
const (
	TestPermutation = "exact paired permutation"
	TestTwoLevel    = "the larger p of permuted items and of a two-level bootstrap over runs and items"
)

// pair compares model a with model b; size is the number of pairs of the family.
func (w *work) pair(a, b, size int) error {
	opt := w.f.Options
	d, err := w.boots[a].Minus(w.boots[b])
	if err != nil {
		return err
	}
	p := Pair{A: w.t.models[a], B: w.t.models[b], Identical: w.p.agree(a, b), Degenerate: w.oneClassOf(a, b)}
	runs := len(w.t.pred)
	if runs == 1 {
		err = w.single(&p, a, b)
	} else {
		for r := range runs {
			p.PerRun = append(p.PerRun, w.value(r, a)-w.value(r, b))
		}
		p.Test = TestTwoLevel
		p.P, err = w.p.severalRuns(d, p.PerRun, a, b, w.f.Options, w.f.Benchmark)
	}
	if err != nil {
		return err
	}
	if p.Identical || w.bothConstant(a, b) {
		w.unbounded(&p, size)
		w.f.Pairs = append(w.f.Pairs, p)
		return nil
	}
	p.Difference = estimate(d, p.PerRun, opt.Confidence).within(w.f.Metric.differences())
	p.Simultaneous = ptr(estimate(d, p.PerRun, 1-(1-opt.Confidence)/float64(size)).within(w.f.Metric.differences()))
	narrow := estimate(d, p.PerRun, 1-2*opt.Alpha)
	p.Equivalence = &Equivalence{Margin: opt.Margin, Lo: *narrow.Lo, Hi: *narrow.Hi}
	p.Equivalence.Shown = stats.Interval{Lo: *narrow.Lo, Hi: *narrow.Hi}.Within(opt.Margin)
	w.detectable(&p, d, size)
	if w.f.Metric == Accuracy && runs == 1 {
		if err := w.tost(&p, a, b); err != nil {
			return err
		}
	}
	w.f.Pairs = append(w.f.Pairs, p)
	return nil
}

// severalRuns is the p-value of a difference over runs: it has to stand both against the
// luck of items, by permutation, which holds for few items and for lopsided answers too,
// and against that of seeds, by the two-level bootstrap with its correction for few runs.
func (p problem) severalRuns(d stats.Bootstrap, perRun []float64, a, b int, opt Options, name string) (float64, error) {
	var first, second [][]int
	for _, run := range p.pred {
		first, second = append(first, run[a]), append(second, run[b])
	}
	perm, err := stats.PermuteBinaryRuns(p.gold, first, second, p.metric, opt.Resamples,
		seed.Derive(opt.Seed, "compare.permute."+name))
	if err != nil {
		return 0, err
	}
	return max(perm.P, d.OfRuns(perRun).P()), nil
}

// single adds the tests of one run.
func (w *work) single(p *Pair, a, b int) error {
	m, err := stats.McNemarOf(w.t.right(0, a), w.t.right(0, b))
	if err != nil {
		return err
	}
	p.McNemar = &m
	perm, err := stats.PermuteBinary(w.p.gold, w.p.pred[0][a], w.p.pred[0][b], w.p.metric)
	if err != nil {
		return err
	}
	p.P, p.Test = perm.P, TestPermutation
	return nil
}

// unbounded treats pairs whose resamples all give the same difference: models that agree
// on every item, and two constant ones, whose MCC is 0 by convention whatever they say.
// With 0 discordant items of n, the share of discordant ones is at most the upper end of
// the exact interval, and so is a difference of accuracies. Of a difference of MCCs
// nothing is known: an interval of width 0 would be a lie.
func (w *work) unbounded(p *Pair, size int) {
	opt := w.f.Options
	p.P = 1
	if w.f.Metric != Accuracy {
		return
	}
	n := len(w.t.ids)
	bound := func(confidence float64) Estimate {
		_, hi := stats.ClopperPearson(0, n, confidence)
		return Estimate{Lo: ptr(-hi), Hi: &hi, Kind: "clopper-pearson"}
	}
	p.Difference = bound(opt.Confidence)
	p.Simultaneous = ptr(bound(1 - (1-opt.Confidence)/float64(size)))
	e := bound(1 - 2*opt.Alpha)
	p.Equivalence = &Equivalence{Margin: opt.Margin, Lo: *e.Lo, Hi: *e.Hi, Shown: *e.Hi < opt.Margin}
}

// bothConstant tells whether in every run both models give one class to every item: their MCCs
// are then 0 whatever is drawn.
func (w *work) bothConstant(a, b int) bool {
	for r := range w.t.pred {
		if !w.t.oneClassIn(r, a) || !w.t.oneClassIn(r, b) {
			return false
		}
	}
	return w.f.Metric == MCC
}

func (w *work) oneClassOf(a, b int) string {
	if w.f.Metric != MCC {
		return ""
	}
	first, second := w.f.Models[a].Degenerate, w.f.Models[b].Degenerate
	switch {
	case first && second:
		return "both"
	case first:
		return "a"
	case second:
		return "b"
	}
	return ""
}

// detectable adds the differences that the items at hand could show.
func (w *work) detectable(p *Pair, d stats.Bootstrap, size int) {
	opt := w.f.Options
	se := d.StdErr()
	if len(p.PerRun) > 1 {
		se = d.OfRuns(p.PerRun).StdErr
	}
	at := func(alpha float64) *float64 {
		v := stats.MinDetectable(se, alpha, opt.Power)
		if w.f.Metric == Accuracy && p.McNemar != nil {
			n := len(w.t.ids)
			v = stats.MinDetectableAccuracy(n, float64(p.McNemar.B+p.McNemar.C)/float64(n), alpha, opt.Power)
		}
		if math.IsNaN(v) {
			return nil
		}
		return &v
	}
	p.Detectable, p.DetectableHolm = at(opt.Alpha), at(opt.Alpha/float64(size))
}

// tost replaces the bootstrap's equivalence interval by paired t-tests, which accuracies
// allow.
func (w *work) tost(p *Pair, a, b int) error {
	column := func(m int) []float64 {
		x := make([]float64, len(w.t.ids))
		for i, ok := range w.t.right(0, m) {
			if ok {
				x[i] = 1
			}
		}
		return x
	}
	x, y := column(a), column(b)
	e, err := stats.TOSTPaired(x, y, w.f.Margin)
	if err != nil {
		// All differences equal (one model right and the other wrong everywhere), or one
		// item: the interval of the bootstrap stands.
		return nil
	}
	v := stats.MeanOf(differences(x, y)).Interval(1 - 2*w.f.Alpha)
	p.Equivalence = &Equivalence{Margin: w.f.Margin, Lo: v.Lo, Hi: v.Hi, P: &e.P, Shown: e.P < w.f.Alpha}
	return nil
}

func differences(x, y []float64) []float64 {
	d := make([]float64, len(x))
	for i := range x {
		d[i] = x[i] - y[i]
	}
	return d
}

// common repeats estimates and differences on the items that every model answered in
// every run. Without refusals there is nothing to add.
func (w *work) common(pairs [][2]int) error {
	keep, _ := w.t.answeredByAll()
	if len(keep) == len(w.t.ids) {
		return nil
	}
	w.f.Common = ptr(len(keep))
	if len(keep) == 0 {
		return nil
	}
	sub := w.t.only(keep)
	q := sub.problem(w.f.Metric)
	boots, err := bootstrap(q, w.f.Benchmark, w.f.Options)
	if err != nil {
		return err
	}
	at := &work{t: sub, p: q}
	for m := range w.f.Models {
		e := estimate(boots[m], at.values(m), w.f.Confidence).within(w.f.Metric.bounds())
		if w.f.Metric == MCC && sub.oneClass(m) {
			e = Estimate{Value: e.Value}
		}
		w.f.Models[m].Common = &e
	}
	for k, pair := range pairs {
		d, err := boots[pair[0]].Minus(boots[pair[1]])
		if err != nil {
			return err
		}
		var perRun []float64
		if len(q.pred) > 1 {
			perRun = differences(at.values(pair[0]), at.values(pair[1]))
		}
		c := &CommonPair{Difference: estimate(d, perRun, w.f.Confidence).within(w.f.Metric.differences()), P: 1}
		switch {
		case q.agree(pair[0], pair[1]):
			c.Difference = Estimate{}
		case len(q.pred) > 1:
			if c.P, err = q.severalRuns(d, perRun, pair[0], pair[1], w.f.Options, w.f.Benchmark); err != nil {
				return err
			}
		default:
			perm, err := stats.PermuteBinary(q.gold, q.pred[0][pair[0]], q.pred[0][pair[1]], q.metric)
			if err != nil {
				return err
			}
			c.P = perm.P
		}
		w.f.Pairs[k].Common = c
	}
	return nil
}

var errNoAnswers = errors.New("no prompt was answered by every policy")

// seedOf is the seed of the permutations of one cell of the matrix.
func seedOf(opt Options, policy, reward string) uint64 {
	return seed.Derive(opt.Seed, "compare.permute."+policy+"."+reward)
}
