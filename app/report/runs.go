package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Run is one of several runs of an experiment.
type Run struct {
	Label  string  `json:"label"` // "seed 2", or the folder's name
	Folder string  `json:"folder"`
	Seed   *uint64 `json:"seed,omitempty"`
	// Experiment is the text of its experiment.yaml.
	Experiment string `json:"experiment,omitempty"`
}

// combine makes one report of several runs of an experiment with different seeds.
// Tables hold means over the runs, with intervals that cover the choice of items and of
// seeds; curves are drawn for every run, distributions pooled; answers, stages and commands
// are those of every run.
func combine(parts []*Report, dirs []string) (*Report, error) {
	for i := range parts {
		for j := range i {
			if same(dirs[i], dirs[j]) {
				return nil, fmt.Errorf("report: %s was given twice: %w", dirs[i], ErrNotRuns)
			}
		}
	}
	first := parts[0]
	r := &Report{Version: reportVersion, Title: first.Title, Question: first.Question, Base: first.Base,
		Theories: first.Theories, Models: first.Models, Policies: first.Policies, parts: parts}
	r.Runs = labels(parts, dirs)
	for i, p := range parts {
		label := r.Runs[i].Label
		for _, s := range p.Stages {
			s.Run = label
			r.Stages = append(r.Stages, s)
		}
		for _, name := range p.Missing {
			r.Missing = append(r.Missing, label+": "+name)
		}
		for _, a := range p.Accuracies {
			a.Run = label
			r.Accuracies = append(r.Accuracies, a)
		}
		for _, h := range p.Heldout {
			h.Run = label
			r.Heldout = append(r.Heldout, h)
		}
	}
	r.gatherFlags()
	r.gatherSamples()
	r.sortAccuracies()
	r.flagRuns()
	r.combineBenchmarks()
	r.combineMatrix()
	r.testBenchmarks()
	r.testScores()
	r.combineCharts()
	r.fillPolicies()
	r.fillFrontier()
	r.conclude()
	return r, nil
}

func same(a, b string) bool {
	x, errA := filepath.Abs(a)
	y, errB := filepath.Abs(b)
	return errA == nil && errB == nil && x == y
}

// labels name the runs by their seeds where those tell them apart.
func labels(parts []*Report, dirs []string) []Run {
	runs, seen, distinct := make([]Run, len(parts)), map[string]bool{}, true
	for i, p := range parts {
		runs[i] = Run{Folder: filepath.ToSlash(filepath.Clean(dirs[i])), Seed: p.seed(), Experiment: p.Experiment}
		if runs[i].Seed != nil {
			runs[i].Label = "seed " + strconv.FormatUint(*runs[i].Seed, 10)
		}
		distinct = distinct && runs[i].Label != "" && !seen[runs[i].Label]
		seen[runs[i].Label] = true
	}
	for i := range runs {
		if !distinct {
			runs[i].Label = "run " + strconv.Itoa(i+1) + ", " + filepath.Base(filepath.Clean(dirs[i]))
		}
	}
	return runs
}

// seed is that of training: of the first stage, in the order of the pipeline, that has
// one.
func (r *Report) seed() *uint64 {
	for i := range r.Stages {
		if res := r.Stages[i].Result; res != nil && res.Seed != nil {
			return res.Seed
		}
	}
	return nil
}

func (r *Report) sortAccuracies() {
	place := func(theory string) int { return slices.Index(r.Theories, theory) }
	slices.SortStableFunc(r.Accuracies, func(a, b PairAccuracy) int { return place(a.Theory) - place(b.Theory) })
	slices.SortStableFunc(r.Heldout, func(a, b HeldoutRow) int { return place(a.Policy) - place(b.Policy) })
}

// combineBenchmarks averages the tables; a row or column that some run lacks is left
// out and named.
func (r *Report) combineBenchmarks() {
	for _, t := range r.parts[0].Benchmarks {
		out := BenchmarkTable{Benchmark: t.Benchmark, Protocol: t.Protocol, Columns: t.Columns, Scale: t.Scale,
			Majority: t.Majority, Ceiling: t.Ceiling, Measured: t.Measured, Hidden: t.Hidden, OfRewards: t.OfRewards}
		for _, row := range t.Rows {
			sum := BenchmarkRow{Model: row.Model, N: row.N, Values: make([]*Interval, len(t.Columns))}
			complete, flags := true, []string(nil)
			for _, p := range r.parts {
				other := p.row(t.key(), row.Model)
				if other == nil {
					complete = false
					break
				}
				flags = append(flags, other.Flags...)
			}
			sum.Flags = mergeFlags(flags)
			if !complete {
				r.flag(Caution, "eval", "%s: %s is not in every run and is left out.", t.Title(), row.Model)
				continue
			}
			for c, name := range t.Columns {
				sum.Values[c] = r.meanOver(t.key(), row.Model, name)
			}
			out.Rows = append(out.Rows, sum)
		}
		if len(out.Rows) > 0 {
			r.Benchmarks = append(r.Benchmarks, out)
		}
	}
	for i, p := range r.parts[1:] {
		for _, t := range p.Benchmarks {
			if r.parts[0].table(t.key()) == nil {
				r.flag(Caution, "eval", "%s is in %s and not in %s: it is left out.", t.Title(), r.Runs[i+1].Label,
					r.Runs[0].Label)
			}
		}
	}
}

