package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// FrontierRow is what a trained policy scores under a reward, and what drawing and choosing scores at the same KL.
type FrontierRow struct {
	Policy string   `json:"policy"`
	Reward string   `json:"reward"`
	KL     Interval `json:"kl"`
	Score  Interval `json:"score"`
	// BestOf is the score of best-of-n at this KL; nil where that goes beyond the largest n.
	BestOf *float64 `json:"best_of,omitempty"`
	// Gain is score less that.
	Gain *float64 `json:"gain,omitempty"`
}

// frontierRewards bounds how many rewards are plotted against one another.
const frontierRewards = 4

// fillFrontier draws each reward against KL and against the others, a point for each model, and sets each
// trained policy beside best-of-n at its KL. It takes the matrix as it is: that of one run, or the mean of several.
func (r *Report) fillFrontier() {
	m := r.Matrix
	if m == nil || len(r.Policies) == 0 {
		return
	}
	cells, unit := m.Norm, "standard deviations"
	if cells == nil {
		cells, unit = m.Raw, "raw score"
	}
	rewards := r.frontierRewards()
	for _, j := range rewards {
		c := Chart{ID: "frontier-kl-" + m.Rewards[j], Section: "frontier", Kind: "scatter",
			Title:  title(m.Rewards[j]) + " against KL",
			XLabel: "KL, nats a response", YLabel: unit}
		for i, name := range m.Policies {
			if r.model(name).role() != "base" { // which is not steered, and far away
				c.Lines = append(c.Lines, r.frontierPoint(name, r.klOf(name), cellInterval(cells[i][j])))
			}
		}
		c.curve(r.bestOfCurve(cells, j))
		r.chart(c)
		r.frontierRows(cells, j)
	}
	for a, j := range rewards {
		for _, k := range rewards[a+1:] {
			c := Chart{ID: "frontier-" + m.Rewards[j] + "-" + m.Rewards[k], Section: "frontier", Kind: "scatter",
				Title:  title(m.Rewards[k]) + " against " + m.Rewards[j],
				XLabel: m.Rewards[j], YLabel: m.Rewards[k]}
			for i, name := range m.Policies {
				if r.model(name).role() != "base" {
					c.Lines = append(c.Lines,
						r.frontierPoint(name, cellInterval(cells[i][j]), cellInterval(cells[i][k])))
				}
			}
			r.chart(c)
		}
	}
}

func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// frontierRewards are the columns that are plotted: those that policies learn from, or the first.
func (r *Report) frontierRewards() (out []int) {
	wanted := map[string]bool{}
	for _, p := range r.Policies {
		wanted[p.Theory] = true
		for _, w := range p.Rewards {
			wanted[w.Name] = true
		}
	}
	for j, name := range r.Matrix.Rewards {
		if wanted[name] && len(out) < frontierRewards {
			out = append(out, j)
		}
	}
	return out
}

func cellInterval(c Cell) Interval { return Interval{Mean: c.Mean, Lo: c.Lo, Hi: c.Hi, N: c.N} }

// klOf is a model's KL; that of the reference is 0.
func (r *Report) klOf(name string) Interval {
	if kl, ok := r.Matrix.KL[name]; ok {
		return kl
	}
	zero := 0.0
	return Interval{Lo: &zero, Hi: &zero}
}

// frontierPoint is a model with its intervals in both directions.
func (r *Report) frontierPoint(name string, x, y Interval) ChartLine {
	tag := strconv.Itoa(slices.Index(r.Matrix.Policies, name))
	l := ChartLine{Label: tag + " " + name, Tag: tag, Colour: r.modelColour(name), Points: true,
		Series: Series{Name: name, X: []float64{x.Mean}, Y: []float64{y.Mean}}}
	if x.known() && y.known() {
		l.Bars = &ChartBars{XLo: *x.Lo, XHi: *x.Hi, YLo: *y.Lo, YHi: *y.Hi}
	}
	return l
}

// curve adds the way from the reference over best-of-n.
func (c *Chart) curve(points [][2]float64) {
	if len(points) < 2 {
		return
	}
	l := ChartLine{Label: "best of n", Colour: colourSFT, Dashed: true, Thin: true, Series: Series{Name: "best of n"}}
	for k := range points[:len(points)-1] { // straight in the root of the KL, so curved here
		for step := range 8 {
			x := between(points[k][0], points[k+1][0], float64(step)/8)
			l.X, l.Y = append(l.X, x), append(l.Y, interpolate(points, x))
		}
	}
	last := points[len(points)-1]
	l.X, l.Y = append(l.X, last[0]), append(l.Y, last[1])
	c.Lines = append(c.Lines, l)
}

func between(a, b, t float64) float64 { return a + (b-a)*t }

// bestOfCurve are KL and score of the reference and of each best-of-n by the reward alone or among others, by KL.
func (r *Report) bestOfCurve(cells [][]Cell, reward int) (points [][2]float64) {
	m := r.Matrix
	for i, name := range m.Policies {
		model := r.model(name)
		if name == m.Reference {
			points = append(points, [2]float64{0, cells[i][reward].Mean})
		} else if model.BestOf > 0 {
			points = append(points, [2]float64{r.klOf(name).Mean, cells[i][reward].Mean})
		}
	}
	slices.SortFunc(points, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	return points
}

// interpolate gives the score at a KL, straight between neighbours in the root of the KL (as which the score of
// best-of-n grows at first: Gao, Schulman and Hilton 2023, arXiv:2210.10760); NaN outside.
func interpolate(points [][2]float64, kl float64) float64 {
	kl = max(kl, 0)
	for k := range len(points) - 1 {
		a, b := points[k], points[k+1]
		if kl < a[0] || kl > b[0] || b[0] == a[0] {
			continue
		}
		t := (math.Sqrt(kl) - math.Sqrt(a[0])) / (math.Sqrt(b[0]) - math.Sqrt(a[0]))
		return between(a[1], b[1], t)
	}
	return math.NaN()
}

// frontierRows sets trained policies beside best-of-n.
func (r *Report) frontierRows(cells [][]Cell, reward int) {
	points := r.bestOfCurve(cells, reward)
	m := r.Matrix
	for i, name := range m.Policies {
		if model := r.model(name); model.role() != "policy" || model.BestOf > 0 {
			continue
		}
		row := FrontierRow{Policy: name, Reward: m.Rewards[reward], KL: r.klOf(name),
			Score: cellInterval(cells[i][reward])}
		if at := interpolate(points, row.KL.Mean); !math.IsNaN(at) {
			gain := row.Score.Mean - at
			row.BestOf, row.Gain = &at, &gain
		}
		r.Frontier = append(r.Frontier, row)
	}
}

// frontierNote says how the table is to be read.
func (r *Report) frontierNote() string {
	if !slices.ContainsFunc(r.Models, func(m Model) bool { return m.BestOf > 0 }) {
		return "No best-of-n policy was measured, so there is no baseline at equal KL."
	}
	return fmt.Sprintf("Best-of-n needs no training: what it scores at a policy's KL is read off a line from %s over "+
		"the "+
		"best-of-n policies, straight in the root of the KL. Beyond the largest n there is no baseline. The gain has "+
		"no "+
		"interval of its own: the tests of the matrix compare models as they are.", r.Matrix.Reference)
}
