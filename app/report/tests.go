package report

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"steer/eval/compare"
	"steer/rl/run"
)

// agreement: a metric computed again from the records may differ from the file's by
// rounding only.
const agreement = 1e-9

// sources are the runs that a report is made of: itself, or several.
func (r *Report) sources() []*Report {
	if len(r.parts) > 0 {
		return r.parts
	}
	return []*Report{r}
}

func (r *Report) evaluationStage() *Stage {
	for i := range r.Stages {
		if r.Stages[i].eval != nil {
			return &r.Stages[i]
		}
	}
	return nil
}

// testBenchmarks redoes, from the records of single items, every test that the tables
// allow. Whatever keeps a table from being tested becomes a flag.
func (r *Report) testBenchmarks() {
	for i := range r.Benchmarks {
		t := &r.Benchmarks[i]
		metric, ok := t.testable()
		if !ok || len(t.Rows) < 2 {
			continue
		}
		f, err := r.family(t, metric)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.flag(Note, "eval", "%s: the records of single items were not found, so its differences are not tested.",
				t.Title())
		case errors.Is(err, compare.ErrNotClassified):
			r.flag(Note, "eval", "%s: its records hold no single predictions, so its differences are not tested.",
				t.Title())
		case err != nil:
			r.flagUntested(t.Title()+": its differences are not tested", err)
		default:
			r.Tests = append(r.Tests, f)
			r.flagFamily(t, f)
			t.takeIntervals(f, r.Runs)
		}
	}
}

// testable tells which metric of a table is compared: the MCC where it is reported,
// because accuracy rewards the larger class, else the accuracy, or the share of exact
// matches.
func (t *BenchmarkTable) testable() (compare.Metric, bool) {
	switch h := t.headline(); {
	case h < 0:
		return "", false
	case t.Columns[h] == "mcc":
		return compare.MCC, true
	case shares[t.Columns[h]]:
		return compare.Accuracy, true
	}
	return "", false
}

// shares are metrics that are the share of right items.
var shares = map[string]bool{"acc": true, "exact_match": true}

// columnOf is the column of the metric that a family compares, or -1.
func (t *BenchmarkTable) columnOf(f *compare.Family) int {
	return slices.IndexFunc(t.Columns, func(c string) bool {
		return f.Metric == compare.MCC && c == "mcc" || f.Metric == compare.Accuracy && shares[c]
	})
}

// family reads the records of a table's models in every run and compares them.
func (r *Report) family(t *BenchmarkTable, metric compare.Metric) (*compare.Family, error) {
	b := compare.Benchmark{Name: t.Benchmark, Protocol: t.Protocol, Metric: metric}
	for _, part := range r.sources() {
		var run []compare.Input
		for _, row := range t.Rows {
			items, err := part.items(t.key(), row.Model)
			if err != nil {
				return nil, err
			}
			run = append(run, compare.Input{Model: row.Model, Items: items})
		}
		b.Runs = append(b.Runs, run)
	}
	f, err := compare.Classifiers(b, r.options(t))
	if errors.Is(err, compare.ErrManyClasses) {
		b.Metric = compare.Accuracy
		f, err = compare.Classifiers(b, r.options(t))
	}
	if err != nil {
		return nil, err
	}
	return f, r.agree(t, f)
}

// agree compares what the records give with what the results say.
func (r *Report) agree(t *BenchmarkTable, f *compare.Family) error {
	if f.LeftOut > 0 {
		return nil // the tests are of fewer items
	}
	column := t.columnOf(f)
	for _, m := range f.Models {
		for _, row := range t.Rows {
			if row.Model != m.Name || column < 0 || row.Values[column] == nil {
				continue
			}
			// Some benchmarks count a tie as half right; the tests count it as wrong.
			v, halves := row.Values[column].Mean, float64(m.Ties)/2/float64(f.Items*f.Runs)
			if math.Abs(v-m.Value) > agreement && math.Abs(v-m.Value-halves) > agreement {
				return fmt.Errorf("the records of %s give %s %s, its result %s: they are not of one evaluation",
					m.Name, metricLabel(t.Columns[column]), num(m.Value), num(v))
			}
		}
	}
	return nil
}

// provenance is that of the first result of a benchmark, by name.
func (r *Report) provenance(key string) map[string]run.Fact {
	for _, b := range r.evaluation().Benchmarks {
		if benchmarkKey(b.Benchmark, b.Protocol) == key {
			return b.Provenance.All()
		}
	}
	return nil
}

// items reads the records of a benchmark and model of one run. They are kept: tests and
// calibration read the same.
func (r *Report) items(key, model string) ([]run.Prediction, error) {
	stage := r.evaluationStage()
	for _, b := range stage.eval.Benchmarks {
		if benchmarkKey(b.Benchmark, b.Protocol) != key || b.Model != model {
			continue
		}
		name := b.Provenance.Items
		if name == "" {
			return nil, fmt.Errorf("result.json names no records: %w", fs.ErrNotExist)
		}
		if kept, ok := r.records[name]; ok {
			return kept, nil
		}
		path, err := stage.records(name, b.Provenance.ItemsSHA256)
		if err != nil {
			return nil, err
		}
		items, err := compare.ReadItems(path)
		if err != nil {
			return nil, err
		}
		if r.records == nil {
			r.records = map[string][]run.Prediction{}
		}
		r.records[name] = items
		return items, nil
	}
	return nil, fs.ErrNotExist
}

