package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"steer/eval/compare"
	"steer/internal/stats"
	"steer/rl/run"
)

// LoadTwo compares two runs, B against A: every model with the model of the same name,
// on the items and prompts that both were asked. What only one of them has is left out
// and named; what was measured in another way is said. Each folder is an experiment or
// the run folder of an evaluation.
func (l Loader) LoadTwo(a, b string) (*Report, error) {
	if same(a, b) {
		return nil, fmt.Errorf("report: %s is compared with itself", a)
	}
	var parts []*Report
	for _, dir := range []string{a, b} {
		folders, err := l.openAll([]string{dir})
		if err != nil {
			return nil, err
		}
		if len(folders) > 1 {
			return nil, fmt.Errorf("report: %s holds %d experiments: give one of them", dir, len(folders))
		}
		p, err := l.assembled(folders)
		if err != nil {
			return nil, err
		}
		if p.evaluation() == nil {
			return nil, fmt.Errorf("report: %s has no finished evaluation to compare (want eval/result.json): %w",
				dir, ErrNotRuns)
		}
		parts = append(parts, p)
	}
	t := &two{r: &Report{Version: reportVersion, parts: parts}, a: parts[0], b: parts[1]}
	t.name(a, b)
	t.gather()
	t.benchmarks()
	t.matrix()
	t.differences()
	t.r.fillBenchmarkCharts()
	t.headline()
	t.verdict()
	t.r.sortFlags()
	return t.r, nil
}

// two is a comparison being made.
type two struct {
	r, a, b *Report
	models  []string // in both
	scores  int      // tests of the matrix
}

// name calls the runs by their folders where those tell them apart.
func (t *two) name(a, b string) {
	labels := [2]string{filepath.Base(filepath.Clean(a)), filepath.Base(filepath.Clean(b))}
	if labels[0] == labels[1] {
		labels = [2]string{"A", "B"}
	}
	for i, dir := range []string{a, b} {
		t.r.Compared = append(t.r.Compared, Run{Label: labels[i], Folder: filepath.ToSlash(filepath.Clean(dir)),
			Seed: t.r.parts[i].seed()})
	}
	t.r.Title = "Two runs: " + labels[1] + " against " + labels[0]
	t.r.Question = "Do the models of " + labels[1] + " differ from the models of the same name of " + labels[0] + "?"
}

func (t *two) label(run int, model string) string { return t.r.Compared[run].Label + ": " + model }

func (t *two) gather() {
	r := t.r
	r.Theories = orderTheories(append(slices.Clone(t.a.Theories), t.b.Theories...))
	r.Base = t.b.Base
	for i, p := range r.parts {
		for _, s := range p.Stages {
			s.Run = r.Compared[i].Label
			r.Stages = append(r.Stages, s)
		}
	}
	for _, m := range t.a.Models {
		if t.b.modelIndex(m.Name) < 0 {
			r.flag(Note, r.Compared[0].Label, "%s is in this run only.", m.Name)
			continue
		}
		t.models = append(t.models, m.Name)
		for i, p := range r.parts {
			o := p.model(m.Name)
			r.Models = append(r.Models, Model{Name: t.label(i, m.Name), Role: o.role(), Theory: o.theoryOf(),
				Adapters: o.Adapters})
		}
	}
	for _, m := range t.b.Models {
		if t.a.modelIndex(m.Name) < 0 {
			r.flag(Note, r.Compared[1].Label, "%s is in this run only.", m.Name)
		}
	}
}

