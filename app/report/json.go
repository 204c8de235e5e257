package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"steer/eval/compare"
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

// csvTable writes lines of one table.
type csvTable struct{ out *csv.Writer }

func (c csvTable) write(table, row, column string, v Interval) {
	n := ""
	if v.N > 0 {
		n = strconv.Itoa(v.N)
	}
	// The writer keeps its first error; WriteCSV makes it known.
	_ = c.out.Write([]string{table, row, column, exact(&v.Mean), exact(v.Lo), exact(v.Hi), n})
}

// WriteCSV writes every number of the tables in long form, one a line:
// table, row, column, value, lo, hi, n. Unknown interval ends and counts are empty.
func WriteCSV(w io.Writer, r *Report) error {
	c := csvTable{csv.NewWriter(w)}
	_ = c.out.Write([]string{"table", "row", "column", "value", "lo", "hi", "n"})
	c.matrix(r.Matrix, r.Runs)
	for _, a := range r.Accuracies {
		c.write("pair_accuracy", strings.TrimSpace(a.Theory+" "+a.Run), "accuracy", a.Accuracy)
	}
	for _, h := range r.Heldout {
		row := strings.TrimSpace(h.Policy + " " + h.Run)
		c.write("ppo_held_out", row, "score", h.Last.Score)
		c.write("ppo_held_out", row, "difference", h.Last.Difference)
		c.write("ppo_held_out", row, "kl", h.Last.KL)
		c.write("ppo_held_out", row, "length", Interval{Mean: h.Last.Length})
	}
	for _, t := range r.Benchmarks {
		for _, row := range t.Rows {
			for i, v := range row.Values {
				if v == nil {
					continue
				}
				c.write(t.Title(), row.Model, t.Columns[i], *v)
				c.perRun(t.Title(), row.Model, t.Columns[i], *v, r.Runs)
			}
		}
	}
	for _, f := range r.Tests {
		c.tests(f)
	}
	for _, t := range r.Published {
		for _, row := range t.Rows {
			c.write("thesis "+t.Title, row.Model, "thesis", row.Published)
			if row.Ours != nil {
				c.write("thesis "+t.Title, row.Model, "here", *row.Ours)
			}
		}
	}
	c.out.Flush()
	if err := c.out.Error(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// perRun writes the values of single runs.
func (c csvTable) perRun(table, row, column string, v Interval, runs []Run) {
	for k, x := range v.PerRun {
		c.write(table, row, column+" "+runs[k].Label, Interval{Mean: x, N: v.N})
	}
}

func (c csvTable) matrix(m *Matrix, runs []Run) {
	if m == nil {
		return
	}
	for _, view := range []struct {
		name  string
		cells [][]Cell
	}{{"raw", m.Raw}, {"normalised", m.Norm}} {
		for i, row := range view.cells {
			for j, x := range row {
				p, reward := m.Policies[i], m.Rewards[j]
				c.write("cross_reward_"+view.name, p, reward, Interval{Mean: x.Mean, Lo: x.Lo, Hi: x.Hi, N: x.N})
				if x.Diff != nil {
					c.write("difference_to_"+m.Reference+"_"+view.name, p, reward, x.diff())
					c.perRun("difference_to_"+m.Reference+"_"+view.name, p, reward,
						Interval{N: x.N, PerRun: x.PerRun}, runs)
				}
				if x.Holm != nil {
					c.write("p_"+view.name, p, reward, Interval{Mean: *x.P, N: x.N})
					c.write("holm_p_"+view.name, p, reward, Interval{Mean: *x.Holm, N: x.N})
				}
			}
		}
	}
	for _, p := range m.Policies {
		if v, ok := m.KL[p]; ok {
			c.write("kl", p, "nats", v)
			c.perRun("kl", p, "nats", v, runs)
		}
		if v, ok := m.Lengths[p]; ok {
			c.write("length", p, "tokens", v)
			c.perRun("length", p, "tokens", v, runs)
		}
	}
}

func (c csvTable) tests(f *compare.Family) {
	table := "tests " + benchmarkTitle(f.Benchmark, f.Protocol)
	for _, p := range f.Pairs {
		row := p.A + " - " + p.B
		v := pairInterval(p, 1)
		v.N = f.Items
		c.write(table, row, string(f.Metric)+" difference", v)
		c.write(table, row, "p", Interval{Mean: p.P, N: f.Items})
		c.write(table, row, "holm p", Interval{Mean: p.Holm, N: f.Items})
		if m := p.McNemar; m != nil {
			c.write(table, row, "mcnemar exact p", Interval{Mean: m.ExactP, N: f.Items})
			c.write(table, row, "mcnemar mid-p", Interval{Mean: m.MidP, N: f.Items})
		}
		if e := p.Equivalence; e != nil {
			shown := 0.0
			if e.Shown {
				shown = 1
			}
			c.write(table, row, "equivalent within "+exact(&e.Margin),
				Interval{Mean: shown, Lo: &e.Lo, Hi: &e.Hi, N: f.Items})
		}
		if p.Detectable != nil {
			c.write(table, row, "detectable", Interval{Mean: *p.Detectable, N: f.Items})
		}
		if p.Common != nil {
			d := p.Common.Difference
			c.write(table, row, "difference on common items", Interval{Mean: d.Value, Lo: d.Lo, Hi: d.Hi, N: *f.Common})
		}
	}
	if f.Omnibus != nil {
		c.write(table, "all", "cochran q p", Interval{Mean: f.Omnibus.P, N: f.Items})
	}
}

func exact(p *float64) string {
	if p == nil {
		return ""
	}
	return strconv.FormatFloat(*p, 'g', -1, 64)
}
