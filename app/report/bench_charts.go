package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"steer/eval/compare"
	"steer/internal/stats"
	"steer/rl/run"
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
	c := Chart{ID: "forest-" + t.key(), Section: t.key(), Kind: "rows", Title: t.Title() + ": " + metricLabel(metric),
		XLabel: metricLabel(metric)}
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
		c.Note = "Means over the runs; small dots: each run."
		if slices.ContainsFunc(c.Rows, func(row ChartRow) bool { return row.known() }) {
			c.Note = "Means over the runs with the interval over runs and items; small dots: each run."
		}
	}
	r.Charts = append(r.Charts, c)
}

func (r *Report) pairDifferences(t *BenchmarkTable) {
	f := r.familyOf(t.key())
	if f == nil {
		return
	}
	label := metricLabel(string(f.Metric))
	c := Chart{ID: "pairs-" + t.key(), Section: t.key(), Kind: "rows", Title: t.Title() + ": differences of " + label,
		XLabel: "difference of " + label,
		Rules:  []ChartRule{{Label: "no difference", At: 0}}, Band: &[2]float64{-f.Margin, f.Margin},
		Note: fmt.Sprintf("Shaded: within ±%g, the margin of equivalence. Thick: differs after Holm's correction "+
			"over the %s of this plot. 95 %% intervals, each by itself; a dot without one: the same answers, or "+
			"one answer only.", f.Margin, plural(len(f.Pairs), "pair", "pairs"))}
	if f.Runs > 1 {
		c.Note += " Small dots: each run."
	}
	for _, p := range f.Pairs {
		row := ChartRow{Label: p.A + " − " + p.B, Interval: pairInterval(p, 1), Colour: r.colourOf(t, p.A),
			Strong: p.Different(f.Alpha)}
		if f.Runs > 1 {
			row.PerRun = p.PerRun
		}
		c.Rows = append(c.Rows, row)
	}
	r.Charts = append(r.Charts, c)
}

// calibration draws what a result holds, such as a reward model's forecast of which
// answer is preferred, or else what follows from the log-probabilities of choices in the
// records. Several runs are pooled: all their items, each with its own forecast.
func (r *Report) calibration(t *BenchmarkTable) {
	if len(r.Compared) > 0 {
		return
	}
	c := Chart{ID: "calibration-" + t.key(), Section: t.key(), Kind: "calibration", Title: t.Title() + ": calibration",
		XLabel: "forecast", YLabel: "share come true", Note: "Beside a name: the expected calibration error."}
	if r.calibrationOfResults(t, &c); len(c.Lines) == 0 && !r.calibrationOfRecords(t, &c) {
		return
	}
	if n := len(r.Runs); n > 1 {
		c.Note += fmt.Sprintf(" The items of %s are pooled.", plural(n, "run", "runs"))
	}
	r.Charts = append(r.Charts, c)
}

func (r *Report) calibrationOfResults(t *BenchmarkTable, c *Chart) {
	for _, row := range t.Rows {
		var bins []stats.Bin
		var ece []float64
		for _, part := range r.sources() {
			for _, b := range part.evaluation().Benchmarks {
				if benchmarkKey(b.Benchmark, b.Protocol) == t.key() && b.Model == row.Model && len(b.Calibration) > 0 {
					bins, ece = append(bins, b.Calibration...), append(ece, b.Metrics["ece"])
				}
			}
		}
		switch {
		case len(ece) == 1 && len(r.sources()) == 1:
			c.Lines = append(c.Lines, calibrationLine(bins, ece[0], row.Model, r.colourOf(t, row.Model), false))
		case len(ece) > 0 && len(ece) == len(r.sources()):
			pooled, of := poolBins(bins)
			c.Lines = append(c.Lines, calibrationLine(pooled, of, row.Model, r.colourOf(t, row.Model), false))
		}
	}
}

// poolBins adds up the items of bins with the same ends, and gives the expected
// calibration error of all.
func poolBins(bins []stats.Bin) (out []stats.Bin, ece float64) {
	total := 0.0
	for _, b := range bins {
		n := float64(b.N)
		total += n
		i := slices.IndexFunc(out, func(o stats.Bin) bool { return o.Lo == b.Lo && o.Hi == b.Hi })
		if i < 0 {
			out = append(out, b)
			continue
		}
		o := &out[i]
		sum := float64(o.N) + n
		o.Forecast = (o.Forecast*float64(o.N) + b.Forecast*n) / sum
		o.Observed = (o.Observed*float64(o.N) + b.Observed*n) / sum
		o.N += b.N
	}
	slices.SortFunc(out, func(a, b stats.Bin) int { return cmp.Compare(a.Lo, b.Lo) })
	for _, b := range out {
		ece += float64(b.N) / total * math.Abs(b.Forecast-b.Observed)
	}
	return out, ece
}

func (r *Report) calibrationOfRecords(t *BenchmarkTable, c *Chart) bool {
	if r.familyOf(t.key()) == nil || t.OfRewards {
		return false
	}
	c.XLabel, c.YLabel = "probability of the choice", "share right"
	c.Note = "Probability among the choices of an item. " + c.Note
	for _, row := range t.Rows {
		var items []run.Prediction
		for _, part := range r.sources() {
			of, err := part.items(t.key(), row.Model)
			if err != nil {
				return false // the tests have said so
			}
			items = append(items, of...)
		}
		bins, ece, ok := compare.Calibrate(items)
		if !ok {
			return false
		}
		c.Lines = append(c.Lines, calibrationLine(bins, ece, row.Model, r.modelColour(row.Model),
			r.model(row.Model).role() == "base"))
	}
	return true
}

func calibrationLine(bins []stats.Bin, ece float64, label string, colour int, dashed bool) ChartLine {
	l := ChartLine{Label: label, Colour: colour, Dashed: dashed, Points: true, Mean: &ece, Series: Series{Name: label}}
	for _, b := range bins {
		l.X, l.Y = append(l.X, b.Forecast), append(l.Y, b.Observed)
	}
	return l
}
