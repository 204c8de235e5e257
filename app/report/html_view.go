package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"steer/eval/compare"
)

// view is the report in the form the template prints.
type view struct {
	*Report
	Style      template.CSS
	Script     template.JS
	ScriptHash string
	FlagCount  string
	Urgent     []Flag // failures and cautions
	Notes      []Flag
	Views      []matrixView
	Figures    map[string][]figure
	HaveKL     bool
	HaveLen    bool
	Prompts    []sampleView
	TOC        []tocEntry
	Commands   []commandsOfRun
	Caveats    []string // of the thesis's numbers
}

// Family is the tests of a table; nil where it was not tested.
func (v *view) Family(t BenchmarkTable) *compare.Family { return v.familyOf(t.key()) }

// ScoreTest is the test of the matrix, for people.
func (v *view) ScoreTest() string {
	if v.Scores == nil {
		return compare.TestMeans
	}
	return v.scoreTestName()
}

// FrontierNote says how the table of the frontier is to be read.
func (v *view) FrontierNote() string { return v.frontierNote() }

// MatrixN is the number of prompts of a cell, for the caption.
func (v *view) MatrixN() int {
	n := 0
	for _, row := range v.Matrix.cells() {
		for _, c := range row {
			n = max(n, c.N)
		}
	}
	return n
}

type tocEntry struct{ ID, Title string }

type matrixView struct {
	ID, Label string
	First     bool
	Rows      []matrixRow
}

type matrixRow struct {
	Policy      string
	Reference   bool
	Cells       []matrixCell
	KL, Lengths *Interval
}

type matrixCell struct {
	Class, Mean, Span, Diff, DiffSpan, Arrow, Words, Win, Runs string
}

type figure struct {
	Chart
	SVG    template.HTML
	Legend []legendEntry
	Notes  []string
}

type legendEntry struct {
	Class, Label, Summary string
}

type sampleView struct {
	Title, Prompt string
	Open          bool
	Runs          []runAnswers
}

// runAnswers are the answers of one run; Label is "" where there is one only.
type runAnswers struct {
	Label   string
	Answers []answerView
}

type answerView struct {
	Model, Text string
	Scores      []scoreView
}

type scoreView struct {
	Reward string
	Score  float64
	Own    bool
}

func newView(r *Report) (*view, error) {
	v := &view{
		Report: r, Figures: map[string][]figure{}, Caveats: thesisCaveats, ScriptHash: scriptHash(pageScript),
		Style:  template.CSS(pageStyle), //nolint:gosec // our own files
		Script: template.JS(pageScript), //nolint:gosec // our own files
	}
	v.FlagCount = r.flagCount()
	for _, f := range toldOnce(r.Flags) {
		if f.Severity == Note {
			v.Notes = append(v.Notes, f)
		} else {
			v.Urgent = append(v.Urgent, f)
		}
	}
	if m := r.Matrix; m != nil {
		v.HaveKL, v.HaveLen = len(m.KL) > 0, len(m.Lengths) > 0
		if m.Norm != nil {
			v.Views = append(v.Views, matrixView{ID: "norm", Label: "normalised", Rows: m.rows(m.Norm)})
		}
		if m.Raw != nil {
			v.Views = append(v.Views, matrixView{ID: "raw", Label: "raw", Rows: m.rows(m.Raw)})
		}
		v.Views[0].First = true
	}
	for i, c := range r.Charts {
		svg, err := c.svg(fmt.Sprintf("plot%d", i))
		if err != nil {
			return nil, err
		}
		v.Figures[c.Section] = append(v.Figures[c.Section], newFigure(c, svg))
	}
	v.Prompts = r.prompts()
	v.Commands = r.commands()
	v.TOC = v.contents()
	return v, nil
}

func (v *view) contents() []tocEntry {
	var out []tocEntry
	add := func(ok bool, id, title string) {
		if ok {
			out = append(out, tocEntry{id, title})
		}
	}
	add(v.Matrix != nil, "matrix", "Cross-reward matrix")
	add(len(v.Figures["frontier"]) > 0 || len(v.Report.PolicyRows) > 0, "frontier", "Policies and their frontier")
	add(len(v.Flags) > 0, "flags", "What to know")
	add(len(v.Report.Benchmarks) > 0, "benchmarks", "Benchmarks")
	add(len(v.Accuracies) > 0 || len(v.Figures["reward"]) > 0, "rewards", "Reward models")
	add(len(v.Figures["ppo"]) > 0 || len(v.Heldout) > 0, "ppo", "Policies over time")
	add(len(v.Figures["dpo"]) > 0, "dpo", "Preferences")
	add(len(v.Report.Judges()) > 0, "judges", "Judgements")
	add(len(v.Figures["sft"]) > 0, "sft", "SFT")
	add(len(v.Figures["scores"]) > 0, "scores", "Scores")
	add(len(v.Prompts) > 0, "samples", "Answers")
	add(len(v.Published) > 0, "published", "Beside the thesis")
	add(true, "provenance", "Provenance")
	return out
}

