package report

import (
	"fmt"
	"math"
	"slices"

	"steer/rl/run"
)

// poolPairHistograms draws the scores of held-out pairs of all runs together.
func (r *Report) poolPairHistograms() {
	for _, theory := range r.Theories {
		c := Chart{ID: "pairs-reward-" + theory, Section: "reward", Kind: "histogram", Title: "Held-out pairs, " +
			theory + " reward", YLabel: "density"}
		var names []string
		pools := map[string][]run.Histogram{}
		complete := true
		for _, p := range r.parts {
			var found *StageResult
			for _, s := range p.stages("reward") {
				if s.Theory == theory && s.Result != nil && len(s.Result.Histograms) > 0 {
					found = s.Result
				}
			}
			n, ok := p.normalisation(theory)
			if complete = complete && found != nil && ok; !complete {
				break
			}
			for _, h := range found.Histograms {
				if pools[h.Name] == nil {
					names = append(names, h.Name)
				}
				pools[h.Name] = append(pools[h.Name], rescaled(h, n))
			}
		}
		if !complete {
			r.flagUnpooled(c.Title, len(pools) > 0)
			continue
		}
		for i, h := range pool(names, pools) {
			c.outline(h, names[i], r.colour(theory), names[i] == "rejected")
		}
		r.chartPooled(c)
	}
}

// poolScoreHistograms draws, for each reward, the scores of every policy's answers in all
// runs together.
func (r *Report) poolScoreHistograms() {
	var rewards []string
	for _, p := range r.parts {
		if ev := p.evaluation(); ev != nil && ev.CrossReward != nil && len(ev.CrossReward.Histograms) > 0 {
			rewards = append(rewards, ev.CrossReward.Rewards...)
		}
	}
	for _, reward := range orderTheories(rewards) {
		c := Chart{ID: "scores-" + reward, Section: "scores", Kind: "histogram", Title: "Answers under the " +
			reward + " reward", YLabel: "density"}
		pools := map[string][]run.Histogram{}
		complete := true
		for _, p := range r.parts {
			hs, ok := p.scoresUnder(reward)
			if complete = complete && ok; !complete {
				break
			}
			for _, h := range hs {
				pools[h.Policy] = append(pools[h.Policy], h)
			}
		}
		if !complete {
			r.flagUnpooled(c.Title, true)
			continue
		}
		var names []string
		for _, m := range r.Models {
			if len(pools[m.Name]) == len(r.parts) {
				names = append(names, m.Name)
			}
		}
		r.outlines(&c, reward, names, pool(names, pools))
		r.chartPooled(c)
	}
}

// scoresUnder are a run's histograms of scores under one reward, normalised.
func (r *Report) scoresUnder(reward string) (out []run.Histogram, ok bool) {
	c := r.evaluation().CrossReward
	if c == nil || !slices.Contains(c.Rewards, reward) {
		return nil, false
	}
	n := run.Normalisation{Std: 1}
	if c.Unit != "normalised" {
		norms, ok := r.normalisations(c)
		if !ok {
			return nil, false
		}
		n = norms[slices.Index(c.Rewards, reward)]
	}
	for _, h := range c.Histograms {
		if h.Reward == reward {
			out = append(out, rescaled(h, n))
		}
	}
	return out, len(out) > 0
}

func (r *Report) chartPooled(c Chart) {
	c.XLabel = "score, normalised"
	c.Note = joinNotes(c.Note, fmt.Sprintf("Of %s together, each on the scale of its own reward model.",
		plural(len(r.parts), "run", "runs")))
	r.chart(c)
}

func (r *Report) flagUnpooled(title string, some bool) {
	if some {
		r.flag(Note, "eval", "%s: not every run has its scores and their normalisation, so there is no plot of the "+
			"runs together.", title)
	}
}

// rescaled puts a histogram on the scale of a normalisation.
func rescaled(h run.Histogram, n run.Normalisation) run.Histogram {
	f := func(values []float64) []float64 {
		out := make([]float64, len(values))
		for i, v := range values {
			out[i] = (v - n.Mean) / n.Std
		}
		return out
	}
	h.Values, h.Edges = f(h.Values), f(h.Edges)
	return h
}

// pool adds the histograms of each name up, all names on the same bins.
func pool(names []string, pools map[string][]run.Histogram) []run.Histogram {
	lo, hi, bins := math.Inf(1), math.Inf(-1), histogramBins
	for _, name := range names {
		for _, h := range pools[name] {
			bins = max(bins, len(h.Counts))
			for _, v := range slices.Concat(h.Values, h.Edges) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if !(lo < hi) {
		lo, hi = lo-0.5, lo+0.5
	}
	out := make([]run.Histogram, len(names))
	for i, name := range names {
		sum := run.Histogram{Name: name, Edges: make([]float64, bins+1), Counts: make([]float64, bins)}
		for k := range sum.Edges {
			sum.Edges[k] = lo + (hi-lo)*float64(k)/float64(bins)
		}
		counted := false
		for _, h := range pools[name] {
			counted = counted || len(h.Values) == 0
			sum.Values = append(sum.Values, h.Values...)
			countInto(&sum, h)
		}
		if counted {
			sum.Values = nil // they are not all there: the mean is that of the bins
		}
		out[i] = sum
	}
	return out
}

// countInto counts another histogram into equal bins that cover it. What comes in bins is
// taken to lie evenly in each.
func countInto(h *run.Histogram, o run.Histogram) {
	lo, w := h.Edges[0], h.Edges[1]-h.Edges[0]
	last := len(h.Counts) - 1
	if len(o.Values) > 0 {
		for _, v := range o.Values {
			h.Counts[min(max(int((v-lo)/w), 0), last)]++
		}
		return
	}
	for i, n := range o.Counts {
		a, b := o.Edges[i], o.Edges[i+1]
		for k := range h.Counts {
			if part := min(b, h.Edges[k+1]) - max(a, h.Edges[k]); part > 0 {
				h.Counts[k] += n * part / (b - a)
			}
		}
	}
}
