package report

import (
	"slices"
	"strings"

	"steer/eval/compare"
)

// Headline is the table of the first screen: what the verdict is made from, a row a
// model.
type Headline struct {
	Columns []string      `json:"columns"`
	Rows    []HeadlineRow `json:"rows"`
	Notes   []string      `json:"notes"`
}

// HeadlineRow is one model.
type HeadlineRow struct {
	Model string         `json:"model"`
	Cells []HeadlineCell `json:"cells"`
}

// HeadlineCell is a number with its interval and what a test says of it. Mark is up,
// down, same (tested, no difference shown) or "".
type HeadlineCell struct {
	Value  string `json:"value"`
	Ends   string `json:"ends,omitempty"`
	Detail string `json:"detail,omitempty"`
	Mark   string `json:"mark,omitempty"`
}

// fillHeadline gathers, for each model, the change under its own reward, the distance
// it went for it, and its primary benchmark against the reference.
func (r *Report) fillHeadline() {
	if len(r.Models) == 0 || r.Matrix == nil && len(r.Benchmarks) == 0 {
		return
	}
	h := &Headline{}
	reference := r.reference()
	primary := r.primary()
	if m := r.Matrix; m != nil {
		h.Columns = append(h.Columns, "own reward, against "+reference)
		if len(m.KL) > 0 {
			h.Columns = append(h.Columns, "KL, nats")
		}
	}
	if primary != nil {
		label := metricLabel(primary.Columns[primary.headline()])
		compared := label
		if f := r.familyOf(primary.key()); f != nil {
			compared = metricLabel(string(f.Metric))
		}
		h.Columns = append(h.Columns, primary.Title()+", "+label, compared+", against "+reference)
	}
	others := r.otherFamilies(primary)
	if len(others) > 0 {
		h.Columns = append(h.Columns, plural(len(others), "other benchmark", "other benchmarks")+", against "+reference)
	}
	for _, model := range r.Models {
		row := HeadlineRow{Model: model.Name}
		if r.Matrix != nil {
			row.Cells = append(row.Cells, r.ownCells(model.Name)...)
		}
		if primary != nil {
			row.Cells = append(row.Cells, r.primaryCells(primary, model.Name, reference)...)
		}
		if len(others) > 0 {
			row.Cells = append(row.Cells, otherCell(others, model.Name, reference))
		}
		h.Rows = append(h.Rows, row)
	}
	h.Notes = r.headlineNotes(primary)
	r.Headline = h
}

// reference names the model that the others are compared with.
func (r *Report) reference() string {
	if r.Matrix != nil {
		return r.Matrix.Reference
	}
	for _, role := range []string{"sft", "base"} {
		for _, m := range r.Models {
			if m.role() == role {
				return m.Name
			}
		}
	}
	return r.Models[0].Name
}

// primary is the benchmark that stands in the first table: Scruples by log-likelihood,
// the project's main one, else the first of language models with an MCC, else the first
// of them.
func (r *Report) primary() *BenchmarkTable {
	var best *BenchmarkTable
	rank := 0
	for i := range r.Benchmarks {
		t := &r.Benchmarks[i]
		if t.OfRewards || t.headline() < 0 {
			continue
		}
		score := 1
		if t.Columns[t.headline()] == "mcc" {
			score = 2
		}
		if t.Benchmark == "scruples" && t.Protocol == "loglik" {
			score = 3
		}
		if score > rank {
			best, rank = t, score
		}
	}
	return best
}

func (r *Report) familyOf(key string) *compare.Family {
	for _, f := range r.Tests {
		if benchmarkKey(f.Benchmark, f.Protocol) == key {
			return f
		}
	}
	return nil
}

// otherFamilies are the tested benchmarks of language models but the primary one.
func (r *Report) otherFamilies(primary *BenchmarkTable) []*compare.Family {
	var out []*compare.Family
	for _, f := range r.Tests {
		t := r.table(benchmarkKey(f.Benchmark, f.Protocol))
		if !t.OfRewards && (primary == nil || t.key() != primary.key()) {
			out = append(out, f)
		}
	}
	return out
}

func (r *Report) ownCells(model string) []HeadlineCell {
	m := r.Matrix
	own, kl := HeadlineCell{Value: "-"}, HeadlineCell{Value: "-"}
	if i := slices.Index(m.Policies, model); i >= 0 {
		if j := m.Own[i]; j >= 0 && m.cells()[i][j].Diff != nil {
			c := m.cells()[i][j]
			own.Value, own.Ends = interval(*c.Diff, c.DiffLo, c.DiffHi)
			own.Value = plus(own.Value)
			own.Mark = markOf(c.Direction(), c.tested())
			if c.Holm != nil {
				own.Detail = "Holm p " + pValue(*c.Holm)
			}
			own.Detail = withRuns(own.Detail, c.PerRun)
		}
		if v, ok := m.KL[model]; ok {
			kl.Value, kl.Ends = interval(v.Mean, v.Lo, v.Hi)
			kl.Detail = withRuns("", v.PerRun)
		}
	}
	if len(m.KL) == 0 {
		return []HeadlineCell{own}
	}
	return []HeadlineCell{own, kl}
}

// withRuns adds the range of the runs to a detail, where there are several.
func withRuns(detail string, perRun []float64) string {
	if len(perRun) < 2 {
		return detail
	}
	return strings.TrimPrefix(detail+"; "+runsText(perRun), "; ")
}

