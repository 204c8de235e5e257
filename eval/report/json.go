package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// WriteJSON writes the whole report, indented.
func WriteJSON(w io.Writer, r *Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// WriteCSV writes every number of the tables in long form, one a line:
// table, row, column, value, lo, hi, n. Unknown interval ends and counts are empty.
func WriteCSV(w io.Writer, r *Report) error {
	out := csv.NewWriter(w)
	write := func(table, row, column string, v Interval) {
		n := ""
		if v.N > 0 {
			n = strconv.Itoa(v.N)
		}
		// The writer keeps its first error; Flush below makes it known.
		_ = out.Write([]string{table, row, column, exact(&v.Mean), exact(v.Lo), exact(v.Hi), n})
	}
	_ = out.Write([]string{"table", "row", "column", "value", "lo", "hi", "n"})
	if m := r.Matrix; m != nil {
		for _, view := range []struct {
			name  string
			cells [][]Cell
		}{{"raw", m.Raw}, {"normalised", m.Norm}} {
			for i, row := range view.cells {
				for j, c := range row {
					write("cross_reward_"+view.name, m.Policies[i], m.Rewards[j], Interval{Mean: c.Mean, Lo: c.Lo, Hi: c.Hi, N: c.N})
					if c.Diff != nil {
						write("difference_to_"+m.Reference+"_"+view.name, m.Policies[i], m.Rewards[j], Interval{Mean: *c.Diff, Lo: c.DiffLo, Hi: c.DiffHi, N: c.N})
					}
				}
			}
		}
		for _, p := range m.Policies {
			if v, ok := m.KL[p]; ok {
				write("kl", p, "nats", v)
			}
			if v, ok := m.Lengths[p]; ok {
				write("length", p, "tokens", v)
			}
		}
	}
	for _, a := range r.Accuracies {
		write("pair_accuracy", a.Theory, "accuracy", a.Accuracy)
	}
	for _, t := range r.Benchmarks {
		for _, row := range t.Rows {
			for i, v := range row.Values {
				if v != nil {
					write(t.Title(), row.Model, t.Columns[i], *v)
				}
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func exact(p *float64) string {
	if p == nil {
		return ""
	}
	return strconv.FormatFloat(*p, 'g', -1, 64)
}