// benchmarks sets the tables of both runs into one another and tests every pair of
// rows.
func (t *two) benchmarks() {
	for i := range t.a.Benchmarks {
		ta := &t.a.Benchmarks[i]
		tb := t.b.table(ta.key())
		if tb == nil {
			t.r.flag(Note, t.r.Compared[0].Label, "%s is in this run only.", ta.Title())
			continue
		}
		out := BenchmarkTable{Benchmark: ta.Benchmark, Protocol: ta.Protocol, Scale: ta.Scale, Majority: ta.Majority,
			Ceiling: ta.Ceiling, OfRewards: ta.OfRewards,
			Columns: slices.DeleteFunc(slices.Clone(ta.Columns),
				func(c string) bool { return !slices.Contains(tb.Columns, c) })}
		var shared []string
		for _, row := range ta.Rows {
			if t.b.row(ta.key(), row.Model) == nil {
				continue
			}
			shared = append(shared, row.Model)
			for k, p := range t.r.parts {
				from := p.row(ta.key(), row.Model)
				line := BenchmarkRow{Model: t.label(k, row.Model), N: from.N, Flags: from.Flags}
				for _, c := range out.Columns {
					line.Values = append(line.Values, p.value(ta.key(), row.Model, c))
				}
				out.Rows = append(out.Rows, line)
			}
		}
		if len(shared) == 0 || len(out.Columns) == 0 {
			continue
		}
		t.r.Benchmarks = append(t.r.Benchmarks, out)
		t.test(&out, shared)
	}
	for i := range t.b.Benchmarks {
		if tb := &t.b.Benchmarks[i]; t.a.table(tb.key()) == nil {
			t.r.flag(Note, t.r.Compared[1].Label, "%s is in this run only.", tb.Title())
		}
	}
}

func (t *two) test(table *BenchmarkTable, shared []string) {
	metric, ok := table.testable()
	if !ok {
		return
	}
	f, err := t.family(table, metric, shared)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, compare.ErrNotClassified):
		t.r.flag(Note, "eval", "%s: the records of single items were not found in both runs, so its differences "+
			"are not tested.", table.Title())
	case err != nil:
		t.r.flagUntested(table.Title()+": its differences are not tested", err)
	default:
		t.r.Tests = append(t.r.Tests, f)
		t.r.flagFamily(table, f)
	}
}

func (t *two) family(table *BenchmarkTable, metric compare.Metric, shared []string) (*compare.Family, error) {
	var run []compare.Input
	var pairs [][2]string
	for _, m := range shared {
		for k, p := range t.r.parts {
			items, err := p.items(table.key(), m)
			if err != nil {
				return nil, err
			}
			run = append(run, compare.Input{Model: t.label(k, m), Items: items})
		}
		pairs = append(pairs, [2]string{t.label(1, m), t.label(0, m)})
	}
	f, err := compare.Chosen(compare.Benchmark{Name: table.Benchmark, Protocol: table.Protocol, Metric: metric,
		Runs: [][]compare.Input{run}}, pairs, t.r.options(table))
	if errors.Is(err, compare.ErrManyClasses) {
		return t.family(table, compare.Accuracy, shared)
	}
	if err != nil {
		return nil, err
	}
	return f, t.r.agree(table, f)
}

// matrix compares the scores of the answers prompt by prompt, each run's under its own
// reward models.
func (t *two) matrix() {
	ma, mb := t.a.Matrix, t.b.Matrix
	if ma == nil || mb == nil {
		return
	}
	in := func(list []string) func(string) bool {
		return func(s string) bool { return !slices.Contains(list, s) }
	}
	m := &Matrix{Policies: slices.DeleteFunc(slices.Clone(ma.Policies), in(mb.Policies)),
		Rewards:   slices.DeleteFunc(slices.Clone(ma.Rewards), in(mb.Rewards)),
		Reference: t.r.Compared[0].Label, Prompts: mb.Prompts, Tested: true}
	if len(m.Policies) == 0 || len(m.Rewards) == 0 || ma.Norm == nil || mb.Norm == nil {
		t.r.flag(Note, "eval", "The cross-reward matrices have no normalised cell in common: they are not compared.")
		return
	}
	var raw []float64
	var at []*Cell
	for _, policy := range m.Policies {
		row, err := t.scoresOf(policy, m.Rewards)
		if err != nil {
			t.r.flagUntested("The cross-reward matrices are not compared", err)
			return
		}
		m.Norm = append(m.Norm, row)
		m.Own = append(m.Own, slices.Index(m.Rewards, t.b.model(policy).theoryOf()))
		for j := range row {
			raw, at = append(raw, *row[j].P), append(at, &row[j])
		}
	}
	for k, v := range stats.Holm(raw) {
		at[k].Holm = &v
	}
	t.scores = len(raw)
	t.r.Matrix = m
	t.r.flag(Note, "eval", "Each run's answers are scored by its own reward models and in their standard "+
		"deviations: a difference can come from the policy or from the reward model.")
}

