package report

import (
	"maps"
	"math"
	"slices"
	"strings"

	"steer/rl/run"
)

// The palette of the page (style.css, --c0 ...): grey and ink for base and SFT, then
// one colour a theory.
const (
	colourBase = iota
	colourSFT
	colourTheory
	colours = 8
)

// Plots of scores, whose scale is that of a reward model.
const (
	chartScore    = "ppo-score"
	chartFrontier = "ppo-frontier"
)

// histogramBins is how many bins raw values are put into.
const histogramBins = 20

// colour gives a theory the same colour everywhere.
func (r *Report) colour(theory string) int {
	i := max(slices.Index(r.Theories, theory), 0)
	return colourTheory + i%(colours-colourTheory)
}

func (r *Report) modelColour(name string) int {
	switch m := r.model(name); m.role() {
	case "base":
		return colourBase
	case "sft":
		return colourSFT
	default:
		if c, ok := r.policyColour(name); ok {
			return c
		}
		return r.colour(m.theoryOf())
	}
}

// stageColour is that of the stage's policy or theory.
func (r *Report) stageColour(s *Stage) int {
	if c, ok := r.policyColour(s.policy); ok {
		return c
	}
	return r.colour(s.Theory)
}

// sampled are the stages whose policies learn from their own answers.
func (r *Report) sampled() []*Stage { return append(r.stages("ppo"), r.stages("grpo")...) }

func (r *Report) stages(kind string) []*Stage {
	var out []*Stage
	for i := range r.Stages {
		if r.Stages[i].Kind == kind {
			out = append(out, &r.Stages[i])
		}
	}
	return out
}

func (s *Stage) label() string {
	if s.policy != "" {
		return s.policy
	}
	if s.Theory != "" {
		return s.Theory
	}
	return s.Name
}

// fillCharts lists every plot. A plot without a single curve is left out; one with
// some curves names the runs that logged nothing.
func (r *Report) fillCharts() {
	for _, s := range r.stages("sft") {
		c := Chart{ID: "sft-loss", Section: "sft", Kind: "line", Title: "SFT loss", XLabel: "step",
			YLabel: "nats a token"}
		c.line(s.log, "training", colourSFT, false, "loss")
		c.line(s.log, "held out", colourSFT, true, "eval_loss")
		r.chart(c)
	}
	reward := r.stages("reward")
	r.overTime(reward, Chart{ID: "reward-loss", Section: "reward", Title: "Reward model loss", YLabel: "nats a pair"},
		[]string{"loss"}, []string{"eval_loss"})
	r.overTime(reward, Chart{ID: "reward-accuracy", Section: "reward", Title: "Pairs ordered right",
		YLabel: "share of pairs"}, []string{"accuracy"}, []string{"eval_accuracy"})
	ppo := r.sampled()
	score, kl := []string{"ppo/mean_scores", "reward"}, "objective/kl"
	r.overTime(ppo, Chart{ID: chartScore, Section: "ppo", Title: "Score under its own reward", YLabel: "mean score"},
		score, []string{"heldout/score"})
	r.overTime(ppo, Chart{ID: "ppo-kl", Section: "ppo", Title: "KL from the SFT model", YLabel: "nats a response"},
		[]string{kl}, []string{"heldout/kl"})
	r.overTime(ppo, Chart{ID: "ppo-entropy", Section: "ppo", Title: "Entropy", YLabel: "nats"},
		[]string{"objective/entropy", "ppo/policy/entropy", "entropy"}, nil)
	r.overTime(ppo, Chart{ID: "ppo-length", Section: "ppo", Title: "Response length", YLabel: "tokens"},
		[]string{"tokens/responses_len_mean", "completions/mean_length"}, []string{"heldout/length"})
	r.overTime(ppo, Chart{ID: "ppo-loss", Section: "ppo", Title: "Loss of the policy", YLabel: "loss"},
		[]string{"ppo/loss/total", "loss"}, nil)
	r.constraintCharts(ppo)
	r.frontier(ppo, score, kl)
	r.preferenceCharts()
	r.pairHistograms(reward)
	r.scoreHistograms()
}

