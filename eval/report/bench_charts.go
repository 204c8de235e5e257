package report

import (
	"fmt"

	"steer/eval/compare"
	"steer/eval/stats"
)

// fillBenchmarkCharts draws, for each benchmark, every model's headline metric with its
// interval, all pairwise differences with the margin of equivalence, and how far the
// models' confidence can be trusted.
func (r *Report) fillBenchmarkCharts() {
	for i := range r.Benchmarks {
		t := &r.Benchmarks[i]
		r.forest(t)
		r.pairDifferences(t)
		r.calibration(t)
	}
}

// colourOf is that of a table's row, whether it is a language model or a reward model.
func (r *Report) colourOf(t *BenchmarkTable, name string) int {
	if t.OfRewards {
		return r.colour(name)
	}
	return r.modelColour(name)
}

func (r *Report) forest(t *BenchmarkTable) {
	h := t.headline()
	if h < 0 || len(t.Rows) < 2 {
		return
	}
	metric := t.Columns[h]
	c := Chart{ID: "forest-" + t.key(), Section: t.key(), Kind: "rows", Title: t.Title() + ": " + metricLabel(metric), XLabel: metricLabel(metric)}
	for _, row := range t.Rows {
		if v := row.Values[h]; v != nil {
			c.Rows = append(c.Rows, ChartRow{Label: row.Model, Interval: *v, Colour: r.colourOf(t, row.Model)})
		}
	}
	if len(c.Rows) < 2 {
		return
	}
	switch {
	case metric == "mcc":
		c.Rules = append(c.Rules, ChartRule{Label: "a constant or random answer", At: 0})
		if t.Ceiling != nil {
			c.Rules = append(c.Rules, ChartRule{Label: "ceiling of the noisy labels", At: *t.Ceiling, Dashed: true})
		}
	case t.Majority != nil:
		c.Rules = append(c.Rules, ChartRule{Label: "always the larger class", At: *t.Majority})
	}
	if len(r.Runs) > 1 {
		c.Note = "Means over the runs."
	}
	r.Charts = append(r.Charts, c)
}

func (r *Report) pairDifferences(t *BenchmarkTable) {
	f := r.familyOf(t.key())
	if f == nil {
		return
	}
	label := metricLabel(string(f.Metric))
	c := Chart{ID: "pairs-" + t.key(), Section: t.key(), Kind: "rows", Title: t.Title() + ": differences of " + label, XLabel: "difference of " + label,
		Rules: []ChartRule{{Label: "no difference", At: 0}}, Band: &[2]float64{-f.Margin, f.Margin},
		Note: fmt.Sprintf("Shaded: within ±%g, the margin of equivalence. Thick: differs after Holm's correction over the %s of this plot. 95 %% intervals, each by itself; a dot without one: the same answers, or one answer only.", f.Margin, plural(len(f.Pairs), "pair", "pairs"))}
	for _, p := range f.Pairs {
		row := ChartRow{Label: p.A + " − " + p.B, Interval: pairInterval(p, 1), Colour: r.colourOf(t, p.A), Strong: p.Different(f.Alpha)}
		c.Rows = append(c.Rows, row)
	}
	r.Charts = append(r.Charts, c)
}

// calibration needs the log-probabilities of choices in the records; of several runs the
// first is drawn.
func (r *Report) calibration(t *BenchmarkTable) {
	f := r.familyOf(t.key())
	if f == nil || t.OfRewards || len(r.Compared) > 0 {
		return
	}
	c := Chart{ID: "calibration-" + t.key(), Section: t.key(), Kind: "calibration", Title: t.Title() + ": calibration",
		XLabel: "probability of the choice", YLabel: "share right", Note: "Probability among the choices of an item, in bins of equal size. Beside a name: the expected calibration error."}
	for _, row := range t.Rows {
		items, err := r.sources()[0].items(t.key(), row.Model)
		if err != nil {
			return // the tests have said so
		}
		cal, ok := compare.Calibrate(items)
		if !ok {
			return
		}
		c.Lines = append(c.Lines, calibrationLine(cal, row.Model, r.modelColour(row.Model), r.model(row.Model).role() == "base"))
	}
	if len(r.Runs) > 1 {
		c.Note += " Of " + r.Runs[0].Label + "."
	}
	r.Charts = append(r.Charts, c)
}

func calibrationLine(c stats.Calibration, label string, colour int, dashed bool) ChartLine {
	l := ChartLine{Label: label, Colour: colour, Dashed: dashed, Points: true, Mean: &c.ECE, Series: Series{Name: label}}
	for _, b := range c.Bins {
		l.X, l.Y = append(l.X, b.Confidence), append(l.Y, b.Accuracy)
	}
	return l
}

// combineCharts draws the curves of all runs: each run thin, their mean over it. What is
// not a curve over steps is taken of the first run.
func (r *Report) combineCharts() {
	for _, c := range r.parts[0].Charts {
		if c.Kind != "line" {
			c.Note = joinNotes(c.Note, "Of "+r.Runs[0].Label+".")
			r.Charts = append(r.Charts, c)
			continue
		}
		out := c
		out.Lines = nil
		for _, l := range c.Lines {
			members := []Series{}
			for _, p := range r.parts {
				if o := p.line(c.ID, l.Label); o != nil {
					members = append(members, o.Series)
					m := *o
					m.Member, m.Thin = true, true
					out.Lines = append(out.Lines, m)
				}
			}
			mean := l
			mean.Series = meanSeries(l.Name, members)
			out.Lines = append(out.Lines, mean)
		}
		out.Note = joinNotes(c.Note, fmt.Sprintf("Thin: each of %s; thick: their mean where all have a value.", plural(len(r.parts), "run", "runs")))
		r.Charts = append(r.Charts, out)
	}
}

func joinNotes(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

func (r *Report) line(chart, label string) *ChartLine {
	for i := range r.Charts {
		if r.Charts[i].ID != chart {
			continue
		}
		for k := range r.Charts[i].Lines {
			if l := &r.Charts[i].Lines[k]; l.Label == label {
				return l
			}
		}
	}
	return nil
}

// meanSeries averages curves at the points that all of them have.
func meanSeries(name string, members []Series) Series {
	sum, count := map[float64]float64{}, map[float64]int{}
	out := Series{Name: name}
	for k, s := range members {
		for i, x := range s.X {
			if count[x] != k {
				continue // an earlier one lacks it
			}
			sum[x] += s.Y[i]
			count[x]++
		}
	}
	for _, x := range members[0].X {
		if count[x] == len(members) {
			out.X = append(out.X, x)
			out.Y = append(out.Y, sum[x]/float64(len(members)))
		}
	}
	return out
}