// scoresOf is one row of the matrix: B's scores, and their difference to A's.
func (t *two) scoresOf(policy string, rewards []string) ([]Cell, error) {
	set := compare.ScoreSet{Policies: []string{"A", "B"}, Rewards: rewards, Reference: "A",
		Runs: make([]compare.ScoreRun, 1)}
	for k, p := range t.r.parts {
		stage := p.evaluationStage()
		answers, err := stage.answers()
		if err != nil {
			return nil, err
		}
		norms, ok := p.normalisations(stage.eval.CrossReward)
		if !ok {
			return nil, fmt.Errorf("%s has no normalisation of every reward model", t.r.Compared[k].Label)
		}
		for _, x := range answers {
			if x.Policy != policy {
				continue
			}
			scores := map[string]float64{}
			for j, n := range norms {
				scores[p.Matrix.Rewards[j]] = (x.Raw[p.Matrix.Rewards[j]] - n.Mean) / n.Std
			}
			set.Runs[0].Answers = append(set.Runs[0].Answers,
				run.Answer{ID: x.ID, Policy: set.Policies[k], Raw: scores})
		}
	}
	s, err := set.Compare(t.r.scoreOptions())
	if err != nil {
		return nil, err
	}
	var row []Cell
	for _, c := range s.Cells[1] {
		d := c.Difference
		row = append(row, Cell{P: c.P, Cell: run.Cell{
			Mean: c.Value, Lo: c.Lo, Hi: c.Hi, N: s.Prompts, Diff: &d.Value, DiffLo: d.Lo, DiffHi: d.Hi,
		}})
	}
	return row, nil
}

// headline has a row a model and a column a benchmark.
func (t *two) headline() {
	if len(t.r.Tests) == 0 {
		return
	}
	h := &Headline{}
	for _, f := range t.r.Tests {
		if !t.r.table(benchmarkKey(f.Benchmark, f.Protocol)).OfRewards {
			h.Columns = append(h.Columns, benchmarkTitle(f.Benchmark,
				f.Protocol)+", difference of "+metricLabel(string(f.Metric)))
		}
	}
	for _, m := range t.models {
		row := HeadlineRow{Model: m}
		for _, f := range t.r.Tests {
			if t.r.table(benchmarkKey(f.Benchmark, f.Protocol)).OfRewards {
				continue
			}
			c := HeadlineCell{Value: "-"}
			if p, sign := pairOf(f, t.label(1, m), t.label(0, m)); p != nil {
				c = pairCell(f, *p, sign)
			}
			row.Cells = append(row.Cells, c)
		}
		h.Rows = append(h.Rows, row)
	}
	h.Notes = []string{"Differences are " + t.r.Compared[1].Label + " minus " + t.r.Compared[0].Label +
		", paired by item; Holm's correction within each column."}
	t.r.Headline = h
}

