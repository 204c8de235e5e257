package report

import (
	"fmt"
	"slices"
	"strings"

	"steer/rl/run"
)

// What the captions of several runs say.
const (
	thinRuns = "Thin: each of %s; thick: their mean, as far as all of them go."
	ownScale = "Scores in standard deviations of each run's own reward model, since their scales differ."
)

// combineCharts draws every plot of all runs: curves over steps and paths thin for each
// run with their mean over them, distributions pooled.
func (r *Report) combineCharts() {
	for _, c := range r.chartsOfRuns() {
		switch c.Kind {
		case "line":
			r.combineCurves(c)
		case "path":
			r.combinePaths(c)
		}
	}
	r.poolPairHistograms()
	r.poolScoreHistograms()
}

// chartsOfRuns are the plots that any run has, in the order of the first that has them.
func (r *Report) chartsOfRuns() []Chart {
	var out []Chart
	for _, p := range r.parts {
		for _, c := range p.Charts {
			if !slices.ContainsFunc(out, func(o Chart) bool { return o.ID == c.ID }) {
				out = append(out, c)
			}
		}
	}
	return out
}

// curves gathers the curves of one plot by label: a list for each, with a place for every
// run, nil where it has none.
func (r *Report) curves(id string) (labels []string, lines map[string][]*ChartLine) {
	lines = map[string][]*ChartLine{}
	for k, p := range r.parts {
		for i := range p.Charts {
			if p.Charts[i].ID != id {
				continue
			}
			for j := range p.Charts[i].Lines {
				l := &p.Charts[i].Lines[j]
				if lines[l.Label] == nil {
					labels = append(labels, l.Label)
					lines[l.Label] = make([]*ChartLine, len(r.parts))
				}
				lines[l.Label][k] = l
			}
		}
	}
	return labels, lines
}

// absent names what runs did not log.
func (r *Report) absent(id string) []string {
	var out []string
	for k, p := range r.parts {
		i := slices.IndexFunc(p.Charts, func(c Chart) bool { return c.ID == id })
		if i < 0 {
			out = append(out, r.Runs[k].Label)
			continue
		}
		for _, name := range p.Charts[i].Absent {
			out = append(out, r.Runs[k].Label+": "+name)
		}
	}
	return out
}

func (r *Report) combineCurves(c Chart) {
	labels, lines := r.curves(c.ID)
	scale := r.scoreScales(&c)
	c.Lines, c.Absent = nil, r.absent(c.ID)
	for _, label := range labels {
		var members []Series
		var mean ChartLine
		for k, l := range lines[label] {
			if l == nil {
				continue
			}
			full := *l.full
			if scale != nil {
				full = full.scaled(scale[k][l.theory])
			}
			m := *l
			m.Member, m.Thin, m.Run = true, true, r.Runs[k].Label
			m.Series, m.Points = *full.thin(curvePoints), l.Dashed
			c.Lines = append(c.Lines, m)
			members = append(members, full)
			mean = *l
		}
		if len(members) == len(r.parts) {
			if all := meanSeries(mean.Name, members); len(all.X) > 0 {
				mean.Series = *all.thin(curvePoints)
				c.Lines = append(c.Lines, mean)
			}
		}
	}
	c.Note = joinNotes(c.Note, fmt.Sprintf(thinRuns, plural(len(r.parts), "run", "runs")))
	if slices.ContainsFunc(c.Lines, func(l ChartLine) bool { return l.Dashed }) {
		c.Note = joinNotes(c.Note, "Small dots: each run, held out.")
	}
	r.chart(c)
}

