package report

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/stats"
)

// fillVerdict answers the question in two sentences, one about the rewards and one about
// the benchmarks. The rules:
//
//   - a policy "scores higher" (or lower), and two models differ on a benchmark, only
//     where a test says so after Holm's correction: over the cells of the matrix, and over
//     all pairwise tests of the report;
//   - otherwise "no difference was shown", never "equal"; how large a difference the data
//     leave open, and how large a one they would have shown, is said instead;
//   - without records to test, intervals decide, each by itself, and that is said.
func (r *Report) fillVerdict() {
	if r.Matrix == nil && len(r.Tests) == 0 {
		r.Verdict = r.verdictTraining()
		return
	}
	if r.Matrix != nil {
		r.Matrix.Summary = r.verdictCross()
		r.Verdict = append(r.Verdict, r.verdictOwn())
		if s := r.verdictFrontier(); s != "" {
			r.Verdict = append(r.Verdict, s)
		}
	}
	second := r.verdictTests()
	if second == "" && r.Matrix != nil {
		second = r.verdictBenchmarks()
	}
	if second != "" {
		r.Verdict = append(r.Verdict, second)
	}
}

func (r *Report) verdictTraining() []string {
	out := []string{"The question cannot be answered yet: no scores of the policies under the reward models were " +
		"found."}
	if r.untaught {
		out[0] = "This experiment names no theories, so nothing was steered: it shows the base and the fine-tuned " +
			"model."
	}
	if len(r.Runs) > 1 {
		return append(out, r.verdictTrainingRuns()...)
	}
	var above, other, below []string
	for _, a := range r.Accuracies {
		s := a.Theory + " " + a.Accuracy.text()
		switch a.side() {
		case 1:
			above = append(above, s)
		case -1:
			below = append(below, s)
		default:
			other = append(other, s)
		}
	}
	if len(above) > 0 {
		out = append(out, "By their 95 % intervals, held-out pairs are ordered better than chance by "+
			plural(len(above), "reward model", "reward models")+": "+list(above)+".")
	}
	if len(other) > 0 {
		out = append(out, "Better than chance was not shown for "+list(other)+".")
	}
	if len(below) > 0 {
		out = append(out, "Worse than chance: "+list(below)+".")
	}
	var up, open []string
	for _, h := range r.Heldout {
		d := h.Last.Difference
		s := h.Policy + " " + plus(d.text())
		if d.known() && *d.Lo > 0 {
			up = append(up, s)
		} else {
			open = append(open, s)
		}
	}
	if len(up) > 0 {
		out = append(out, "On held-out prompts, by its own trainer's measurement, the score under its own reward "+
			"model rose for "+list(up)+".")
	}
	if len(open) > 0 {
		out = append(out, "A rise was not shown for "+list(open)+".")
	}
	return out
}

// verdictTrainingRuns is the same of several runs: in how many of them each was shown.
func (r *Report) verdictTrainingRuns() (out []string) {
	accuracies, heldout := runCounts{}, runCounts{}
	for _, a := range r.Accuracies {
		accuracies.add(a.Theory, a.Accuracy.text(), a.side() > 0)
	}
	for _, h := range r.Heldout {
		d := h.Last.Difference
		heldout.add(h.Policy, plus(d.text()), d.known() && *d.Lo > 0)
	}
	if len(accuracies.order) > 0 {
		out = append(out, "Reward models order held-out pairs better than chance, by their 95 % intervals, for "+
			""+accuracies.text()+".")
	}
	if len(heldout.order) > 0 {
		out = append(out, "On held-out prompts, by each trainer's own measurement, the score under the policy's "+
			"own reward model rose (interval above 0) for "+heldout.text()+".")
	}
	return out
}

// runCounts counts in how many runs something was shown of each name.
type runCounts struct {
	order        []string
	values       map[string][]string
	shown, asked map[string]int
}

func (c *runCounts) add(name, value string, shown bool) {
	if c.values == nil {
		c.values, c.shown, c.asked = map[string][]string{}, map[string]int{}, map[string]int{}
	}
	if c.asked[name] == 0 {
		c.order = append(c.order, name)
	}
	c.values[name] = append(c.values[name], value)
	c.asked[name]++
	if shown {
		c.shown[name]++
	}
}

func (c *runCounts) text() string {
	var parts []string
	for _, name := range c.order {
		parts = append(parts, fmt.Sprintf("%s in %d of %d runs (%s)", name, c.shown[name], c.asked[name],
			strings.Join(c.values[name], ", ")))
	}
	return list(parts)
}

// ownChanges are the policies with a tested difference under the reward they were
// trained with, each with its number, and their KL from the reference.
type ownChanges struct {
	up, down, none []string
	prompts        int
	kl             []float64
}

func (r *Report) ownChanges() (o ownChanges) {
	m := r.Matrix
	for i, p := range m.Policies {
		if m.Own[i] < 0 || p == m.Reference {
			continue
		}
		if v, ok := m.KL[p]; ok {
			o.kl = append(o.kl, v.Mean)
		}
		c := m.cells()[i][m.Own[i]]
		if !c.tested() {
			continue
		}
		o.prompts = max(o.prompts, c.N)
		if c.Diff != nil {
			p += " " + plus(c.diff().text())
		}
		switch c.Direction() {
		case 1:
			o.up = append(o.up, p)
		case -1:
			o.down = append(o.down, p)
		default:
			o.none = append(o.none, p)
		}
	}
	return o
}

