package report

import (
	"slices"
	"strings"

	"steer/rl/run"
)

// How much of the answers is shown.
const (
	maxSamples     = 24
	maxAnswerRunes = 2000
)

func (r *Report) fillAccuracies() {
	for i := range r.Stages {
		s := &r.Stages[i]
		if s.Kind == "reward" && s.Result != nil && s.Result.Accuracy != nil {
			a := PairAccuracy{Theory: s.Theory, Recipe: s.Result.Recipe, Accuracy: *s.Result.Accuracy}
			a.Accuracy.mark = chance
			r.Accuracies = append(r.Accuracies, a)
		}
	}
}

func (r *Report) fillHeldout() {
	for i := range r.Stages {
		if s := &r.Stages[i]; s.Result != nil && s.Result.HeldoutLast != nil {
			r.Heldout = append(r.Heldout, HeldoutRow{Policy: s.label(), First: s.Result.HeldoutFirst,
				Last: s.Result.HeldoutLast})
		}
	}
}

// fillModels takes the models of the file and adds those that only the tables name.
func (r *Report) fillModels(ev *run.Evaluation) {
	for _, m := range ev.Models {
		r.Models = append(r.Models, Model(m))
	}
	add := func(name string) {
		if !slices.ContainsFunc(r.Models, func(m Model) bool { return m.Name == name }) {
			r.Models = append(r.Models, Model{Name: name})
		}
	}
	if ev.CrossReward != nil {
		for _, p := range ev.CrossReward.Policies {
			add(p)
		}
	}
	for _, b := range ev.Benchmarks {
		if !rewardProtocols[b.Protocol] {
			add(b.Model)
		}
	}
	for i := range r.Models {
		m := &r.Models[i]
		m.Role, m.Theory = m.role(), m.theoryOf()
	}
}

func (r *Report) model(name string) Model {
	for _, m := range r.Models {
		if m.Name == name {
			return m
		}
	}
	return Model{Name: name}
}

func (r *Report) fillMatrix(ev *run.Evaluation) {
	c := ev.CrossReward
	if c == nil || len(c.Policies) == 0 || len(c.Rewards) == 0 {
		return
	}
	m := &Matrix{
		Policies: c.Policies, Rewards: c.Rewards, Reference: c.Reference,
		KL: intervalsOf(c.KL), Lengths: intervalsOf(c.Lengths),
	}
	if c.Prompts != nil {
		d := dataOf(*c.Prompts)
		m.Prompts = &d
	}
	if m.Reference == "" {
		m.Reference = "sft"
	}
	for _, p := range c.Policies {
		m.Own = append(m.Own, slices.Index(c.Rewards, r.model(p).theoryOf()))
	}
	norms, ok := r.normalisations(c)
	switch {
	case c.Unit == "normalised":
		m.Norm = cellsOf(c.Cells)
		if ok {
			m.Raw = mapCells(cellsOf(c.Cells), norms,
				func(n run.Normalisation) (scale, shift float64) { return n.Std, n.Mean })
		}
	default:
		m.Raw = cellsOf(c.Cells)
		if ok {
			m.Norm = mapCells(cellsOf(c.Cells), norms,
				func(n run.Normalisation) (scale, shift float64) { return 1 / n.Std, -n.Mean / n.Std })
		}
	}
	r.Matrix = m
}

// normalisations looks for one of each reward: in the evaluation, else in the
// reward's own result. Without all of them, or with a Std of 0, there is no second
// view: columns in different units would invite comparison.
func (r *Report) normalisations(c *run.CrossReward) ([]run.Normalisation, bool) {
	out := make([]run.Normalisation, len(c.Rewards))
	for j, name := range c.Rewards {
		n, ok := c.Normalisation[name]
		for i := range r.Stages {
			if s := &r.Stages[i]; !ok && s.Kind == "reward" && s.Theory == name && s.Result != nil &&
				s.Result.Normalisation != nil {
				n, ok = *s.Result.Normalisation, true
			}
		}
		if !ok || n.Std <= 0 {
			return nil, false
		}
		out[j] = n
	}
	return out, true
}