// verdict says in two sentences what differs.
func (t *two) verdict() {
	var shown []testedPair
	pairs := t.r.allPairs()
	largest, bounded := 0.0, 0
	for _, p := range pairs {
		if p.holm < alpha {
			shown = append(shown, p)
		}
		if s := p.p.Simultaneous; s != nil && s.Lo != nil {
			largest = math.Max(largest, math.Max(-*s.Lo, *s.Hi))
			bounded++
		}
	}
	slices.SortStableFunc(shown, func(a, b testedPair) int { return cmp.Compare(a.holm, b.holm) })
	switch {
	case len(pairs) == 0:
		t.r.Verdict = append(t.r.Verdict, "No benchmark could be compared item by item, so the question stays open.")
	case len(shown) == 0:
		s := fmt.Sprintf("%s of models of the same name show no difference after Holm's correction over all of them",
			plural(len(pairs), "comparison", "comparisons"))
		if bounded > 0 {
			s += fmt.Sprintf("; differences larger than %s are excluded for %s (95 %% intervals, simultaneous "+
				"within each benchmark), smaller ones are not", brief(largest), plural(bounded, "pair", "pairs"))
		}
		t.r.Verdict = append(t.r.Verdict, s+".")
	default:
		verb := "differ"
		if len(shown) == 1 {
			verb = "differs"
		}
		t.r.Verdict = append(t.r.Verdict, fmt.Sprintf("Of %s of models of the same name, %d %s after Holm's "+
			"correction over all of them: %s.",
			plural(len(pairs), "comparison", "comparisons"), len(shown), verb, nameDifferences(shown)))
	}
	if m := t.r.Matrix; m != nil {
		up, down := 0, 0
		for _, row := range m.Norm {
			for _, c := range row {
				switch c.Direction() {
				case 1:
					up++
				case -1:
					down++
				}
			}
		}
		t.r.Verdict = append(t.r.Verdict, fmt.Sprintf("Of %s of the cross-reward matrix, %d are higher than in %s, "+
			"%d lower, and for %d no difference was shown (paired permutation, Holm over all cells).",
			plural(t.scores, "cell", "cells"), up, m.Reference, down, t.scores-up-down))
	}
}

// differences tells what was not the same in the two runs.
func (t *two) differences() {
	for i := range t.r.Benchmarks {
		tab := &t.r.Benchmarks[i]
		pa, pb := t.a.provenance(tab.key()), t.b.provenance(tab.key())
		var parts []string
		for _, k := range sortedKeys(pa) {
			if run.NamesRecords(k) || k == "data" {
				continue // what came out, or a path: the hash beside it counts
			}
			if v, ok := pb[k]; ok && v.String() != pa[k].String() {
				parts = append(parts, fmt.Sprintf("%s %v against %v", k, v, pa[k]))
			}
		}
		if len(parts) > 0 {
			t.r.flag(Caution, "eval", "%s was not measured alike: %s.", tab.Title(), strings.Join(parts, "; "))
		}
	}
	if a, b := t.a.Base, t.b.Base; a != nil && b != nil && a.SHA256 != b.SHA256 {
		t.r.flag(Caution, "all", "The base models differ: %s against %s.", short(b.SHA256), short(a.SHA256))
	}
	for _, s := range t.b.Stages {
		for _, o := range t.a.Stages {
			if o.Name == s.Name && o.Config != s.Config {
				t.r.flag(Note, s.Name, "Its configuration differs: %s.", lineDifference(o.Config, s.Config))
			}
		}
	}
}

// lineDifference lists the lines that only one text has.
func lineDifference(a, b string) string {
	const most = 6
	only := func(x, y string) []string {
		have := map[string]bool{}
		for _, l := range strings.Split(y, "\n") {
			have[strings.TrimSpace(l)] = true
		}
		var out []string
		for _, l := range strings.Split(x, "\n") {
			if l = strings.TrimSpace(l); l != "" && !have[l] {
				out = append(out, l)
			}
		}
		return out
	}
	show := func(lines []string) string {
		more := ""
		if len(lines) > most {
			lines, more = lines[:most], ", ..."
		}
		if len(lines) == 0 {
			return "nothing"
		}
		return strings.Join(lines, ", ") + more
	}
	return show(only(b, a)) + " instead of " + show(only(a, b))
}