// verdictOwn is about each policy under the reward it was trained with.
func (r *Report) verdictOwn() string {
	m, o := r.Matrix, r.ownChanges()
	total := len(o.up) + len(o.down) + len(o.none)
	if total == 0 {
		return "No policy has a tested difference to the " + m.Reference +
			" model under the reward " + r.ownReward() + ", so its effect stays open."
	}
	where := "On the held-out prompts"
	if o.prompts > 0 {
		where = fmt.Sprintf("On %s held-out prompts", group(o.prompts))
	}
	unit := ""
	if m.Norm != nil {
		unit = "in standard deviations of its reference scores: "
	}
	var parts []string
	if len(o.up) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s score%s higher than the %s model, each under the reward model "+
			"%s (%s%s)",
			len(o.up), plural(total, "policy", "policies"), verbS(len(o.up)), m.Reference, r.ownReward(), unit,
			list(o.up)))
	} else {
		parts = append(parts, fmt.Sprintf("no policy was shown to score higher than the %s model under the reward "+
			"model %s", m.Reference, r.ownReward()))
	}
	if len(o.down) > 0 {
		parts = append(parts, fmt.Sprintf("%d score%s lower (%s)", len(o.down), verbS(len(o.down)), list(o.down)))
	}
	if len(o.none) > 0 {
		parts = append(parts, "no difference was shown for "+list(o.none))
	}
	s := where + ", " + strings.Join(parts, "; ")
	if m.Tested {
		s += fmt.Sprintf(" (%s, p < %g after Holm's correction over the %s of the matrix)", r.scoreTestName(), alpha,
			plural(r.scoreTests(), "cell", "cells"))
	}
	if len(o.kl) > 0 {
		lo, hi := stats.Range(o.kl)
		s += "; their KL from the " + m.Reference + " model is " + brief(lo)
		if lo != hi {
			s += " to " + brief(hi)
		}
		s += " nats a response"
	}
	return s + "."
}

func verbS(n int) string {
	if n == 1 {
		return "s"
	}
	return ""
}

// verdictCross counts the comparisons under the other theories.
func (r *Report) verdictCross() string {
	m := r.Matrix
	cells := m.cells()
	up, down, total := 0, 0, 0
	for i, p := range m.Policies {
		if p == m.Reference || m.Own[i] < 0 {
			continue
		}
		for j, c := range cells[i] {
			if j == m.Own[i] || !c.tested() {
				continue
			}
			total++
			switch c.Direction() {
			case 1:
				up++
			case -1:
				down++
			}
		}
	}
	if total == 0 {
		return ""
	}
	how := "95 % intervals, each by itself: if nothing differed, about one in twenty would still exclude 0"
	if m.Tested {
		how = "after Holm's correction over the matrix"
	}
	return fmt.Sprintf("Under the reward models of the other theories, %s with the %s model give %d higher, %d "+
		"lower and %d without a shown difference (%s).",
		plural(total, "comparison", "comparisons"), m.Reference, up, down, total-up-down, how)
}

// headline is the metric of a table that statements are made from: MCC where there is
// one, because accuracy rewards the larger class, else the accuracy, else the first; -1
// for a table without any.
func (t BenchmarkTable) headline() int {
	for _, name := range []string{"mcc", "acc"} {
		if i := slices.Index(t.Columns, name); i >= 0 {
			return i
		}
	}
	return min(0, len(t.Columns)-1)
}

// verdictBenchmarks compares each policy with the reference row on each benchmark.
func (r *Report) verdictBenchmarks() string {
	var apart []string
	compared := 0
	for _, t := range r.Benchmarks {
		h := t.headline()
		if h < 0 || t.OfRewards {
			continue
		}
		var ref *Interval
		for _, row := range t.Rows {
			if row.Model == r.Matrix.Reference {
				ref = row.Values[h]
			}
		}
		if ref == nil || !ref.known() {
			continue
		}
		for _, row := range t.Rows {
			v := row.Values[h]
			if r.model(row.Model).role() != "policy" || v == nil || !v.known() {
				continue
			}
			compared++
			word := ""
			switch {
			case *v.Lo > *ref.Hi:
				word = "above"
			case *v.Hi < *ref.Lo:
				word = "below"
			default:
				continue
			}
			apart = append(apart, fmt.Sprintf("%s of %s on %s (%s against %s)", metricLabel(t.Columns[h]),
				row.Model+" "+word, t.Title(), v.text(), ref.text()))
		}
	}
	if compared == 0 {
		return ""
	}
	if len(apart) == 0 {
		return fmt.Sprintf("On the benchmarks, no policy's interval is apart from that of the %s model (%s), which "+
			"does not show that they are equal.",
			r.Matrix.Reference, plural(compared, "comparison", "comparisons"))
	}
	more := ""
	if len(apart) > 3 {
		more = fmt.Sprintf(", and %d more", len(apart)-3)
		apart = apart[:3]
	}
	return fmt.Sprintf("On the benchmarks, of %s with the %s model, intervals are apart for %s%s.",
		plural(compared, "comparison", "comparisons"), r.Matrix.Reference, strings.Join(apart, "; "), more)
}
