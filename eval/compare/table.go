package compare

import (
	"errors"
	"fmt"

	"steer/internal/stats"
)

// table holds the items that all models of all runs were asked, in the order of the
// first one.
type table struct {
	models  []string
	ids     []string
	gold    []int
	pred    [][][]int // [run][model][item]; refused, tied or a class
	ties    []int     // [model], over all runs
	leftOut int
}

// Predictions that are no class. Both count as wrong; a tie is an answer.
const (
	refused = -1
	tied    = -2
)

// asked counts how often each id was asked, over all inputs; it checks that the runs have
// the same models.
func (b Benchmark) asked() (count map[string]int, inputs int, err error) {
	count = map[string]int{}
	if len(b.Runs) == 0 || len(b.Runs[0]) < 2 {
		return nil, 0, errors.New("want at least two models")
	}
	for r, run := range b.Runs {
		if len(run) != len(b.Runs[0]) {
			return nil, 0, fmt.Errorf("run %d has %d models, run 0 has %d", r, len(run), len(b.Runs[0]))
		}
		for m, in := range run {
			if first := b.Runs[0][m].Model; in.Model != first {
				return nil, 0, fmt.Errorf("run %d: model %d is %q, in run 0 %q", r, m, in.Model, first)
			}
			inputs++
			for _, x := range in.Items {
				count[x.ID]++
			}
		}
	}
	return count, inputs, nil
}

// align pairs the records by id.
func align(b Benchmark) (*table, error) {
	fail := func(err error) (*table, error) {
		return nil, fmt.Errorf("compare: %s (%s): %w", b.Name, b.Protocol, err)
	}
	asked, inputs, err := b.asked()
	if err != nil {
		return fail(err)
	}
	t := &table{}
	for _, in := range b.Runs[0] {
		t.models = append(t.models, in.Model)
	}
	place := map[string]int{}
	for _, x := range b.Runs[0][0].Items {
		if asked[x.ID] == inputs {
			place[x.ID] = len(t.ids)
			t.ids, t.gold = append(t.ids, x.ID), append(t.gold, *x.Gold)
		}
	}
	if len(t.ids) == 0 {
		return fail(fmt.Errorf("no item was asked of every model (%d different ids): are these records of one "+
			"benchmark?", len(asked)))
	}
	t.leftOut = len(asked) - len(t.ids)
	t.ties = make([]int, len(t.models))
	for r, run := range b.Runs {
		t.pred = append(t.pred, make([][]int, len(run)))
		for m, in := range run {
			pred := make([]int, len(t.ids))
			for _, x := range in.Items {
				i, shared := place[x.ID]
				switch {
				case !shared:
					continue
				case *x.Gold != t.gold[i]:
					return fail(fmt.Errorf("item %q: gold label is %d for %s in run %d and %d for %s: the records "+
						"are of different data", x.ID, *x.Gold, in.Model, r, t.gold[i], t.models[0]))
				case x.Refused:
					pred[i] = refused
				case x.Tie:
					pred[i] = tied
					t.ties[m]++
				default:
					pred[i] = *x.Pred
				}
			}
			t.pred[r][m] = pred
		}
	}
	return t, nil
}

// twoClass tells whether all labels are 0 or 1.
func (t *table) twoClass() bool {
	for _, g := range t.gold {
		if g|1 != 1 {
			return false
		}
	}
	for _, run := range t.pred {
		for _, pred := range run {
			for _, p := range pred {
				if p > 1 {
					return false
				}
			}
		}
	}
	return true
}

// only keeps the items that keep names.
func (t *table) only(keep []int) *table {
	out := &table{models: t.models}
	for _, i := range keep {
		out.ids, out.gold = append(out.ids, t.ids[i]), append(out.gold, t.gold[i])
	}
	for _, run := range t.pred {
		row := make([][]int, len(run))
		for m, pred := range run {
			for _, i := range keep {
				row[m] = append(row[m], pred[i])
			}
		}
		out.pred = append(out.pred, row)
	}
	return out
}

// answeredByAll lists the items without a refusal; refusals counts the others by model,
// over all runs.
func (t *table) answeredByAll() (common []int, refusals []int) {
	refusals = make([]int, len(t.models))
	for i := range t.ids {
		all := true
		for _, run := range t.pred {
			for m, pred := range run {
				if pred[i] == refused {
					refusals[m]++
					all = false
				}
			}
		}
		if all {
			common = append(common, i)
		}
	}
	return common, refusals
}

// problem is a table in the form that the statistics take: two classes, refusals
// scored as wrong.
type problem struct {
	gold   []int
	pred   [][][]int // [run][model][item]
	metric stats.BinaryMetric
}

// problem poses the metric. Accuracy becomes a two-class problem whose gold label is
// always "right", so that both metrics share all that follows.
func (t *table) problem(metric Metric) problem {
	p := problem{gold: t.gold, metric: stats.MetricMCC}
	if metric == Accuracy {
		p.metric, p.gold = stats.MetricAccuracy, make([]int, len(t.gold))
		for i := range p.gold {
			p.gold[i] = 1
		}
	}
	for _, run := range t.pred {
		row := make([][]int, len(run))
		for m, pred := range run {
			row[m] = make([]int, len(pred))
			for i, v := range pred {
				switch {
				case metric == Accuracy && v == t.gold[i]:
					row[m][i] = 1
				case metric == MCC && v < 0:
					row[m][i] = 1 - t.gold[i]
				case metric == MCC:
					row[m][i] = v
				}
			}
		}
		p.pred = append(p.pred, row)
	}
	return p
}

// right marks what was answered rightly.
func (t *table) right(run, model int) []bool {
	out := make([]bool, len(t.gold))
	for i, p := range t.pred[run][model] {
		out[i] = p == t.gold[i]
	}
	return out
}

// oneClass tells whether a model gave one and the same answer in some run.
func (t *table) oneClass(model int) bool {
	for r := range t.pred {
		if t.oneClassIn(r, model) {
			return true
		}
	}
	return false
}

func (t *table) oneClassIn(run, model int) bool {
	seen := map[int]bool{}
	for _, p := range t.pred[run][model] {
		if p >= 0 {
			seen[p] = true
		}
	}
	return len(seen) == 1
}

// agree tells whether two models predict the same on every item of every run.
func (p problem) agree(a, b int) bool {
	for _, run := range p.pred {
		for i, v := range run[a] {
			if v != run[b][i] {
				return false
			}
		}
	}
	return true
}