// mapCells applies x -> scale*x + shift to every column; differences are only
// scaled. scale > 0, so intervals keep their order and their sign.
func mapCells(cells [][]Cell, norms []run.Normalisation, f func(run.Normalisation) (scale, shift float64)) [][]Cell {
	out := make([][]Cell, len(cells))
	for i, row := range cells {
		out[i] = slices.Clone(row)
		for j := range out[i] {
			scale, shift := f(norms[j])
			c := &out[i][j]
			level := func(p *float64) *float64 { return affine(p, scale, shift) }
			diff := func(p *float64) *float64 { return affine(p, scale, 0) }
			c.Mean = scale*c.Mean + shift
			c.Lo, c.Hi = level(c.Lo), level(c.Hi)
			c.Diff, c.DiffLo, c.DiffHi = diff(c.Diff), diff(c.DiffLo), diff(c.DiffHi)
		}
	}
	return out
}

func affine(p *float64, scale, shift float64) *float64 {
	if p == nil {
		return nil
	}
	v := scale**p + shift
	return &v
}

// columnOrder are the metrics shown first, of any benchmark. Others that a result holds
// follow, those with an interval first.
var columnOrder = []string{"mcc", "acc", "exact_match", "em", "balanced_acc", "macro_f1", "auc", "predicted_yes",
	"coverage", "answered_acc", "answered_mcc"}

// tableColumns is how many metrics a table shows at most.
const tableColumns = 8

// bookkeeping are metrics that belong to another one, or that would mislead beside it.
var bookkeeping = map[string]bool{
	"tp": true, "tn": true, "fp": true, "fn": true, "f1": true, "kappa": true, "gold_yes": true, "answered": true,
	"majority_acc": true, "ceiling_acc": true, "ceiling_mcc": true, "threshold": true, "threshold_mcc": true,
	"mcc_degenerate_resamples": true, "answered_balanced_acc": true, "tokens": true, "ties": true, "group_pairs": true,
}

// misleading are metrics that say nothing on one benchmark: dividing by the characters
// of "No" and "Yes" pushes towards Yes.
var misleading = map[string]string{"toxigen": "acc_norm"}

func (r *Report) fillBenchmarks(ev *run.Evaluation) {
	index := map[string]int{}
	for _, b := range ev.Benchmarks {
		key := benchmarkKey(b.Benchmark, b.Protocol)
		if _, ok := index[key]; !ok {
			index[key] = len(r.Benchmarks)
			r.Benchmarks = append(r.Benchmarks, newTable(ev, b))
		}
		t := &r.Benchmarks[index[key]]
		row := BenchmarkRow{Model: b.Model, N: b.N, Flags: b.Flags, Values: make([]*Interval, len(t.Columns))}
		for i, c := range t.Columns {
			mean, ok := b.Metrics[c]
			if !ok {
				continue
			}
			v := &Interval{Mean: mean, N: b.N}
			if e, ok := b.Intervals[c]; ok {
				v.Lo, v.Hi = &e[0], &e[1]
			}
			row.Values[i] = v
		}
		t.Rows = append(t.Rows, row)
	}
	for i := range r.Benchmarks {
		t := &r.Benchmarks[i]
		t.OfRewards = r.ofRewards(t, ev)
		place := r.modelIndex
		if t.OfRewards {
			place = func(name string) int { return slices.Index(r.Theories, name) }
		}
		slices.SortStableFunc(t.Rows, func(a, b BenchmarkRow) int { return place(a.Model) - place(b.Model) })
	}
}

// ofRewards tells whether the rows of a table are reward models: it is said by the
// protocol, or seen from the names. A reward may share its name with a policy, but
// language models are measured with the base and the SFT model among them.
func (r *Report) ofRewards(t *BenchmarkTable, ev *run.Evaluation) bool {
	if rewardProtocols[t.Protocol] {
		return true
	}
	for _, row := range t.Rows {
		if m := r.model(row.Model); m.role() != "policy" || ev.CrossReward == nil ||
			!slices.Contains(ev.CrossReward.Rewards, row.Model) {
			return false
		}
	}
	return ev.CrossReward != nil
}

