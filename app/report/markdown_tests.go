package report

import (
	"fmt"
	"strings"

	"steer/eval/compare"
)

// markdownTests writes the pairwise tests of a benchmark.
func markdownTests(b *strings.Builder, f *compare.Family) {
	fmt.Fprintf(b, "\nThe family: %s. ", escapeMD(familyText(f)))
	if q := f.Omnibus; q != nil {
		fmt.Fprintf(b, "Cochran's Q over all: %s, df %d, p %s. ", num(q.Q), q.DF, escapeMD(pValue(q.P)))
	}
	fmt.Fprintf(b, "Equivalence: both one-sided tests at %g within ±%g. Detectable: with %g %% power, by itself.\n",
		f.Alpha, f.Margin, 100*f.Power)
	head := []string{"pair", "difference of " + metricLabel(string(f.Metric)), "p", "Holm p"}
	if f.Runs == 1 {
		head = append(head, "McNemar exact", "mid-p")
	} else {
		head = append(head, "by run")
	}
	head = append(head, "equivalent", "detectable")
	if f.Common != nil {
		head = append(head, "on "+plural(*f.Common, "common item", "common items"))
	}
	var rows [][]string
	for _, p := range f.Pairs {
		rows = append(rows, markdownPair(f, p))
	}
	table(b, head, rows)
}

func markdownPair(f *compare.Family, p compare.Pair) []string {
	diff := pairInterval(p, 1).text()
	if p.Different(f.Alpha) {
		diff = bold(diff)
	}
	if p.Identical {
		diff += " (the same answers)"
	}
	line := []string{p.A + " - " + p.B, diff, pValue(p.P), pValue(p.Holm)}
	switch {
	case p.McNemar != nil:
		line = append(line, pValue(p.McNemar.ExactP), pValue(p.McNemar.MidP))
	case f.Runs == 1:
		line = append(line, "-", "-")
	default:
		line = append(line, strings.Join(mapped(p.PerRun, num), ", "))
	}
	equivalent, detectable := "not shown", "-"
	if p.Equivalence != nil && p.Equivalence.Shown {
		equivalent = "yes"
	}
	if p.Detectable != nil {
		detectable = brief(*p.Detectable)
	}
	line = append(line, equivalent, detectable)
	if f.Common != nil {
		common := "-"
		if c := p.Common; c != nil {
			common = Interval{Mean: c.Difference.Value, Lo: c.Difference.Lo, Hi: c.Difference.Hi}.text() + ", p " +
				pValue(c.P)
		}
		line = append(line, common)
	}
	return line
}

// markdownPublished writes the thesis's numbers beside ours.
func markdownPublished(b *strings.Builder, r *Report) {
	if len(r.Published) == 0 {
		return
	}
	b.WriteString("\n## Beside the thesis\n")
	fold(b, "The published numbers beside these, and why not to compare levels",
		func() { markdownPublishedTables(b, r) })
}

func markdownPublishedTables(b *strings.Builder, r *Report) {
	for _, c := range thesisCaveats {
		fmt.Fprintf(b, "\n- %s", escapeMD(c))
	}
	b.WriteString("\n")
	for _, t := range r.Published {
		fmt.Fprintf(b, "\n### %s\n", escapeMD(t.Title))
		var rows [][]string
		for _, row := range t.Rows {
			ours := "-"
			if row.Ours != nil {
				ours = row.Ours.text()
			}
			note := func(s, n string) string { return strings.TrimSuffix(s+"; "+n, "; ") }
			rows = append(rows, []string{row.Model, note(row.Published.text()+", "+row.Count, row.Note),
				note(ours, row.OursNote)})
		}
		table(b, []string{"model", "thesis", "here"}, rows)
		for _, c := range t.Caveats {
			fmt.Fprintf(b, "\n- %s", escapeMD(c))
		}
		b.WriteString("\n")
	}
}
