package benchmark

import (
	"math"
	"slices"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/task"
	"steer/rl/run"
)

// groups lists the groups of which all tasks are among the entries, inner ones first, each once.
func (x Tasks) groups() []*task.Group {
	var out []*task.Group
	for i := range x {
		if x[i].Member == "" || x.readTask(&x[i]) != nil || x[i].group == nil {
			continue
		}
		for _, g := range x[i].group.Groups() {
			known := func(o *task.Group) bool { return o.Name == g.Name && o.Path == g.Path }
			if !slices.ContainsFunc(out, known) {
				out = append(out, g)
			}
		}
	}
	return out
}

// Aggregate computes the means of the groups over what was measured of one model: for each group
// with an aggregate_metric_list one measurement without records.
func (x Tasks) Aggregate(set eval.Settings, measured []*run.Measurement) []*run.Measurement {
	var out []*run.Measurement
	for _, g := range x.groups() {
		if b := aggregate(g, set, measured); b != nil {
			out = append(out, b)
		}
	}
	return out
}

// part is a metric of one task of a group.
type part struct {
	value, stderr float64
	hasStdErr     bool
	n             int
}

// aggregate computes the means of one group, nil if it names none.
func aggregate(g *task.Group, set eval.Settings, measured []*run.Measurement) *run.Measurement {
	if len(g.Aggregates) == 0 {
		return nil
	}
	tasks := g.Tasks()
	of := map[string]*run.Measurement{}
	model, n := "", 0
	for _, t := range tasks {
		for _, b := range measured {
			if b.Benchmark == t.Name {
				of[t.Name], model = b, b.Model
				n += b.N
			}
		}
	}
	if len(of) < len(tasks) {
		return nil // not all were asked for
	}
	b := metrics.New(g.Name, eval.ProtocolGroup, model, g.Name, n, set)
	for _, a := range g.Aggregates {
		for _, filter := range filtersOf(a, tasks) {
			parts, name := partsOf(a, filter, tasks, of)
			if len(parts) == 0 {
				b.Flag("without_" + a.Metric)
				continue
			}
			b.FlagCount("tasks_without_"+name, len(tasks)-len(parts))
			addMean(b, name, a.BySize, parts)
		}
	}
	if g.Alias != "" {
		b.Provenance.Set("group_alias", g.Alias)
	}
	b.Provenance.Set("group", g.Path)
	b.Provenance.Set("tasks", len(tasks))
	return b.Measurement
}

// filtersOf lists the filters of an entry; those of the tasks, sorted, where it names none.
func filtersOf(a task.Aggregate, tasks []*task.Task) []string {
	if a.Filters != nil {
		return a.Filters
	}
	var out []string
	for _, t := range tasks {
		for _, f := range t.Filters {
			if !slices.Contains(out, f.Name) {
				out = append(out, f.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// partsOf gathers a metric of the tasks that have it, and says what it is called in the group: as
// in its tasks if they agree, with the filter behind it if they do not.
func partsOf(
	a task.Aggregate, filter string, tasks []*task.Task, of map[string]*run.Measurement,
) (parts []part, name string) {
	for _, t := range tasks {
		own, ok := t.MetricName(a.Metric, filter)
		if !ok {
			continue
		}
		b := of[t.Name]
		v, ok := b.Metrics[own]
		if !ok {
			continue
		}
		stderr, has := b.Metrics[own+"_stderr"]
		parts = append(parts, part{v, stderr, has, b.N})
		switch name {
		case "", own:
			name = own
		default:
			name = a.Metric + "_" + filter
		}
	}
	return parts, name
}

// addMean stores the mean, weighted by the items of each task or not, with its standard error and
// the normal interval by that. The errors are the harness's (api/metrics.py, 0.4.13): pooled,
//
//	sqrt(Σ (n-1) n s² / (Σ n - k) / Σ n),  or  sqrt(Σ s²) / k  without weights.
func addMean(b *metrics.Summary, name string, bySize bool, parts []part) {
	sum, weights, pooled, squares, n := 0.0, 0.0, 0.0, 0.0, 0.0
	known := true
	for _, p := range parts {
		w, size := 1.0, float64(p.n)
		if bySize {
			w = size
		}
		sum += w * p.value
		weights += w
		n += size
		pooled += (size - 1) * size * p.stderr * p.stderr
		squares += p.stderr * p.stderr
		known = known && p.hasStdErr
	}
	mean := sum / weights
	b.Set(name, mean)
	if !known {
		return
	}
	k := float64(len(parts))
	stderr := math.Sqrt(squares) / k
	if bySize {
		stderr = math.Sqrt(pooled / (n - k) / n)
	}
	b.Set(name+"_stderr", stderr)
	z := math.Sqrt2 * math.Erfinv(b.Settings.Confidence)
	b.SetInterval(name, mean-z*stderr, mean+z*stderr)
}