// options are those that the evaluation fixed: they stand in the provenance of its
// results. What an older result does not hold has its default.
func (r *Report) options(t *BenchmarkTable) compare.Options {
	opt := compare.DefaultOptions()
	for _, b := range r.sources()[0].evaluation().Benchmarks {
		if benchmarkKey(b.Benchmark, b.Protocol) != t.key() {
			continue
		}
		said := b.Provenance.All()
		take := func(name string, usable bool, use func()) {
			switch v, known := said[name]; {
			case usable:
				use()
			case known:
				r.flag(Caution, "eval", "%s: its result gives the %s as %v: the tests use their default.", t.Title(),
					name, v)
			}
		}
		p := b.Provenance
		take("confidence", p.Confidence != nil && *p.Confidence > 0, func() { opt.Confidence = *p.Confidence })
		take("margin", p.Margin != nil && *p.Margin > 0, func() { opt.Margin = *p.Margin })
		take("resamples", p.Resamples != nil && *p.Resamples > 0, func() { opt.Resamples = *p.Resamples })
		take("seed", p.Seed != nil, func() { opt.Seed = *p.Seed }) // any of 64 bits, 0 among them
		if _, fixed := said["margin"]; !fixed {
			r.noMargin = true
		}
		break
	}
	return opt
}

// flagFamily says what a reader of the tests has to know.
func (r *Report) flagFamily(t *BenchmarkTable, f *compare.Family) {
	if f.LeftOut > 0 {
		r.flag(Caution, "eval", "%s: %s not asked of every model and are left out of the tests.", t.Title(),
			plural(f.LeftOut, "item was", "items were"))
	}
	if f.Common != nil && *f.Common < f.Items/10 {
		r.flag(Caution, "eval", "%s: of %s, every model answered %s: a comparison of the answered alone rests on "+
			"no more.", t.Title(), plural(f.Items, "item", "items"), group(*f.Common))
	}
	if a := f.Answered; a != nil && a.P < alpha {
		r.flag(Caution, "eval", "%s: the models differ in how often they answer (Cochran's Q %s, df %d, p %s): "+
			"numbers on the answered items alone compare different items.", t.Title(), num(a.Q), a.DF, pValue(a.P))
	}
}

// takeIntervals puts the intervals of the tests into the table where it has none: those
// of means over runs.
func (t *BenchmarkTable) takeIntervals(f *compare.Family, runs []Run) {
	if len(runs) == 0 {
		return
	}
	c := t.columnOf(f)
	if c < 0 {
		return
	}
	for i := range t.Rows {
		for _, m := range f.Models {
			if v := t.Rows[i].Values[c]; m.Name == t.Rows[i].Model && v != nil {
				v.Lo, v.Hi = m.Lo, m.Hi
			}
		}
	}
}

// testScores tests the cross-reward matrix from the answers' scores.
func (r *Report) testScores() {
	m := r.Matrix
	if m == nil {
		return
	}
	set := compare.ScoreSet{Policies: m.Policies, Rewards: m.Rewards, Reference: m.Reference}
	for _, part := range r.sources() {
		stage := part.evaluationStage()
		answers, err := stage.answers()
		if errors.Is(err, fs.ErrNotExist) {
			r.flag(Note, "eval", "The scores of single answers were not found: the matrix is marked by intervals, "+
				"each by itself.")
			return
		}
		if err != nil {
			r.flagUntested("The matrix is not tested", err)
			return
		}
		scores := compare.ScoreRun{Answers: answers}
		if norms, ok := part.normalisations(stage.eval.CrossReward); ok && m.Norm != nil {
			scores.Mean, scores.Std = map[string]float64{}, map[string]float64{}
			for j, n := range norms {
				scores.Mean[m.Rewards[j]], scores.Std[m.Rewards[j]] = n.Mean, n.Std
			}
		}
		set.Runs = append(set.Runs, scores)
	}
	s, err := set.Compare(r.scoreOptions())
	if err != nil {
		r.flagUntested("The matrix is not tested", err)
		return
	}
	r.Scores, m.Tested = s, true
	m.take(s)
	r.flagFloor("of the matrix", r.scoreTests(), s.Resamples)
}

// flagFloor warns where so many sampled tests are adjusted together that even the
// smallest p-value they can have does not reach the level.
func (r *Report) flagFloor(what string, tests, resamples int) {
	if floor := float64(tests) / float64(1+resamples); floor >= alpha {
		r.flag(Caution, "eval", "With %s no difference %s can be shown after Holm's correction over %s (the "+
			"smallest p is %s): evaluate with more.",
			plural(resamples, "resample", "resamples"), what, plural(tests, "test", "tests"), pValue(floor))
	}
}

// scoreOptions are those of the first benchmark, or the defaults: the matrix has the
// evaluation's seed.
func (r *Report) scoreOptions() compare.Options {
	opt := compare.DefaultOptions()
	if ev := r.sources()[0].evaluation(); len(ev.Benchmarks) > 0 {
		t := &BenchmarkTable{Benchmark: ev.Benchmarks[0].Benchmark, Protocol: ev.Benchmarks[0].Protocol}
		opt = r.options(t)
	}
	return opt
}

// take puts tests into the cells of both views, and intervals where the cells have none.
func (m *Matrix) take(s *compare.Scores) {
	for _, view := range [][][]Cell{m.Norm, m.Raw} {
		for i := range view {
			for j := range view[i] {
				c, x := &view[i][j], s.Cells[i][j]
				c.P, c.Holm = x.P, x.Holm
				if s.Runs == 1 {
					continue
				}
				c.N, c.Lo, c.Hi = s.Prompts, x.Lo, x.Hi
				if x.Difference != nil {
					c.DiffLo, c.DiffHi, c.PerRun = x.Difference.Lo, x.Difference.Hi, x.PerRun
				}
			}
		}
	}
}
