package report

import (
	"fmt"
	"html"
	"io"
	"regexp"
	"strings"
)

// WriteMarkdown writes a results file of its own as GitHub-flavoured Markdown: question,
// answer, the table that carries it, matrix, benchmarks, reward models, training, what to
// know, provenance. Every metric and every pairwise test is folded; single items, plots
// and answers are left to the page.
func WriteMarkdown(w io.Writer, r *Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n**Question.** %s\n", escapeMD(r.Title), escapeMD(r.Question))
	for i, s := range r.Verdict {
		lead := ""
		if i == 0 {
			lead = "**Answer.** "
		}
		fmt.Fprintf(&b, "\n%s%s\n", lead, escapeMD(s))
	}
	markdownRuns(&b, r)
	markdownHeadline(&b, r.Headline)
	b.WriteString("\nFolded below: every metric and every pairwise test. Left to the page (`steer report`, " +
		"`report.html`): plots, answers, single items.\n")
	markdownMatrices(&b, r)
	markdownFrontier(&b, r)
	markdownBenchmarks(&b, r)
	markdownRewards(&b, r)
	markdownTraining(&b, r)
	markdownPreferences(&b, r)
	markdownJudges(&b, r)
	markdownFlags(&b, r)
	markdownPublished(&b, r)
	markdownProvenance(&b, r)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// markdownRuns says which runs the numbers are of.
func markdownRuns(b *strings.Builder, r *Report) {
	if len(r.Runs) < 2 {
		return
	}
	names := mapped(r.Runs, func(run Run) string { return escapeMD(run.Label) + " (" + codeMD(run.Folder) + ")" })
	fmt.Fprintf(b, "\nMeans over %s of the experiment, %s; intervals and tests cover the choice of items and of "+
		"runs.\n", plural(len(r.Runs), "run", "runs"), list(names))
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
				s = bold(s)
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
	mark := "that interval excludes 0"
	if m.Tested {
		mark = "p < 0.05 after Holm's correction over all cells (" + (&view{Report: r}).ScoreTest() + ")"
	}
	fmt.Fprintf(b, "\n## Cross-reward matrix\n\nRows: answers of; columns: reward models. Mean score with its 95 "+
		"%% interval, and the paired difference to %s with its own%s. "+
		"**Bold**: %s. Intervals are not adjusted for the number of comparisons.\n", escapeMD(m.Reference),
		inRuns(r, ", then the difference in each run"), escapeMD(mark))
	if m.Summary != "" {
		fmt.Fprintf(b, "\n%s\n", escapeMD(m.Summary))
	}
	if m.Norm != nil {
		b.WriteString("\nIn standard deviations of the reward model's reference scores:\n")
		markdownMatrix(b, m, m.Norm)
	}
	switch {
	case m.Raw != nil && m.Norm != nil:
		fold(b, "The same in raw scores", func() { markdownMatrix(b, m, m.Raw) })
	case m.Raw != nil:
		b.WriteString("\nRaw scores: compare down a column, not along a row.\n")
		markdownMatrix(b, m, m.Raw)
	}
}

// inRuns is s where there are several runs.
func inRuns(r *Report, s string) string {
	if len(r.Runs) < 2 {
		return ""
	}
	return s
}

func markdownMatrix(b *strings.Builder, m *Matrix, cells [][]Cell) {
	head := append([]string{"answers of"}, m.Rewards...)
	if len(m.KL) > 0 {
		head = append(head, "KL, nats")
	}
	if len(m.Lengths) > 0 {
		head = append(head, "length, tokens")
	}
	var rows [][]string
	for i, p := range m.Policies {
		line := []string{p}
		for _, c := range cells[i] {
			s := Interval{Mean: c.Mean, Lo: c.Lo, Hi: c.Hi}.text()
			if c.Diff != nil {
				d := plus(c.diff().text())
				if c.Direction() != 0 {
					d = bold(d)
				}
				s += "; " + d
			}
			if len(c.PerRun) > 1 {
				s += " (" + perRun(c.PerRun) + ")"
			}
			line = append(line, s)
		}
		for _, of := range []map[string]Interval{m.KL, m.Lengths} {
			if len(of) == 0 {
				continue
			}
			s := "-"
			if v, ok := of[p]; ok {
				s = valueMD(&v)
			}
			line = append(line, s)
		}
		rows = append(rows, line)
	}
	table(b, head, rows)
}

// valueMD is a value with its interval, and those of the runs where there are several.
func valueMD(v *Interval) string {
	switch {
	case v == nil:
		return "-"
	case len(v.PerRun) > 1:
		return v.text() + " (" + perRun(v.PerRun) + ")"
	}
	return v.text()
}

// perRun lists the values of the runs, once where all are the same.
func perRun(values []float64) string {
	if span := spanOf(values); !strings.Contains(span, " to ") {
		return span
	}
	return strings.Join(mapped(values, num), ", ")
}

// bold marks text for a table; the signs are put in after escaping.
func bold(s string) string { return "\x01" + s + "\x01" }

func table(b *strings.Builder, head []string, rows [][]string) {
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			parts := strings.Split(c, "\x01")
			for i := range parts {
				parts[i] = escapeMD(parts[i])
			}
			b.WriteString(" " + strings.Join(parts, "**") + " |")
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

// fold hides what body writes behind a line that opens it.
func fold(b *strings.Builder, summary string, body func()) {
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n", html.EscapeString(visible(summary)))
	body()
	b.WriteString("\n</details>\n")
}

var markdownEscapes = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "`", "\\`", "\n",
	" ", "&", "&amp;", "[", `\[`)

// escapedInterval is the interval of a number, which no link can begin with unless a
// bracket or a colon follows.
var escapedInterval = regexp.MustCompile(`\\\[(-?[\d.e+-]+, -?[\d.e+-]+)\]($|[^(\[:])`)

// escapeMD takes every meaning from the signs of Markdown; intervals stay readable.
func escapeMD(s string) string {
	return escapedInterval.ReplaceAllString(markdownEscapes.Replace(visible(s)), "[$1]$2")
}

// codeMD sets a short text as code.
func codeMD(s string) string {
	s = strings.NewReplacer("`", "'", "\n", " ").Replace(visible(s))
	if strings.ContainsAny(s, "<|") {
		return "<code>" + strings.ReplaceAll(html.EscapeString(s), "|", "&#124;") + "</code>"
	}
	return "`" + s + "`"
}

// blockMD sets lines of code apart, with a fence that does not occur in them; what could
// be taken for an element is escaped.
func blockMD(b *strings.Builder, text string) {
	text = visible(text)
	if strings.Contains(text, "<") {
		fmt.Fprintf(b, "\n<pre>\n%s\n</pre>\n", html.EscapeString(text))
		return
	}
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "\n%s\n%s\n%s\n", fence, text, fence)
}
