package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"strings"
)

//go:embed template.html
var pageTemplate string

//go:embed style.css
var pageStyle string

// htmlLimit is the largest page that is written, in bytes.
const htmlLimit = 3 << 20

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"num":      func(v float64) string { return minus(num(v)) },
	"int":      group,
	"big":      func(n int64) string { return group(int(n)) },
	"mean":     func(v *Interval) string { m, _ := interval(v.Mean, v.Lo, v.Hi); return minus(m) },
	"ends":     func(v *Interval) string { _, e := interval(v.Mean, v.Lo, v.Hi); return minus(e) },
	"minus":    minus,
	"ref":      func(v Interval) *Interval { return &v },
	"plus":     plus,
	"metric":   metricLabel,
	"short":    short,
	"duration": duration,
	"join":     strings.Join,
	"visible":  visible,
	"command":  shellLine,
}).Parse(pageTemplate))

// WriteHTML writes one self-contained page: style and plots are inside, there is no
// script, and nothing is fetched. When it would be larger than 3 MB the last samples
// are left out, and counted in it; a page that is too large without any sample is an
// error.
func WriteHTML(w io.Writer, r *Report) error {
	shown := *r
	for {
		b, err := renderHTML(&shown)
		if err != nil {
			return err
		}
		if len(b) <= htmlLimit {
			if _, err := w.Write(b); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			return nil
		}
		n := len(shown.Samples)
		if n == 0 {
			return fmt.Errorf("report: the page would have %d bytes, more than %d: report fewer stages at once", len(b), htmlLimit)
		}
		shown.Samples = shown.Samples[:n/2]
		shown.SamplesLeftOut += n - n/2
	}
}

func renderHTML(r *Report) ([]byte, error) {
	v, err := newView(r)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := page.Execute(&buf, v); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return buf.Bytes(), nil
}

var hyphenMinus = regexp.MustCompile(`(^|[\s\[(])-(\d)`)

// minus sets the minus sign in front of numbers.
func minus(s string) string { return hyphenMinus.ReplaceAllString(s, "$1\u2212$2") }

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// shellLine quotes a command so that it can be pasted into a shell.
func shellLine(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if !plainArgument.MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out[i] = a
	}
	return visible(strings.Join(out, " "))
}

// view is the report in the form the template prints.
type view struct {
	*Report
	Style     template.CSS
	FlagCount string
	Urgent    []Flag // failures and cautions
	Notes     []Flag
	Views     []matrixView
	Figures   map[string][]figure
	HaveKL    bool
	HaveLen   bool
	Prompts   []sampleView
	TOC       []tocEntry
	Commands  []string
}

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
	Class, Mean, Span, Diff, DiffSpan, Arrow, Words, Win string
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
	Answers       []answerView
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
	v := &view{Report: r, Style: template.CSS(pageStyle), Figures: map[string][]figure{}} //nolint:gosec // our own file
	v.FlagCount = r.flagCount()
	for _, f := range r.Flags {
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
	for i, s := range r.Samples {
		v.Prompts = append(v.Prompts, r.newSample(s, i == 0))
	}
	for i := range r.Stages {
		if res := r.Stages[i].Result; res != nil && len(res.Command) > 0 {
			v.Commands = append(v.Commands, shellLine(res.Command))
		}
	}
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
	add(len(v.Flags) > 0, "flags", "What to know")
	add(len(v.Report.Benchmarks) > 0, "benchmarks", "Benchmarks")
	add(len(v.Accuracies) > 0 || len(v.Figures["reward"]) > 0, "rewards", "Reward models")
	add(len(v.Figures["ppo"]) > 0 || len(v.Heldout) > 0, "ppo", "PPO")
	add(len(v.Figures["sft"]) > 0, "sft", "SFT")
	add(len(v.Figures["scores"]) > 0, "scores", "Scores")
	add(len(v.Prompts) > 0, "samples", "Answers")
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
	if own {
		out.Class += " own"
	}
	return out
}

func newFigure(c Chart, svg template.HTML) figure {
	f := figure{Chart: c, SVG: svg}
	averaged := 1
	for _, l := range c.Lines {
		class := fmt.Sprintf("k%d", l.Colour)
		if l.Dashed {
			class += " dashed"
		}
		f.Legend = append(f.Legend, legendEntry{Class: class, Label: l.Label, Summary: minus(c.summary(l))})
		averaged = max(averaged, l.Averaged)
		if n := len(l.X) - len(l.points()); n > 0 {
			f.Notes = append(f.Notes, fmt.Sprintf("%s of %s not drawn: too large.", plural(n, "point", "points"), l.Label))
		}
	}
	if averaged > 1 {
		f.Notes = append(f.Notes, fmt.Sprintf("Each point is the mean of up to %d values.", averaged))
	}
	if len(c.Absent) > 0 {
		f.Notes = append(f.Notes, "Not logged: "+list(c.Absent)+".")
	}
	return f
}

func (r *Report) newSample(s Sample, open bool) sampleView {
	out := sampleView{Prompt: s.Prompt, Open: open}
	title := []rune(strings.Join(strings.Fields(s.Prompt), " "))
	if len(title) > 110 {
		title = append(title[:110], '…')
	}
	out.Title = string(title)
	for _, name := range r.answerOrder(s) {
		a := answerView{Model: name, Text: s.Answers[name]}
		own := r.model(name).theoryOf()
		for _, reward := range orderTheories(sortedKeys(s.Scores[name])) {
			a.Scores = append(a.Scores, scoreView{Reward: reward, Score: s.Scores[name][reward], Own: reward == own})
		}
		out.Answers = append(out.Answers, a)
	}
	return out
}

// answerOrder lists the models that answered, in the order of the tables.
func (r *Report) answerOrder(s Sample) []string {
	var out []string
	for _, m := range r.Models {
		if _, ok := s.Answers[m.Name]; ok {
			out = append(out, m.Name)
		}
	}
	for _, name := range sortedKeys(s.Answers) {
		if r.modelIndex(name) < 0 {
			out = append(out, name)
		}
	}
	return out
}