// combinePaths draws score against KL: every run's path with a dot where it ended, and
// the mean of both over steps with a dot at the mean of the ends.
func (r *Report) combinePaths(c Chart) {
	labels, lines := r.curves(c.ID)
	scale := r.scoreScales(&c)
	c.Lines, c.Marks, c.Absent = nil, nil, r.absent(c.ID)
	for _, label := range labels {
		var xs, ys []Series
		var mean ChartLine
		end := ChartPoint{}
		for k, l := range lines[label] {
			if l == nil {
				continue
			}
			x, y := *l.over, *l.full
			if scale != nil {
				y = y.scaled(scale[k][l.theory])
			}
			path := joinSteps(&x, &y)
			m := *l
			m.Member, m.Thin, m.Run = true, true, r.Runs[k].Label
			m.Series = *path.thin(pathPoints)
			c.Lines = append(c.Lines, m)
			n := len(m.X) - 1
			c.Marks = append(c.Marks, ChartPoint{X: m.X[n], Y: m.Y[n], Colour: l.Colour, Small: true})
			end.X, end.Y, end.Colour = end.X+m.X[n], end.Y+m.Y[n], l.Colour
			xs, ys, mean = append(xs, x), append(ys, y), *l
		}
		if len(xs) < len(r.parts) {
			continue
		}
		x, y := meanSeries(mean.Name, xs), meanSeries(mean.Name, ys)
		if path := joinSteps(&x, &y); len(path.X) > 0 {
			mean.Series = *path.thin(pathPoints)
			c.Lines = append(c.Lines, mean)
		}
		end.X, end.Y = end.X/float64(len(xs)), end.Y/float64(len(xs))
		c.Marks = append(c.Marks, end)
	}
	c.Note = joinNotes(c.Note, fmt.Sprintf(thinRuns,
		plural(len(r.parts), "run", "runs"))+" Dots: where training ended, in each run and in their mean.")
	r.chart(c)
}

// scoreScales are, for a plot of scores, each run's normalisations by theory; nil where
// the plot is not of scores. Without one of every run and theory the plot stays in raw
// scores, and says what that is worth.
func (r *Report) scoreScales(c *Chart) []map[string]run.Normalisation {
	if !c.ofScores() {
		return nil
	}
	out := make([]map[string]run.Normalisation, len(r.parts))
	for k, p := range r.parts {
		out[k] = map[string]run.Normalisation{}
		for _, pc := range p.Charts {
			if pc.ID != c.ID {
				continue
			}
			for _, l := range pc.Lines {
				n, ok := p.normalisation(l.theory)
				if !ok {
					c.Note = joinNotes(c.Note, "Raw scores: not every run says how to normalise them, and the "+
						"reward models of different runs have different scales, so their mean means little.")
					return nil
				}
				out[k][l.theory] = n
			}
		}
	}
	c.YLabel = "mean score, normalised"
	c.Note = joinNotes(c.Note, ownScale)
	return out
}

// ofScores tells whether y is in the unit of a reward model.
func (c *Chart) ofScores() bool { return c.ID == chartScore || c.ID == chartFrontier }

// normalisation is that of a theory's reward model: of its own result, or of the
// evaluation.
func (r *Report) normalisation(theory string) (run.Normalisation, bool) {
	for _, s := range r.stages("reward") {
		if s.Theory == theory && s.Result != nil && s.Result.Normalisation != nil {
			return *s.Result.Normalisation, s.Result.Normalisation.Std > 0
		}
	}
	if ev := r.evaluation(); ev != nil && ev.CrossReward != nil {
		n, ok := ev.CrossReward.Normalisation[theory]
		return n, ok && n.Std > 0
	}
	return run.Normalisation{}, false
}

// scaled puts the values on the scale of a normalisation.
func (s Series) scaled(n run.Normalisation) Series {
	out := s
	out.Y = make([]float64, len(s.Y))
	for i, y := range s.Y {
		out.Y[i] = (y - n.Mean) / n.Std
	}
	return out
}

// meanSeries averages curves over the steps that all of them cover, at every step that
// any of them logged; between two logged steps a curve is taken to be straight.
func meanSeries(name string, members []Series) Series {
	out := Series{Name: name}
	var steps []float64
	for _, s := range members {
		if len(s.X) == 0 {
			return out
		}
		steps = append(steps, s.X...)
	}
	slices.Sort(steps)
	for _, x := range slices.Compact(steps) {
		sum, all := 0.0, true
		for _, s := range members {
			y, ok := s.at(x)
			sum, all = sum+y, all && ok
		}
		if all {
			out.X = append(out.X, x)
			out.Y = append(out.Y, sum/float64(len(members)))
		}
	}
	return out
}

// at reads a curve at x, if it covers x.
func (s *Series) at(x float64) (y float64, ok bool) {
	i, found := slices.BinarySearch(s.X, x)
	switch {
	case found:
		return s.Y[i], true
	case i == 0 || i == len(s.X):
		return 0, false
	}
	t := (x - s.X[i-1]) / (s.X[i] - s.X[i-1])
	return s.Y[i-1] + t*(s.Y[i]-s.Y[i-1]), true
}

func joinNotes(a, b string) string { return strings.TrimSpace(a + " " + b) }
