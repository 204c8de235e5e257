package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	textWidth   = 80
	textColumn  = 16 // one reward or metric
	textRow     = 16 // the name of a model
	textColumns = (textWidth - textRow) / textColumn
)

// WriteText writes the verdict, the matrix, the accuracies and the headline of each
// benchmark for a terminal: at most 80 columns, ASCII but for names that are not.
func WriteText(w io.Writer, r *Report) error {
	var b strings.Builder
	for _, s := range r.Verdict {
		wrap(&b, visible(s), "")
	}
	if n := len(r.Runs); n > 1 {
		wrap(&b, fmt.Sprintf("Means over %s: %s.", plural(n, "run", "runs"),
			visible(list(mapped(r.Runs, func(run Run) string { return run.Label })))), "")
	}
	textMatrix(&b, r)
	if r.Matrix != nil && r.Matrix.Summary != "" {
		wrap(&b, visible(r.Matrix.Summary), "")
	}
	textAccuracies(&b, r)
	textHeldout(&b, r)
	textBenchmarks(&b, r)
	textJudges(&b, r)
	b.WriteString("\n")
	cautions := 0
	for _, f := range r.Flags {
		switch f.Severity {
		case Failure:
			wrap(&b, "failure: "+visible(f.Stage)+" "+f.Text, "  ")
		case Caution:
			cautions++
		}
	}
	if cautions > 0 {
		b.WriteString(plural(cautions, "caution", "cautions") + " in the report\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func textAccuracies(b *strings.Builder, r *Report) {
	if len(r.Accuracies) == 0 {
		return
	}
	b.WriteString("\nReward models, held-out pairs ordered right\n")
	line := func(name string, v Interval) {
		s := pad(name, textRow) + " " + v.text()
		if len(v.PerRun) > 1 {
			s += " (" + runsText(v.PerRun) + ")"
		}
		if v.N > 0 {
			s += " of " + group(v.N)
		}
		b.WriteString(s + "\n")
	}
	if len(r.Runs) > 1 {
		for _, a := range r.AccuracyRows() {
			line(a.Theory, a.Mean)
		}
		return
	}
	for _, a := range r.Accuracies {
		line(strings.TrimSpace(a.Theory+" "+a.Run), a.Accuracy)
	}
}

// textHeldout writes what every run's trainer measured, where there are several.
func textHeldout(b *strings.Builder, r *Report) {
	if len(r.Runs) < 2 || len(r.Heldout) == 0 {
		return
	}
	b.WriteString("\nPPO, held-out prompts: raw score under the own reward, after minus before\n")
	for _, h := range r.Heldout {
		d := h.Last.Difference
		b.WriteString(pad(h.Policy, textRow) + " " + pad(h.Run, textColumn) + " " + plus(d.text()) + "\n")
	}
}

func textMatrix(b *strings.Builder, r *Report) {
	m := r.Matrix
	if m == nil {
		return
	}
	unit := "raw"
	if m.Norm != nil {
		unit = "normalised"
	}
	fmt.Fprintf(b, "\nMean score (%s), rows: answers of, columns: reward model\n", unit)
	cells := m.cells()
	for from := 0; from < len(m.Rewards); from += textColumns {
		to := min(from+textColumns, len(m.Rewards))
		head := pad("", textRow)
		for _, name := range m.Rewards[from:to] {
			head += padLeft(name+" ", textColumn)
		}
		b.WriteString(strings.TrimRight(head, " ") + "\n")
		for i, p := range m.Policies {
			line := pad(p, textRow)
			for j := from; j < to; j++ {
				c := cells[i][j]
				// The mark takes the last column so that digits stay aligned.
				mark := map[int]string{1: "+", -1: "-", 0: " "}[c.Direction()]
				mean, _ := interval(c.Mean, c.Lo, c.Hi)
				line += padLeft(mean+mark, textColumn)
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	if m.Tested {
		wrap(b, fmt.Sprintf("+ or -: the difference to %s is above or below 0, p < %g after Holm's correction over "+
			"all cells.", visible(m.Reference), alpha), "")
		return
	}
	wrap(b, fmt.Sprintf("+ or -: the 95 %% interval of the difference to %s excludes 0, above or below.",
		visible(m.Reference)), "")
}

// textBenchmarks puts the headline metrics side by side: rows are models.
func textBenchmarks(b *strings.Builder, r *Report) {
	var tables []BenchmarkTable
	for _, t := range r.Benchmarks {
		switch h := t.headline(); {
		case h < 0:
		case t.OfRewards:
			fmt.Fprintf(b, "\nReward models as classifiers, %s, %s\n", visible(t.Title()), metricLabel(t.Columns[h]))
			for _, row := range t.Rows {
				if v := row.Values[h]; v != nil {
					b.WriteString(pad(row.Model, textRow) + " " + v.text() + "\n")
				}
			}
		default:
			tables = append(tables, t)
		}
	}
	if len(tables) == 0 {
		return
	}
	b.WriteString("\nBenchmarks (intervals are in the report; = one answer to every item)\n")
	for from := 0; from < len(tables); from += textColumns {
		part := tables[from:min(from+textColumns, len(tables))]
		head, under := pad("", textRow), pad("", textRow)
		for _, t := range part {
			head += padLeft(benchmarkTitle(t.Benchmark, ""), textColumn)
			under += padLeft(strings.TrimSpace(t.Protocol+" "+metricLabel(t.Columns[t.headline()])), textColumn)
		}
		b.WriteString(head + "\n" + under + "\n")
		for _, m := range r.Models {
			line, any := pad(m.Name, textRow), false
			for _, t := range part {
				s := t.textCell(m.Name)
				any = any || s != "- "
				line += padLeft(s, textColumn)
			}
			if any {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
			}
		}
	}
}

// textCell is a model's headline value; the last character is a mark or a space.
func (t BenchmarkTable) textCell(model string) string {
	for _, row := range t.Rows {
		if v := row.Values[t.headline()]; row.Model == model && v != nil {
			if slices.Contains(row.Flags, "degenerate") {
				return num(v.Mean) + "="
			}
			mean, _ := interval(v.Mean, v.Lo, v.Hi)
			return mean + " "
		}
	}
	return "- "
}

// pad cuts or fills s to n characters.
func pad(s string, n int) string {
	s = cut(visible(s), n)
	return s + strings.Repeat(" ", n-len([]rune(s)))
}

func padLeft(s string, n int) string {
	s = cut(visible(s), n)
	return strings.Repeat(" ", n-len([]rune(s))) + s
}

// wrap writes s in lines of at most textWidth; lines after the first are indented.
func wrap(b *strings.Builder, s, indent string) {
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) <= textWidth:
			line += " " + word
		default:
			b.WriteString(cut(line, textWidth) + "\n")
			line = indent + word
		}
	}
	if line != "" {
		b.WriteString(cut(line, textWidth) + "\n")
	}
}
