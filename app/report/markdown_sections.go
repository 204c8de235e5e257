package report

import (
	"fmt"
	"slices"
	"strings"

	"steer/eval/compare"
)

// markdownBenchmarks writes the headline metric of every benchmark side by side, and the
// rest of each folded.
func markdownBenchmarks(b *strings.Builder, r *Report) {
	if len(r.Benchmarks) == 0 {
		return
	}
	if len(r.Compared) > 0 { // two rows a model, one of each run, and the tests between them
		for i := range r.Benchmarks {
			t := &r.Benchmarks[i]
			fmt.Fprintf(b, "\n## %s\n", escapeMD(t.Title()))
			markdownBenchmark(b, r, t)
		}
		return
	}
	reference := ""
	if len(r.Models) > 0 {
		reference = r.reference()
	}
	fmt.Fprintf(b, "\n## Benchmarks\n\nThe headline metric with its 95 %% interval: MCC where there is one (0 for "+
		"any constant or random answer), else accuracy. "+
		"**Bold**: differs from %s, p < %g after Holm's correction over the pairs of its benchmark. \"=\": one "+
		"answer to every item.\n", escapeMD(reference), alpha)
	head := append([]string{"benchmark", "metric", "items"},
		mapped(r.Models, func(m Model) string { return m.Name })...)
	var rows [][]string
	for i := range r.Benchmarks {
		if t := &r.Benchmarks[i]; !t.OfRewards && t.headline() >= 0 {
			rows = append(rows, markdownBenchmarkRow(r, t, mapped(r.Models, func(m Model) string { return m.Name }),
				reference))
		}
	}
	if len(rows) > 0 {
		table(b, head, rows)
	}
	rows = nil
	for i := range r.Benchmarks {
		if t := &r.Benchmarks[i]; t.OfRewards && t.headline() >= 0 {
			rows = append(rows, markdownBenchmarkRow(r, t, r.Theories, ""))
		}
	}
	if len(rows) > 0 {
		b.WriteString("\nReward models as classifiers:\n")
		table(b, append([]string{"benchmark", "metric", "items"}, r.Theories...), rows)
	}
	for i := range r.Benchmarks {
		t := &r.Benchmarks[i]
		summary := t.Title() + ": every metric"
		if f := r.familyOf(t.key()); f != nil {
			summary += " and " + plural(len(f.Pairs), "pairwise test", "pairwise tests")
		}
		fold(b, summary, func() { markdownBenchmark(b, r, t) })
	}
}

// markdownBenchmarkRow is one benchmark with a column a model.
func markdownBenchmarkRow(r *Report, t *BenchmarkTable, models []string, reference string) []string {
	h := t.headline()
	items := 0
	for _, row := range t.Rows {
		items = max(items, row.N)
	}
	line := []string{t.Title(), metricLabel(t.Columns[h]), group(items)}
	f := r.familyOf(t.key())
	for _, name := range models {
		v := r.value(t.key(), name, t.Columns[h])
		if v == nil {
			line = append(line, "-")
			continue
		}
		s := v.text()
		if slices.Contains(r.row(t.key(), name).Flags, "degenerate") {
			s += " ="
		}
		if f != nil && name != reference {
			if p, _ := pairOf(f, name, reference); p != nil && p.Different(f.Alpha) {
				s = bold(s)
			}
		}
		line = append(line, s)
	}
	return line
}

func markdownBenchmark(b *strings.Builder, r *Report, t *BenchmarkTable) {
	head := append([]string{t.Rowhead()}, mapped(t.Columns, metricLabel)...)
	rows := [][]string{}
	for _, row := range t.Rows {
		line := append([]string{row.Model}, mapped(row.Values, valueMD)...)
		rows = append(rows, append(line, group(row.N), strings.Join(row.Flags, ", ")))
	}
	if t.Scale != "" {
		fmt.Fprintf(b, "\n%s\n", escapeMD(t.Scale))
	}
	table(b, append(head, "items", "flags"), rows)
	if f := r.familyOf(t.key()); f != nil {
		markdownTests(b, f)
	}
}

func markdownRewards(b *strings.Builder, r *Report) {
	if len(r.Accuracies) == 0 {
		return
	}
	b.WriteString("\n## Reward models\n\nHeld-out pairs in which chosen scores above rejected; Wilson 95 % " +
		"intervals; chance is 0.5.\n")
	var rows [][]string
	count := func(v Interval) string {
		if v.N == 0 {
			return "-"
		}
		return group(v.N)
	}
	if len(r.Runs) < 2 {
		for _, a := range r.Accuracies {
			rows = append(rows, []string{strings.TrimSpace(a.Theory + " " + a.Run), a.Accuracy.text(),
				count(a.Accuracy), a.Recipe})
		}
		table(b, []string{"reward", "accuracy", "pairs", "recipe"}, rows)
		return
	}
	head := append([]string{"reward", "mean"}, mapped(r.Runs, func(run Run) string { return run.Label })...)
	for _, a := range r.AccuracyRows() {
		line := append([]string{a.Theory, num(a.Mean.Mean)}, mapped(a.Runs, valueMD)...)
		rows = append(rows, append(line, count(a.Mean), a.Recipe))
	}
	table(b, append(head, "pairs", "recipe"), rows)
}

