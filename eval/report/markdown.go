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
	if m := r.Matrix; m != nil {
		fmt.Fprintf(&b, "\n## Cross-reward matrix\n\nMean score with its 95 %% interval, and the paired difference to %s with its own. "+
			"**Bold**: that interval excludes 0. Intervals are not adjusted for the number of comparisons.\n", escapeMD(m.Reference))
		if m.Norm != nil {
			markdownMatrix(&b, "Normalised", m, m.Norm)
		}
		if m.Raw != nil {
			markdownMatrix(&b, "Raw", m, m.Raw)
		}
	}
	for _, t := range r.Benchmarks {
		head := []string{t.Rowhead()}
		for _, c := range t.Columns {
			head = append(head, metricLabel(c))
		}
		rows := [][]string{}
		for _, row := range t.Rows {
			line := []string{row.Model}
			for _, v := range row.Values {
				if v == nil {
					line = append(line, "-")
					continue
				}
				line = append(line, v.text())
			}
			rows = append(rows, append(line, group(row.N), strings.Join(row.Flags, ", ")))
		}
		fmt.Fprintf(&b, "\n## %s\n", escapeMD(t.Title()))
		if t.Scale != "" {
			fmt.Fprintf(&b, "\n%s\n", escapeMD(t.Scale))
		}
		table(&b, append(head, "items", "flags"), rows)
	}
	if len(r.Accuracies) > 0 {
		b.WriteString("\n## Reward models\n\nHeld-out pairs in which chosen scores above rejected; Wilson 95 % intervals.\n")
		var rows [][]string
		for _, a := range r.Accuracies {
			rows = append(rows, []string{a.Theory, a.Accuracy.text(), group(a.Accuracy.N), a.Recipe})
		}
		table(&b, []string{"reward", "accuracy", "pairs", "recipe"}, rows)
	}
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
