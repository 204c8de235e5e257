package report

import (
	"fmt"
	"slices"
	"strings"
)

// markdownProvenance says what it takes to do it again: model, versions, data, stages,
// commands, configuration, of every run.
func markdownProvenance(b *strings.Builder, r *Report) {
	b.WriteString("\n## Provenance\n")
	if m := r.Base; m != nil {
		parts := slices.DeleteFunc([]string{m.Name, m.Architecture, m.Quantization},
			func(s string) bool { return s == "" })
		fmt.Fprintf(b, "\n- Base model: %s", escapeMD(strings.Join(parts, ", ")))
		if m.Parameters > 0 {
			fmt.Fprintf(b, ", %s parameters", group(int(m.Parameters)))
		}
		if m.SHA256 != "" {
			fmt.Fprintf(b, ", sha256 %s", codeMD(m.SHA256))
		}
	}
	if s := r.versions(); s != "" {
		fmt.Fprintf(b, "\n- Versions: %s", escapeMD(s))
	}
	if s := testsMade(r.Tests); s != "" {
		fmt.Fprintf(b, "\n- %s", escapeMD(s))
	}
	b.WriteString("\n")
	markdownStages(b, r)
	if commands := r.commands(); len(commands) > 0 {
		b.WriteString("\nTo do it again:\n")
		var lines []string
		for _, c := range commands {
			if c.Run != "" {
				lines = append(lines, "# "+c.Run)
			}
			lines = append(lines, c.Lines...)
		}
		blockMD(b, strings.Join(lines, "\n"))
	}
	if rows := r.dataFiles(); len(rows) > 0 {
		fold(b, plural(len(rows), "data file", "data files"),
			func() { table(b, []string{"file", "read by", "rows", "sha256"}, rows) })
	}
	markdownExperiments(b, r)
}

// versions lists what the stages were made with; several values of one are all named.
func (r *Report) versions() string {
	values := map[string][]string{}
	add := func(name, v string) {
		if v != "" && !slices.Contains(values[name], v) {
			values[name] = append(values[name], v)
		}
	}
	for i := range r.Stages {
		res := r.Stages[i].Result
		if res == nil {
			continue
		}
		for k, v := range res.Versions {
			add(k, v)
		}
		add("device", strings.TrimSpace(res.Device+" "+res.Precise))
	}
	var out []string
	for _, k := range sortedKeys(values) {
		slices.Sort(values[k])
		out = append(out, k+" "+list(values[k]))
	}
	return strings.Join(out, ", ")
}

// markdownStages writes how every stage ended, a column a run.
func markdownStages(b *strings.Builder, r *Report) {
	var names []string
	runs := []string{""}
	if len(r.Runs) > 0 || len(r.Compared) > 0 {
		runs = mapped(slices.Concat(r.Runs, r.Compared), func(run Run) string { return run.Label })
	}
	cells := map[string]map[string]string{}
	for i := range r.Stages {
		s := &r.Stages[i]
		if cells[s.Name] == nil {
			names = append(names, s.Name)
			cells[s.Name] = map[string]string{}
		}
		cells[s.Name][s.Run] = s.ended(s.Run == "")
	}
	var rows [][]string
	for _, name := range names {
		line := []string{name}
		for _, run := range runs {
			cell := cells[name][run]
			if cell == "" {
				cell = "-"
			}
			line = append(line, cell)
		}
		rows = append(rows, line)
	}
	head := append([]string{"stage"}, runs...)
	if runs[0] == "" {
		head[1] = "ended"
	}
	table(b, head, rows)
}

// ended says in short how a stage ended, with its seed where no heading tells it.
func (s *Stage) ended(withSeed bool) string {
	res := s.Result
	if res == nil {
		return "not finished"
	}
	parts := []string{"finished"}
	if res.Status != "" {
		parts[0] = res.Status
	}
	switch {
	case res.Steps > 0:
		parts = append(parts, plural(int(res.Steps), "step", "steps"))
	case res.Iterations > 0:
		parts = append(parts, plural(int(res.Iterations), "iteration", "iterations"))
	}
	if res.Seconds > 0 {
		parts = append(parts, duration(res.Seconds))
	}
	if withSeed && res.Seed != nil {
		parts = append(parts, fmt.Sprintf("seed %d", *res.Seed))
	}
	return strings.Join(parts, ", ")
}

// dataFiles lists every data file that stages name, once: path, readers, rows, hash.
func (r *Report) dataFiles() [][]string {
	type file struct{ path, sum string }
	var order []file
	readers, rows := map[file][]string{}, map[file]int{}
	for i := range r.Stages {
		s := &r.Stages[i]
		if s.Result == nil {
			continue
		}
		for _, d := range s.Result.Data {
			f := file{d.Path, d.SHA256}
			if readers[f] == nil {
				order = append(order, f)
			}
			who := s.Name
			if d.Role != "" {
				who += " (" + d.Role + ")"
			}
			if !slices.Contains(readers[f], who) {
				readers[f] = append(readers[f], who)
			}
			rows[f] = max(rows[f], d.Rows)
		}
	}
	var out [][]string
	for _, f := range order {
		count := "-"
		if rows[f] > 0 {
			count = group(rows[f])
		}
		out = append(out, []string{f.path, strings.Join(readers[f], ", "), count, f.sum})
	}
	return out
}

// markdownExperiments writes the configuration: that of the first run, and in what lines
// the others differ from it.
func markdownExperiments(b *strings.Builder, r *Report) {
	if r.Experiment != "" {
		fold(b, "experiment.yaml", func() { blockMD(b, r.Experiment) })
	}
	if len(r.Runs) == 0 || r.Runs[0].Experiment == "" {
		return
	}
	first := r.Runs[0]
	fold(b, "experiment.yaml of "+first.Label+", and in what the others differ", func() {
		blockMD(b, first.Experiment)
		for _, run := range r.Runs[1:] {
			text := "the same"
			if run.Experiment != first.Experiment {
				text = lineDifference(first.Experiment, run.Experiment)
			}
			fmt.Fprintf(b, "\n- %s: %s", escapeMD(run.Label), escapeMD(text))
		}
		b.WriteString("\n")
	})
}