// markdownTraining writes what the trainers measured themselves: SFT on held-out text, PPO
// on held-out prompts, of every run.
func markdownTraining(b *strings.Builder, r *Report) {
	var rows [][]string
	for _, s := range r.stages("sft") {
		if res := s.Result; res != nil && res.EvalBefore != nil && res.EvalLast != nil {
			rows = append(rows, []string{strings.TrimSpace(s.Name + " " + s.Run), num(res.EvalBefore.Loss),
				num(res.EvalLast.Loss), num(res.EvalBefore.Perplexity), num(res.EvalLast.Perplexity)})
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n## SFT\n\nHeld-out text; loss in nats a token.\n")
		table(b, []string{"stage", "loss before", "after", "perplexity before", "after"}, rows)
	}
	if len(r.Heldout) == 0 {
		return
	}
	b.WriteString("\n## PPO\n\nHeld-out prompts, measured by the trainer: raw score under the policy's own reward " +
		"model, and the paired difference to before training. The scales of the reward models differ" +
		inRuns(r, ", also between runs") + ".\n")
	rows = nil
	for _, h := range r.Heldout {
		before := "-"
		if h.First != nil {
			before = h.First.Score.text()
		}
		difference := plus(h.Last.Difference.text())
		if d := h.Last.Difference; d.known() && (*d.Lo > 0 || *d.Hi < 0) {
			difference = bold(difference)
		}
		rows = append(rows, []string{strings.TrimSpace(h.Policy + " " + h.Run), before, h.Last.Score.text(),
			difference, h.Last.KL.text(), num(h.Last.Length), r.endOf(h)})
	}
	table(b, []string{"policy", "score before", "after", "difference", "KL, nats", "length, tokens", "iterations"},
		rows)
	b.WriteString("\n**Bold**: the interval of the difference excludes 0, by itself.\n")
}

// endOf says how long a policy was trained, and how that ended where it was not as planned.
func (r *Report) endOf(h HeldoutRow) string {
	for _, s := range r.sampled() {
		if s.label() != h.Policy || s.Run != h.Run || s.Result == nil {
			continue
		}
		out := group(int(s.Result.Iterations))
		if !s.Finished() {
			out += ", " + s.Result.Status
		}
		return out
	}
	return "-"
}

// markdownFlags writes failures and cautions, and the notes folded.
func markdownFlags(b *strings.Builder, r *Report) {
	if len(r.Flags) == 0 {
		return
	}
	b.WriteString("\n## What to know\n")
	if len(r.Runs) > 1 {
		var rows [][]string
		for _, f := range r.FlagsByRun() {
			open := strings.Join(f.Open, ", ")
			if open == "" {
				open = "-"
			}
			rows = append(rows, []string{f.Label, group(f.Failures), group(f.Cautions), group(f.Notes), open})
		}
		table(b, []string{"run", "failures", "cautions", "notes", "not finished as planned"}, rows)
	}
	v := struct{ urgent, notes []string }{}
	for _, f := range toldOnce(r.Flags) {
		line := escapeMD(f.Stage) + ": " + escapeMD(f.Text)
		if f.Severity == Note {
			v.notes = append(v.notes, "- "+line)
		} else {
			v.urgent = append(v.urgent, fmt.Sprintf("- **%s** %s", f.Severity, line))
		}
	}
	if len(v.urgent) > 0 {
		b.WriteString("\n" + strings.Join(v.urgent, "\n") + "\n")
	}
	if len(v.notes) > 0 {
		fold(b, plural(len(v.notes), "note", "notes"),
			func() { b.WriteString("\n" + strings.Join(v.notes, "\n") + "\n") })
	}
}

// testsMade says how the tests were made, where all were made alike.
func testsMade(tests []*compare.Family) string {
	if len(tests) == 0 {
		return ""
	}
	f := tests[0]
	for _, o := range tests {
		if o.Resamples != f.Resamples || o.Seed != f.Seed || o.Confidence != f.Confidence || o.Margin != f.Margin {
			return ""
		}
	}
	return fmt.Sprintf("Tests: redone by the report from the records of single items; %s, seed %d, confidence %g, "+
		"margin of equivalence ±%g.", plural(f.Resamples, "resample", "resamples"), f.Seed, f.Confidence, f.Margin)
}
