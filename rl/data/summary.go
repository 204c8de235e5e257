package data

import (
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// Summary describes a data file, see Inspect.
type Summary struct {
	Path   string `json:"path"`
	Format Format `json:"format"`
	Title  string `json:"title"`
	// Why says what it was recognised by.
	Why  string `json:"why"`
	Rows int    `json:"rows"`
	// Columns are those that are read, by the names that steer knows; Unread are the others that say something,
	// by the names of the file, those of messages as "messages[].name".
	Columns []ColumnUse `json:"columns,omitempty"`
	Unread  []string    `json:"unread,omitempty"`
	// Labels counts the values of the label, most frequent first; empty where the format has none.
	Labels []LabelCount `json:"labels,omitempty"`
	// Fields has the length statistics of every text field.
	Fields []FieldStats `json:"fields"`
	// Duplicates is the number of rows equal to an earlier one in every field.
	Duplicates int `json:"duplicates"`
	// Notes are odd cases that were met and kept, counted.
	Notes []string `json:"notes,omitempty"`
	// Examples are the first rows, a field a line, shortened.
	Examples []string `json:"examples"`
}

// ColumnUse is a column that is read.
type ColumnUse struct {
	Name string `json:"name"`         // as steer knows it
	In   string `json:"in,omitempty"` // as the file has it, where that differs
	Rows int    `json:"rows"`         // in which it says something
}

// LabelCount is how often a label value occurs.
type LabelCount struct {
	Label string  `json:"label"`
	Count int     `json:"count"`
	Share float64 `json:"share"`
}

// FieldStats are the lengths of a field in its unit.
type FieldStats struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"` // "characters", "turns" or "tokens"
	Min    int     `json:"min"`
	Median int     `json:"median"`
	Mean   float64 `json:"mean"`
	P95    int     `json:"p95"`
	Max    int     `json:"max"`
	Empty  int     `json:"empty"`
}

// Write prints the summary for people.
func (s Summary) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s (%s)\n%d rows", s.Path, s.Title, s.Format, s.Rows)
	if s.Duplicates > 0 {
		fmt.Fprintf(&b, ", %d of them equal to an earlier one", s.Duplicates)
	}
	b.WriteString("\n")
	if s.Why != "" {
		fmt.Fprintf(&b, "  read as %s: %s\n", s.Format, s.Why)
	}
	for _, c := range s.Columns {
		name := c.Name
		if c.In != "" {
			name += fmt.Sprintf(" (%q in the file)", c.In)
		}
		fmt.Fprintf(&b, "  column %s: in %d rows\n", name, c.Rows)
	}
	if len(s.Unread) > 0 {
		fmt.Fprintf(&b, "  not read: %s\n", strings.Join(s.Unread, ", "))
	}
	for _, l := range s.Labels {
		fmt.Fprintf(&b, "  label %s: %d (%.1f %%)\n", l.Label, l.Count, 100*l.Share)
	}
	for _, n := range s.Notes {
		if len(s.Unread) > 0 && strings.Contains(n, unreadNote) {
			continue // said above
		}
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "field\tunit\tmin\tmedian\tmean\tp95\tmax\tempty\t")
	for _, f := range s.Fields {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.1f\t%d\t%d\t%d\t\n", f.Name, f.Unit, f.Min, f.Median, f.Mean, f.P95,
			f.Max, f.Empty)
	}
	table.Flush()
	for i, e := range s.Examples {
		fmt.Fprintf(&b, "example %d\n%s", i+1, e)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const summaryExamples = 3

// collector gathers a Summary row by row.
type collector struct {
	source  Source
	summary Summary
	labels  map[string]int
	fields  []string
	units   map[string]string
	lengths map[string][]int
	seed    maphash.Seed
	seen    map[uint64]struct{}
}

func newCollector(src Source) *collector {
	return &collector{source: src, summary: Summary{Path: src.Path, Format: src.Format, Title: src.Format.Title()},
		labels: map[string]int{}, units: map[string]string{}, lengths: map[string][]int{},
		seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// field is one named value of a row; a value that is not text has its size in a unit.
type field struct {
	name, text, unit string
	size             int
}

func text(name, value string) field {
	return field{name: name, text: value, unit: "characters", size: utf8.RuneCountInString(value)}
}

// said is what one side of a conversation says; its turns are shown apart.
func said(name string, turns []string) field {
	f := text(name, strings.Join(turns, ""))
	f.text = strings.Join(turns, "\n")
	return f
}

func sized(name, unit string, size int, shown string) field {
	return field{name: name, text: shown, unit: unit, size: size}
}

// row adds a row; label is "" where the format has none.
func (c *collector) row(label string, fields ...field) {
	c.summary.Rows++
	if label != "" {
		c.labels[label]++
	}
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(label)
	var example strings.Builder
	if label != "" {
		fmt.Fprintf(&example, "  label: %s\n", label)
	}
	for _, f := range fields {
		if _, known := c.units[f.name]; !known {
			c.fields = append(c.fields, f.name)
			c.units[f.name] = f.unit
		}
		c.lengths[f.name] = append(c.lengths[f.name], f.size)
		h.WriteByte(0)
		h.WriteString(f.text)
		if c.summary.Rows <= summaryExamples {
			fmt.Fprintf(&example, "  %s: %s\n", f.name, shorten(f.text, 240))
		}
	}
	if _, again := c.seen[h.Sum64()]; again {
		c.summary.Duplicates++
	}
	c.seen[h.Sum64()] = struct{}{}
	if c.summary.Rows <= summaryExamples {
		c.summary.Examples = append(c.summary.Examples, example.String())
	}
}

// note records an odd case if it occurred.
func (c *collector) note(count int, format string) {
	if count > 0 {
		c.summary.Notes = append(c.summary.Notes, fmt.Sprintf(format, count))
	}
}

func (c *collector) finish() Summary {
	c.summary.Why = c.source.why
	if seen := c.source.seen; seen != nil {
		c.summary.Columns, c.summary.Unread = seen.used(c.source.Columns)
	}
	for label, n := range c.labels {
		c.summary.Labels = append(c.summary.Labels, LabelCount{label, n, float64(n) / float64(c.summary.Rows)})
	}
	slices.SortFunc(c.summary.Labels, func(a, b LabelCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Label, b.Label)
	})
	for _, name := range c.fields {
		l := c.lengths[name]
		slices.Sort(l)
		sum, empty := 0, 0
		for _, n := range l {
			sum += n
			if n == 0 {
				empty++
			}
		}
		c.summary.Fields = append(c.summary.Fields, FieldStats{Name: name, Unit: c.units[name], Min: l[0],
			Median: l[len(l)/2],
			Mean:   float64(sum) / float64(len(l)), P95: l[(len(l)-1)*95/100], Max: l[len(l)-1], Empty: empty})
	}
	return c.summary
}

// shorten gives at most n characters on one line.
func shorten(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " / ")
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n]) + "..."
	}
	return s
}