func (r *Report) chart(c Chart) {
	if len(c.Lines) > 0 {
		r.Charts = append(r.Charts, c)
	}
}

// line adds a curve if it was logged.
func (c *Chart) line(log *metricLog, label string, colour int, dashed bool, names ...string) bool {
	s := log.first(names...)
	if s == nil {
		return false
	}
	c.Lines = append(c.Lines, ChartLine{Label: label, Colour: colour, Dashed: dashed, Series: *s.thin(curvePoints),
		full: s})
	return true
}

// overTime draws the first of the metrics that each stage logged, and its held-out
// twin dashed.
func (r *Report) overTime(stages []*Stage, c Chart, names, heldOut []string) {
	c.Kind, c.XLabel = "line", "step"
	for _, s := range stages {
		colour := r.stageColour(s)
		ok := c.line(s.log, s.label(), colour, false, names...)
		if len(heldOut) > 0 && c.line(s.log, s.label()+", held out", colour, true, heldOut...) {
			ok = true
		}
		for i := range c.Lines {
			if c.Lines[i].theory == "" {
				c.Lines[i].theory = s.Theory
			}
		}
		if !ok {
			c.Absent = append(c.Absent, s.label())
		}
	}
	r.chart(c)
}

// constraintCharts draws the multipliers of constraints as they are learned, and the means that they hold.
func (r *Report) constraintCharts(stages []*Stage) {
	multipliers := Chart{ID: "ppo-lambda", Section: "ppo", Kind: "line", Title: "Multipliers of constraints",
		XLabel: "step", YLabel: "multiplier"}
	means := Chart{ID: "ppo-constraint", Section: "ppo", Kind: "line", Title: "Rewards under a constraint",
		XLabel: "step", YLabel: "mean reward"}
	for _, s := range stages {
		for _, name := range slices.Sorted(maps.Keys(s.log.series)) {
			reward, ok := strings.CutPrefix(name, "constraint/")
			if !ok {
				continue
			}
			reward, what, _ := strings.Cut(reward, "/")
			c := &multipliers
			if what == "mean" {
				c = &means
			}
			c.line(s.log, s.label()+", "+reward, r.stageColour(s), false, name)
		}
	}
	r.chart(multipliers)
	r.chart(means)
}

// frontier draws score against KL: what a policy gained for how far it went.
func (r *Report) frontier(ppo []*Stage, score []string, kl string) {
	c := Chart{ID: chartFrontier, Section: "ppo", Kind: "path", Title: "Score against KL",
		XLabel: "KL, nats a response", YLabel: "mean score"}
	for _, s := range ppo {
		a, b := s.log.series[kl], s.log.first(score...)
		if a == nil || b == nil {
			c.Absent = append(c.Absent, s.label())
			continue
		}
		p := joinSteps(a, b).thin(pathPoints)
		if len(p.X) == 0 {
			c.Absent = append(c.Absent, s.label())
			continue
		}
		colour := r.stageColour(s)
		c.Lines = append(c.Lines, ChartLine{Label: s.label(), Colour: colour, Series: *p, theory: s.Theory, full: b,
			over: a})
		n := len(p.X) - 1
		c.Marks = append(c.Marks, ChartPoint{X: p.X[n], Y: p.Y[n], Colour: colour})
	}
	r.chart(c)
}

// joinSteps pairs the values of two metrics at the steps that logged both.
func joinSteps(x, y *Series) *Series {
	out := &Series{Name: y.Name + " against " + x.Name}
	for i, j := 0, 0; i < len(x.X) && j < len(y.X); {
		switch {
		case x.X[i] < y.X[j]:
			i++
		case x.X[i] > y.X[j]:
			j++
		default:
			out.X = append(out.X, x.Y[i])
			out.Y = append(out.Y, y.Y[j])
			i, j = i+1, j+1
		}
	}
	return out
}