// mergeFlags joins the flags of the runs; counts become a range.
func mergeFlags(flags []string) []string {
	var words []string
	counts := map[string][]int{}
	for _, f := range flags {
		word, value, _ := strings.Cut(f, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			word = f
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
		if err == nil {
			counts[word] = append(counts[word], n)
		}
	}
	for i, w := range words {
		if n := counts[w]; len(n) > 0 {
			lo, hi := slices.Min(n), slices.Max(n)
			words[i] = fmt.Sprintf("%s=%d", w, lo)
			if hi > lo {
				words[i] += fmt.Sprintf(" to %d", hi)
			}
		}
	}
	return words
}

// meanOver is a metric's mean over the runs, without an interval; nil where a run lacks
// it.
func (r *Report) meanOver(key, model, column string) *Interval {
	out := &Interval{}
	for _, p := range r.parts {
		v := p.value(key, model, column)
		if v == nil {
			return nil
		}
		out.PerRun = append(out.PerRun, v.Mean)
		out.Mean += v.Mean / float64(len(r.parts))
		out.N = v.N
	}
	return out
}

func (r *Report) table(key string) *BenchmarkTable {
	for i := range r.Benchmarks {
		if r.Benchmarks[i].key() == key {
			return &r.Benchmarks[i]
		}
	}
	return nil
}

func (r *Report) row(key, model string) *BenchmarkRow {
	t := r.table(key)
	if t == nil {
		return nil
	}
	for i := range t.Rows {
		if t.Rows[i].Model == model {
			return &t.Rows[i]
		}
	}
	return nil
}

func (r *Report) value(key, model, column string) *Interval {
	row, t := r.row(key, model), r.table(key)
	if row == nil {
		return nil
	}
	if c := slices.Index(t.Columns, column); c >= 0 {
		return row.Values[c]
	}
	return nil
}

// combineMatrix averages the cells where all runs have the same rows and columns; the
// tests add intervals. Without a normalisation of every run the scales of their reward
// models differ, and there is nothing to average.
func (r *Report) combineMatrix() {
	var views [][][]Cell
	for i, p := range r.parts {
		m, first := p.Matrix, r.parts[0].Matrix
		switch {
		case m == nil || first == nil:
			r.flag(Caution, "eval", "%s has no cross-reward matrix: none is shown for the runs together.",
				r.Runs[i].Label)
			return
		case !slices.Equal(m.Policies, first.Policies) || !slices.Equal(m.Rewards, first.Rewards) ||
			m.Reference != first.Reference:
			r.flag(Caution, "eval", "The cross-reward matrix of %s has other rows or columns than that of %s: none "+
				"is shown for the runs together.", r.Runs[i].Label, r.Runs[0].Label)
			return
		case m.Norm == nil:
			r.flag(Caution, "eval", "The scores of %s are not normalised, and reward models of different runs have "+
				"different scales: no matrix is shown for the runs together.", r.Runs[i].Label)
			return
		}
		views = append(views, m.Norm)
	}
	first := r.parts[0].Matrix
	m := &Matrix{Policies: first.Policies, Rewards: first.Rewards, Reference: first.Reference, Prompts: first.Prompts,
		Own:  first.Own,
		Norm: meanCells(views), KL: map[string]Interval{}, Lengths: map[string]Interval{}}
	for _, p := range m.Policies {
		for _, of := range []struct {
			into map[string]Interval
			get  func(*Matrix) map[string]Interval
		}{{m.KL, func(m *Matrix) map[string]Interval { return m.KL }},
			{m.Lengths, func(m *Matrix) map[string]Interval { return m.Lengths }}} {
			if v, ok := meanInterval(r.parts, p, of.get); ok {
				of.into[p] = v
			}
		}
	}
	r.Matrix = m
}

func meanInterval(parts []*Report, policy string, get func(*Matrix) map[string]Interval) (out Interval, ok bool) {
	for _, p := range parts {
		v, ok := get(p.Matrix)[policy]
		if !ok {
			return out, false
		}
		out.Mean += v.Mean / float64(len(parts))
		out.PerRun = append(out.PerRun, v.Mean)
		out.N = v.N
	}
	return out, true
}

func meanCells(views [][][]Cell) [][]Cell {
	out := make([][]Cell, len(views[0]))
	for i := range out {
		out[i] = make([]Cell, len(views[0][i]))
		for j := range out[i] {
			c := &out[i][j]
			diff, win, n := 0.0, 0.0, float64(len(views))
			haveDiff, haveWin := true, true
			for _, v := range views {
				x := v[i][j]
				c.Mean += x.Mean / n
				c.N = x.N
				if haveDiff = haveDiff && x.Diff != nil; haveDiff {
					diff += *x.Diff / n
					c.PerRun = append(c.PerRun, *x.Diff)
				}
				if haveWin = haveWin && x.WinRate != nil; haveWin {
					win += *x.WinRate / n
				}
			}
			if haveDiff {
				c.Diff = &diff
			} else {
				c.PerRun = nil
			}
			if haveWin {
				c.WinRate = &win
			}
		}
	}
	return out
}