// flagCount is the line under the verdict.
func (r *Report) flagCount() string {
	n := map[Severity]int{}
	for _, f := range r.Flags {
		n[f.Severity]++
	}
	var parts []string
	if k := n[Failure]; k > 0 {
		parts = append(parts, plural(k, "failure", "failures"))
	}
	if k := n[Caution]; k > 0 {
		parts = append(parts, plural(k, "caution", "cautions"))
	}
	return list(parts)
}

func (m *Matrix) rows(cells [][]Cell) []matrixRow {
	var out []matrixRow
	for i, p := range m.Policies {
		row := matrixRow{Policy: p, Reference: p == m.Reference}
		if k, ok := m.KL[p]; ok {
			row.KL = &k
		}
		if l, ok := m.Lengths[p]; ok {
			row.Lengths = &l
		}
		for j, c := range cells[i] {
			row.Cells = append(row.Cells, newCell(c, m.Reference, j == m.Own[i]))
		}
		out = append(out, row)
	}
	return out
}

func newCell(c Cell, reference string, own bool) matrixCell {
	mean, ends := interval(c.Mean, c.Lo, c.Hi)
	out := matrixCell{Mean: minus(mean), Span: minus(ends)}
	if c.Diff != nil {
		mean, ends = interval(*c.Diff, c.DiffLo, c.DiffHi)
		out.Diff, out.DiffSpan = minus(plus(mean)), minus(ends)
	}
	if c.WinRate != nil {
		out.Win = fmt.Sprintf("wins %.0f %%", 100**c.WinRate)
	}
	switch c.Direction() {
	case 1:
		out.Class, out.Arrow, out.Words = "up", "▲", "higher than "+reference
	case -1:
		out.Class, out.Arrow, out.Words = "down", "▼", "lower than "+reference
	default:
		if c.tested() {
			out.Class, out.Arrow, out.Words = "same", "·", "no difference shown"
		}
	}
	if c.Holm != nil {
		out.Win = strings.TrimPrefix(out.Win+", Holm p "+pValue(*c.Holm), ", ")
	}
	if len(c.PerRun) > 1 {
		out.Runs = minus(runsText(c.PerRun))
	}
	if own {
		out.Class += " own"
	}
	return out
}

// legendOf is what stands beside the name of a curve; a run without a mean over it has
// no numbers there.
func (c Chart) legendOf(l ChartLine) string {
	if l.Member {
		return "no mean"
	}
	var ends []string
	for _, o := range c.Lines {
		if o.Member && o.Label == l.Label && !o.Dashed && len(o.Y) > 0 {
			ends = append(ends, num(o.Y[len(o.Y)-1]))
		}
	}
	if len(ends) > 0 {
		return minus(c.summary(l) + "; the runs end at " + strings.Join(ends, ", "))
	}
	return minus(c.summary(l))
}

func newFigure(c Chart, svg template.HTML) figure {
	f := figure{Chart: c, SVG: svg}
	averaged := 1
	for _, l := range c.Lines {
		averaged = max(averaged, l.Averaged)
		mean := slices.ContainsFunc(c.Lines, func(o ChartLine) bool { return o.Label == l.Label && !o.Member })
		named := slices.ContainsFunc(f.Legend, func(e legendEntry) bool { return e.Label == l.Label })
		if l.Member && (mean || named) {
			continue // its mean stands for it, or another run
		}
		class := fmt.Sprintf("k%d", l.Colour)
		if l.Dashed {
			class += " dashed"
		}
		f.Legend = append(f.Legend, legendEntry{Class: class, Label: l.Label, Summary: c.legendOf(l)})
		if n := len(l.X) - len(l.points()); n > 0 {
			f.Notes = append(f.Notes, fmt.Sprintf("%s of %s not drawn: too large.", plural(n, "point", "points"),
				l.Label))
		}
	}
	for _, rule := range c.Rules {
		f.Notes = append(f.Notes, "Line at "+minus(brief(rule.At))+": "+rule.Label+".")
	}
	if c.Note != "" {
		f.Notes = append(f.Notes, minus(c.Note))
	}
	if averaged > 1 {
		f.Notes = append(f.Notes, fmt.Sprintf("Each point is the mean of up to %d values.", averaged))
	}
	if len(c.Absent) > 0 {
		f.Notes = append(f.Notes, "Not logged: "+list(c.Absent)+".")
	}
	return f
}