func markOf(direction int, tested bool) string {
	switch {
	case direction > 0:
		return "up"
	case direction < 0:
		return "down"
	case tested:
		return "same"
	}
	return ""
}

func (r *Report) primaryCells(t *BenchmarkTable, model, reference string) []HeadlineCell {
	value, against := HeadlineCell{Value: "-"}, HeadlineCell{Value: "-"}
	if v := r.value(t.key(), model, t.Columns[t.headline()]); v != nil {
		value.Value, value.Ends = interval(v.Mean, v.Lo, v.Hi)
		if row := r.row(t.key(), model); slices.Contains(row.Flags, "degenerate") {
			value.Detail = "one answer to every item"
		}
		value.Detail = withRuns(value.Detail, v.PerRun)
	}
	if f := r.familyOf(t.key()); f != nil && model != reference {
		if p, sign := pairOf(f, model, reference); p != nil {
			against = pairCell(f, *p, sign)
		}
	}
	return []HeadlineCell{value, against}
}

// pairOf finds the comparison of two models; sign is -1 where the family has it the
// other way round.
func pairOf(f *compare.Family, a, b string) (*compare.Pair, float64) {
	for i := range f.Pairs {
		switch p := &f.Pairs[i]; {
		case p.A == a && p.B == b:
			return p, 1
		case p.A == b && p.B == a:
			return p, -1
		}
	}
	return nil, 0
}

func pairCell(f *compare.Family, p compare.Pair, sign float64) HeadlineCell {
	v := pairInterval(p, sign)
	c := HeadlineCell{Detail: "Holm p " + pValue(p.Holm), Mark: "same"}
	c.Value, c.Ends = interval(v.Mean, v.Lo, v.Hi)
	c.Value = plus(c.Value)
	switch {
	case p.Identical:
		c.Detail = "the same answers"
	case p.Degenerate == "both":
		return HeadlineCell{Value: "-", Detail: "both give one answer only"}
	}
	if p.Different(f.Alpha) {
		c.Mark = markOf(signOf(v.Mean), true)
	}
	return c
}

// signOf is -1, 0 or 1.
func signOf(v float64) int {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// pairInterval is the difference of a pair, turned round where sign is -1.
func pairInterval(p compare.Pair, sign float64) Interval {
	v := Interval{Mean: sign * p.Difference.Value}
	if lo, hi := p.Difference.Lo, p.Difference.Hi; lo != nil && hi != nil {
		a, b := sign**lo, sign**hi
		a, b = min(a, b), max(a, b)
		v.Lo, v.Hi = &a, &b
	}
	return v
}

// otherCell lists the other benchmarks on which a model differs from the reference.
func otherCell(families []*compare.Family, model, reference string) HeadlineCell {
	if model == reference {
		return HeadlineCell{Value: "-"}
	}
	var names []string
	tested := 0
	for _, f := range families {
		p, sign := pairOf(f, model, reference)
		if p == nil {
			continue
		}
		tested++
		if p.Different(f.Alpha) {
			word := "lower"
			if sign*p.Difference.Value > 0 {
				word = "higher"
			}
			names = append(names, benchmarkTitle(f.Benchmark, f.Protocol)+" "+word)
		}
	}
	switch {
	case tested == 0:
		return HeadlineCell{Value: "-"}
	case len(names) == 0:
		return HeadlineCell{Value: "no difference shown", Mark: "same"}
	}
	return HeadlineCell{Value: strings.Join(names, ", ")}
}

// headlineNotes say what the columns are.
func (r *Report) headlineNotes(primary *BenchmarkTable) []string {
	var out []string
	if m := r.Matrix; m != nil {
		unit := "on the reward model's own scale"
		if m.Norm != nil {
			unit = "in standard deviations of the reward model's reference scores"
		}
		s := "Own reward: mean score of the answers under the reward model " +
			strings.Replace(r.ownReward(), "it was", "that the policy was", 1) + ", minus " +
			"that of " + m.Reference + " on the same prompts, " + unit + "."
		if r.Scores != nil {
			s += " Holm's correction over all " + group(r.scoreTests()) + " cells of the matrix."
		}
		out = append(out, s)
	}
	if slices.ContainsFunc(r.Models, func(m Model) bool { return m.BestOf > 0 }) {
		out = append(out, "A best-of-n policy has no log-probabilities of its own: benchmarks do not measure it.")
	}
	if primary != nil {
		if f := r.familyOf(primary.key()); f != nil {
			out = append(out, primary.Title()+": "+familyText(f)+".")
		}
	}
	return out
}

// scoreTests counts the tests of the matrix.
func (r *Report) scoreTests() int {
	n := 0
	for _, row := range r.Scores.Cells {
		for _, c := range row {
			if c.P != nil {
				n++
			}
		}
	}
	return n
}

// familyText states the family whose p-values are adjusted for one another.
func familyText(f *compare.Family) string {
	s := plural(len(f.Pairs), "paired test", "paired tests") + " of " + plural(len(f.Models), "model", "models") +
		" on " + plural(f.Items, "item", "items")
	if f.Runs > 1 {
		s += " in " + plural(f.Runs, "run", "runs")
	}
	return s + ", adjusted together (Holm)"
}

// pValue prints a p-value.
func pValue(p float64) string {
	switch {
	case p < 0.0001:
		return "< 0.0001"
	case p < 0.001:
		return trim(p, 4)
	case p < 0.1:
		return trim(p, 3)
	}
	return trim(p, 2)
}
