package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes verdict, flags and tables as GitHub-flavoured Markdown; plots
// and samples are left to the page.
func WriteMarkdown(w io.Writer, r *Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", escapeMD(r.Title), escapeMD(r.Question))
	for _, s := range r.Verdict {
		fmt.Fprintf(&b, "\n%s\n", escapeMD(s))
	}
	markdownHeadline(&b, r.Headline)
	markdownMatrices(&b, r)
	for i := range r.Benchmarks {
		markdownBenchmark(&b, r, &r.Benchmarks[i])
	}
	if len(r.Accuracies) > 0 {
		b.WriteString("\n## Reward models\n\nHeld-out pairs in which chosen scores above rejected; Wilson 95 % intervals.\n")
		var rows [][]string
		for _, a := range r.Accuracies {
			rows = append(rows, []string{strings.TrimSpace(a.Theory + " " + a.Run), a.Accuracy.text(), group(a.Accuracy.N), a.Recipe})
		}
		table(&b, []string{"reward", "accuracy", "pairs", "recipe"}, rows)
	}
	markdownPublished(&b, r)
	if len(r.Flags) > 0 {
		b.WriteString("\n## What to know\n\n")
		for _, f := range r.Flags {
			fmt.Fprintf(&b, "- **%s** %s: %s\n", f.Severity, escapeMD(f.Stage), escapeMD(f.Text))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func markdownHeadline(b *strings.Builder, h *Headline) {
	if h == nil {
		return
	}
	var rows [][]string
	for _, r := range h.Rows {
		line := []string{r.Model}
		for _, c := range r.Cells {
			s := strings.TrimSpace(c.Value + " " + c.Ends)
			if c.Mark == "up" || c.Mark == "down" {
				s = "\x01" + s + "\x01"
			}
			if c.Detail != "" {
				s += "; " + c.Detail
			}
			line = append(line, s)
		}
		rows = append(rows, line)
	}
	table(b, append([]string{"model"}, h.Columns...), rows)
	for _, n := range h.Notes {
		fmt.Fprintf(b, "\n%s\n", escapeMD(n))
	}
}

func markdownMatrices(b *strings.Builder, r *Report) {
	m := r.Matrix
	if m == nil {
		return
	}
	bold := "that interval excludes 0"
	if m.Tested {
		bold = "p < 0.05 after Holm's correction over all cells (" + (&view{Report: r}).ScoreTest() + ")"
	}
	fmt.Fprintf(b, "\n## Cross-reward matrix\n\nMean score with its 95 %% interval, and the paired difference to %s with its own. "+
		"**Bold**: %s. Intervals are not adjusted for the number of comparisons.\n", escapeMD(m.Reference), escapeMD(bold))
	if m.Summary != "" {
		fmt.Fprintf(b, "\n%s\n", escapeMD(m.Summary))
	}
	if m.Norm != nil {
		markdownMatrix(b, "Normalised", m, m.Norm)
	}
	if m.Raw != nil {
		markdownMatrix(b, "Raw", m, m.Raw)
	}
}

func markdownBenchmark(b *strings.Builder, r *Report, t *BenchmarkTable) {
	head := append([]string{t.Rowhead()}, mapped(t.Columns, metricLabel)...)
	rows := [][]string{}
	for _, row := range t.Rows {
		line := []string{row.Model}
		for _, v := range row.Values {
			switch {
			case v == nil:
				line = append(line, "-")
			case len(v.PerRun) > 1:
				line = append(line, v.text()+" ("+strings.Join(mapped(v.PerRun, num), ", ")+")")
			default:
				line = append(line, v.text())
			}
		}
		rows = append(rows, append(line, group(row.N), strings.Join(row.Flags, ", ")))
	}
	fmt.Fprintf(b, "\n## %s\n", escapeMD(t.Title()))
	if t.Scale != "" {
		fmt.Fprintf(b, "\n%s\n", escapeMD(t.Scale))
	}
	table(b, append(head, "items", "flags"), rows)
	if f := r.familyOf(t.key()); f != nil {
		markdownTests(b, f)
	}
}

func markdownMatrix(b *strings.Builder, title string, m *Matrix, cells [][]Cell) {
	fmt.Fprintf(b, "\n### %s scores\n", title)
	head := append([]string{"answers of"}, m.Rewards...)
	if len(m.KL) > 0 {
		head = append(head, "KL, nats")
	}
	var rows [][]string
	for i, p := range m.Policies {
		line := []string{p}
		for _, c := range cells[i] {
			s := Interval{Mean: c.Mean, Lo: c.Lo, Hi: c.Hi}.text()
			if c.Diff != nil {
				d := plus(c.diff().text())
				if c.Direction() != 0 {
					d = "\x01" + d + "\x01" // bold, put in after escaping
				}
				s += "; " + d
			}
			line = append(line, s)
		}
		if len(m.KL) > 0 {
			s := "-"
			if v, ok := m.KL[p]; ok {
				s = v.text()
			}
			line = append(line, s)
		}
		rows = append(rows, line)
	}
	table(b, head, rows)
}

func table(b *strings.Builder, head []string, rows [][]string) {
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			bold := strings.Split(c, "\x01")
			for i := range bold {
				bold[i] = escapeMD(bold[i])
			}
			b.WriteString(" " + strings.Join(bold, "**") + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	line(head)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	for _, r := range rows {
		line(r)
	}
}

var markdownEscapes = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "`", "\\`", "\n", " ", "&", "&amp;", "[", `\[`)

func escapeMD(s string) string { return markdownEscapes.Replace(visible(s)) }