// scaleOf puts the baseline and the ceiling of a benchmark, which are the same for
// every model, into words.
func scaleOf(b *run.Measurement) string {
	var parts []string
	if v, ok := b.Metrics["majority_acc"]; ok {
		parts = append(parts, "always the larger class: accuracy "+num(v)+", MCC 0")
	}
	acc, okAcc := b.Metrics["ceiling_acc"]
	mcc, okMCC := b.Metrics["ceiling_mcc"]
	if okAcc && okMCC {
		parts = append(parts, "an oracle against these noisy labels: accuracy "+num(acc)+", MCC "+num(mcc))
	}
	return strings.Join(parts, "; ")
}

func (r *Report) modelIndex(name string) int {
	return slices.IndexFunc(r.Models, func(m Model) bool { return m.Name == name })
}

func newTable(ev *run.Evaluation, b *run.Measurement) BenchmarkTable {
	t := BenchmarkTable{Benchmark: b.Benchmark, Protocol: b.Protocol, Scale: scaleOf(b)}
	if v, ok := b.Metrics["majority_acc"]; ok {
		t.Majority = &v
	}
	if v, ok := b.Metrics["ceiling_mcc"]; ok {
		t.Ceiling = &v
	}
	said := b.Provenance.All()
	for _, k := range sortedKeys(said) {
		if !run.NamesRecords(k) { // another file for every model
			t.Measured = append(t.Measured, k+": "+said[k].String())
		}
	}
	columns := columnsOf(ev, b)
	t.Columns = columns[:min(len(columns), tableColumns)]
	t.Hidden = columns[len(t.Columns):]
	return t
}

// columnsOf lists the metrics that any model has for b's benchmark and protocol, in the
// order of showing.
func columnsOf(ev *run.Evaluation, b *run.Measurement) []string {
	has, withInterval := map[string]bool{}, map[string]bool{}
	for _, o := range ev.Benchmarks {
		if o.Benchmark == b.Benchmark && o.Protocol == b.Protocol {
			for k := range o.Metrics {
				has[k] = !bookkeeping[k] && misleading[b.Benchmark] != k && !strings.HasSuffix(k, "_stderr") &&
					!strings.HasSuffix(k, "_p") && !strings.HasPrefix(k, "n_")
				_, ok := o.Intervals[k]
				withInterval[k] = withInterval[k] || ok
			}
		}
	}
	rank := func(name string) int {
		switch i := slices.Index(columnOrder, name); {
		case i >= 0:
			return i
		case withInterval[name]:
			return len(columnOrder)
		}
		return len(columnOrder) + 1
	}
	columns := slices.DeleteFunc(sortedKeys(has), func(k string) bool { return !has[k] })
	slices.SortStableFunc(columns, func(a, b string) int { return rank(a) - rank(b) })
	return columns
}

func (r *Report) fillSamples(ev *run.Evaluation) {
	for i, s := range ev.Samples {
		if i == maxSamples {
			r.SamplesLeftOut = len(ev.Samples) - maxSamples
			break
		}
		out := Sample{Sample: run.Sample{Prompt: clip(s.Prompt), Answers: map[string]string{}, Scores: s.Scores}}
		for k, v := range s.Answers {
			out.Answers[k] = clip(v)
		}
		r.Samples = append(r.Samples, out)
	}
}

// clip makes text safe to show: control characters become visible pictures of
// themselves, and what is longer than maxAnswerRunes is cut, saying so.
func clip(s string) string {
	s = visible(s)
	runes := []rune(s)
	if len(runes) <= maxAnswerRunes {
		return s
	}
	return string(runes[:maxAnswerRunes]) + " … [" + group(len(runes)-maxAnswerRunes) + " more characters]"
}

// visible replaces what an HTML or XML document cannot hold, or what would reorder
// the text around it.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return c
		case c == '\r':
			return -1
		case c < 0x20:
			return 0x2400 + c // U+2400: pictures of control characters
		case c == 0x7f:
			return 0x2421
		case c >= 0x80 && c < 0xa0, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069, c == 0xfffe, c == 0xffff:
			return 0xfffd
		}
		return c
	}, s)
}
