package compare

import (
	"errors"
	"fmt"
	"math"

	"steer/internal/seed"
	"steer/internal/stats"
)

// ErrManyClasses says that an MCC of more than two classes was to be compared.
var ErrManyClasses = errors.New("the MCC is compared of labels 0 and 1 only")

// Classifiers compares every model of a benchmark with every other one. The MCC of
// labels that are not 0 and 1 is [ErrManyClasses]: compare their [Accuracy].
func Classifiers(b Benchmark, opt Options) (*Family, error) {
	t, err := align(b)
	if err != nil {
		return nil, err
	}
	var pairs [][2]int
	for i := range t.models {
		for j := i + 1; j < len(t.models); j++ {
			// Later models first: "policy against SFT", "SFT against base".
			pairs = append(pairs, [2]int{j, i})
		}
	}
	return t.family(b, pairs, opt)
}

// Chosen compares the named pairs only, A against B.
func Chosen(b Benchmark, pairs [][2]string, opt Options) (*Family, error) {
	t, err := align(b)
	if err != nil {
		return nil, err
	}
	place := map[string]int{}
	for i, name := range t.models {
		place[name] = i
	}
	var list [][2]int
	for _, p := range pairs {
		i, okA := place[p[0]]
		j, okB := place[p[1]]
		if !okA || !okB {
			return nil, fmt.Errorf("compare: %s (%s): no records of %q and %q", b.Name, b.Protocol, p[0], p[1])
		}
		list = append(list, [2]int{i, j})
	}
	return t.family(b, list, opt)
}

// work is a family being computed.
type work struct {
	t     *table
	p     problem
	f     *Family
	boots []stats.Bootstrap // [model]
}

func (t *table) family(b Benchmark, pairs [][2]int, opt Options) (*Family, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	if b.Metric == MCC && !t.twoClass() {
		return nil, fmt.Errorf("compare: %s (%s): %w", b.Name, b.Protocol, ErrManyClasses)
	}
	n := len(t.ids)
	w := &work{t: t, p: t.problem(b.Metric), f: &Family{
		Benchmark: b.Name, Protocol: b.Protocol, Metric: b.Metric, Runs: len(t.pred), Items: n, LeftOut: t.leftOut,
		Options: opt, ResampleSeed: seed.Bootstrap(opt.Seed, b.Name, n),
	}}
	var err error
	if w.boots, err = bootstrap(w.p, b.Name, opt); err != nil {
		return nil, err
	}
	w.models()
	if err := w.omnibus(); err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if err := w.pair(p[0], p[1], len(pairs)); err != nil {
			return nil, err
		}
	}
	raw := make([]float64, len(w.f.Pairs))
	for i, p := range w.f.Pairs {
		raw[i] = p.P
	}
	for i, v := range stats.Holm(raw) {
		w.f.Pairs[i].Holm = v
	}
	return w.f, w.common(pairs)
}

// bootstrap draws the shared resamples: over items, and over runs where there are
// several.
func bootstrap(p problem, name string, opt Options) ([]stats.Bootstrap, error) {
	src, err := stats.NewSeeded(len(p.gold), seed.Bootstrap(opt.Seed, name, len(p.gold)))
	if err != nil {
		return nil, err
	}
	if len(p.pred) == 1 {
		return stats.BootstrapBinary(p.gold, p.pred[0], p.metric, src, opt.Resamples)
	}
	draws, err := stats.NewRunDraws(len(p.pred), seed.Derive(opt.Seed, "compare.runs."+name))
	if err != nil {
		return nil, err
	}
	return stats.TwoLevelBinary(p.gold, p.pred, p.metric, src, draws, opt.Resamples)
}

func (w *work) models() {
	_, refusals := w.t.answeredByAll()
	n, runs := len(w.t.ids), len(w.t.pred)
	for m, name := range w.t.models {
		out := Model{Name: name, Refused: refusals[m], Ties: w.t.ties[m],
			Coverage: 1 - float64(refusals[m])/float64(n*runs)}
		for r := range runs {
			for _, ok := range w.t.right(r, m) {
				if ok {
					out.Correct++
				}
			}
		}
		out.PerRun = w.values(m)
		out.Degenerate = w.f.Metric == MCC && w.t.oneClass(m)
		out.DegenerateResamples = w.boots[m].DegenerateCount()
		out.Estimate = estimate(w.boots[m], out.PerRun, w.f.Confidence).within(w.f.Metric.bounds())
		switch {
		case w.f.Metric == Accuracy && runs == 1:
			lo, hi := stats.Wilson(out.Correct, n, w.f.Confidence)
			out.Estimate = Estimate{Value: out.Value, Lo: &lo, Hi: &hi, Kind: "wilson"}
		case out.Degenerate && runs == 1: // its MCC is 0 by convention on every resample
			out.Estimate = Estimate{Value: out.Value}
		}
		w.f.Models = append(w.f.Models, out)
	}
}

// value is the metric of one model in one run.
func (w *work) value(run, model int) float64 {
	c, err := stats.CountBinary(w.p.gold, w.p.pred[run][model])
	if err != nil {
		return math.NaN() // labels were checked when the table was made
	}
	v, _ := w.p.metric(c)
	return v
}

// values are the metric in every run; nil where there is one run only.
func (w *work) values(model int) []float64 {
	if len(w.t.pred) == 1 {
		return nil
	}
	out := make([]float64, len(w.t.pred))
	for r := range out {
		out[r] = w.value(r, model)
	}
	return out
}

// estimate is the value with its interval: BCa or percentile of one run, corrected for
// their small number of several.
func estimate(b stats.Bootstrap, perRun []float64, confidence float64) Estimate {
	if len(perRun) > 1 {
		v := b.OfRuns(perRun).Interval(confidence)
		return Estimate{Value: b.Estimate, Lo: &v.Lo, Hi: &v.Hi, Kind: "two-level"}
	}
	v, ok := b.BCa(confidence)
	kind := "bca"
	if !ok {
		kind = "percentile"
	}
	return Estimate{Value: b.Estimate, Lo: &v.Lo, Hi: &v.Hi, Kind: kind}
}

// bounds are the least and the largest value of a metric.
func (m Metric) bounds() (lo, hi float64) {
	if m == MCC {
		return -1, 1
	}
	return 0, 1
}

// differences bounds the difference of two values of the metric.
func (m Metric) differences() (lo, hi float64) {
	lo, hi = m.bounds()
	return lo - hi, hi - lo
}

// within cuts an interval to what the number can be: over few runs Student's factor may carry
// it beyond.
func (e Estimate) within(lo, hi float64) Estimate {
	e.Lo, e.Hi = ptr(max(*e.Lo, lo)), ptr(min(*e.Hi, hi))
	return e
}

func (w *work) omnibus() error {
	if len(w.t.pred) > 1 {
		return nil
	}
	n := len(w.t.ids)
	right, answered := make([][]bool, n), make([][]bool, n)
	some := false
	for i := range n {
		for _, pred := range w.t.pred[0] {
			right[i] = append(right[i], pred[i] == w.t.gold[i])
			answered[i] = append(answered[i], pred[i] != refused)
			some = some || pred[i] == refused
		}
	}
	q, p, df, err := stats.CochranQ(right)
	if err != nil {
		return err
	}
	w.f.Omnibus = &Omnibus{Q: q, P: p, DF: df}
	if some {
		if q, p, df, err = stats.CochranQ(answered); err != nil {
			return err
		}
		w.f.Answered = &Omnibus{Q: q, P: p, DF: df}
	}
	return nil
}