// pairHistograms draws the scores of chosen and rejected held-out answers.
func (r *Report) pairHistograms(reward []*Stage) {
	for _, s := range reward {
		if s.Result == nil {
			continue
		}
		c := Chart{ID: "pairs-" + s.Name, Section: "reward", Kind: "histogram", Title: "Held-out pairs, " +
			s.label() + " reward", XLabel: "score", YLabel: "density"}
		for _, h := range binAlike(s.Result.Histograms) {
			c.outline(h, h.Name, r.colour(s.Theory), h.Name == "rejected")
		}
		r.chart(c)
	}
}

// scoreHistograms draws, for each reward, the scores of every policy's answers.
func (r *Report) scoreHistograms() {
	ev := r.evaluation()
	if ev == nil || ev.CrossReward == nil {
		return
	}
	for _, reward := range ev.CrossReward.Rewards {
		c := Chart{ID: "scores-" + reward, Section: "scores", Kind: "histogram", Title: "Answers under the " +
			reward + " reward", XLabel: "score", YLabel: "density"}
		var hs []run.Histogram
		for _, p := range ev.CrossReward.Policies {
			for _, h := range ev.CrossReward.Histograms {
				if h.Policy == p && h.Reward == reward {
					hs = append(hs, h)
				}
			}
		}
		names := make([]string, len(hs))
		for i, h := range hs {
			names[i] = h.Policy
		}
		r.outlines(&c, reward, names, binAlike(hs))
		r.chart(c)
	}
}

// outlines draws the scores of several models' answers under one reward.
func (r *Report) outlines(c *Chart, reward string, models []string, hs []run.Histogram) {
	for i, name := range models {
		m := r.model(name)
		c.outline(hs[i], name, r.modelColour(name), m.role() == "base")
		// Six outlines on one another: the two that answer the question stand out.
		if n := len(c.Lines); n > 0 && c.Lines[n-1].Label == name {
			c.Lines[n-1].Thin = m.role() == "base" || m.role() == "policy" && m.theoryOf() != reward
		}
	}
}

// outline adds a histogram as the outline of its bars, scaled to area 1, so that
// histograms of different counts and bins can share a plot.
func (c *Chart) outline(h run.Histogram, label string, colour int, dashed bool) {
	total := 0.0
	for _, n := range h.Counts {
		total += n
	}
	if total <= 0 {
		return
	}
	s := Series{Name: label, X: []float64{h.Edges[0]}, Y: []float64{0}}
	for i, n := range h.Counts {
		d := n / total / (h.Edges[i+1] - h.Edges[i])
		s.X = append(s.X, h.Edges[i], h.Edges[i+1])
		s.Y = append(s.Y, d, d)
	}
	s.X = append(s.X, h.Edges[len(h.Edges)-1])
	s.Y = append(s.Y, 0)
	mean := 0.0
	for _, v := range h.Values {
		mean += v / float64(len(h.Values))
	}
	if len(h.Values) == 0 {
		for i, n := range h.Counts { // as if each lay in the middle of its bin
			mean += n / total * (h.Edges[i] + h.Edges[i+1]) / 2
		}
	}
	c.Lines = append(c.Lines, ChartLine{Label: label, Colour: colour, Dashed: dashed, Mean: &mean, Series: s})
}

// binAlike counts the values of each histogram in the same equal bins over the range
// of all of them. Histograms that come with counts keep their bins.
func binAlike(hs []run.Histogram) []run.Histogram {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, h := range hs {
		for _, v := range h.Values {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo == hi {
		lo, hi = lo-0.5, hi+0.5
	}
	w := (hi - lo) / histogramBins
	out := slices.Clone(hs)
	for k := range out {
		h := &out[k]
		if len(h.Values) == 0 {
			continue
		}
		h.Edges, h.Counts = make([]float64, histogramBins+1), make([]float64, histogramBins)
		for i := range h.Edges {
			h.Edges[i] = lo + float64(i)*w
		}
		for _, v := range h.Values {
			h.Counts[min(int((v-lo)/w), histogramBins-1)]++
		}
	}
	return out
}
