package metrics

import (
	"slices"

	"steer/internal/stats"
)

// AddClasses stores the measures of more than two classes: MCC (Gorodkin's, as
// scikit-learn), balanced accuracy and macro-F1 with bootstrap intervals, kappa, the
// accuracy of the majority class, and flags.
func (s *Summary) AddClasses(gold, pred []int) error {
	table, err := stats.NewConfusion(gold, pred)
	if err != nil {
		return err
	}
	mcc, degenerate := table.MCC()
	s.Set("mcc", mcc)
	s.Set("balanced_acc", table.BalancedAccuracy())
	s.Set("macro_f1", table.MacroF1())
	s.Set("kappa", table.Kappa())
	s.Set("majority_acc", float64(MostFrequent(gold))/float64(len(gold)))
	if len(gold) == MostFrequent(gold) {
		s.Flag("one_class")
	}
	if len(pred) == MostFrequent(pred) {
		s.Flag("degenerate")
	}
	if degenerate {
		return nil
	}
	src, err := s.Resamples(len(gold))
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		of   func(*stats.Confusion) (float64, bool)
	}{
		{"mcc", (*stats.Confusion).MCC},
		{"balanced_acc", func(c *stats.Confusion) (float64, bool) { return c.BalancedAccuracy(), false }},
		{"macro_f1", func(c *stats.Confusion) (float64, bool) { return c.MacroF1(), false }},
	} {
		boot, err := stats.BootstrapFunc(src, s.Settings.Resamples, func() func([]int32) (float64, bool) {
			return tally(table.Labels, gold, pred, m.of)
		})
		if err != nil {
			return err
		}
		v, bca := boot.BCa(s.Settings.Confidence)
		s.SetInterval(m.name, v.Lo, v.Hi)
		s.Provenance.Set(m.name+"_interval", map[bool]string{true: "bca", false: "percentile"}[bca])
		if m.name == "mcc" {
			s.Set("mcc_degenerate_resamples", float64(boot.DegenerateCount()))
		}
	}
	return nil
}

// tally gives a measure of the confusion matrix of some items; the classes are those of
// all items.
func tally(labels, gold, pred []int, of func(*stats.Confusion) (float64, bool)) func([]int32) (float64, bool) {
	place := func(values []int) []int {
		out := make([]int, len(values))
		for i, v := range values {
			out[i] = slices.Index(labels, v)
		}
		return out
	}
	g, p := place(gold), place(pred)
	table := &stats.Confusion{Labels: labels, Counts: make([][]int, len(labels))}
	for k := range table.Counts {
		table.Counts[k] = make([]int, len(labels))
	}
	return func(items []int32) (float64, bool) {
		for _, row := range table.Counts {
			clear(row)
		}
		for _, i := range items {
			table.Counts[g[i]][p[i]]++
		}
		return of(table)
	}
}

// MostFrequent is how often the most frequent value occurs.
func MostFrequent(values []int) int {
	counts, most := map[int]int{}, 0
	for _, v := range values {
		counts[v]++
		most = max(most, counts[v])
	}
	return most
}
