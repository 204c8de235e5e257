package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"steer/eval/compare"
	"steer/internal/stats"
)

// namedDifferences is how many differences a verdict names.
const namedDifferences = 2

// scoreTestName is the test of the matrix, for people.
func (r *Report) scoreTestName() string {
	for _, row := range r.Scores.Cells {
		for _, c := range row {
			if c.Test != "" {
				return c.Test
			}
		}
	}
	return ""
}

// testedPair is a pair of a family of language models, adjusted over all of them.
type testedPair struct {
	f    *compare.Family
	p    compare.Pair
	holm float64
}

// allPairs adjusts the p-values of all pairwise tests of language models together. A
// statement that picks out of several benchmarks has to stand this correction.
func (r *Report) allPairs() []testedPair {
	var out []testedPair
	var raw []float64
	for _, f := range r.Tests {
		if t := r.table(benchmarkKey(f.Benchmark, f.Protocol)); t != nil && t.OfRewards {
			continue
		}
		for _, p := range f.Pairs {
			out, raw = append(out, testedPair{f: f, p: p}), append(raw, p.P)
		}
	}
	for i, v := range stats.Holm(raw) {
		out[i].holm = v
	}
	return out
}

// verdictTests is the sentence on the benchmarks, from their tests.
func (r *Report) verdictTests() string {
	pairs := r.allPairs()
	if len(pairs) == 0 {
		return ""
	}
	var shown []testedPair
	benchmarks := map[*compare.Family]bool{}
	for _, p := range pairs {
		benchmarks[p.f] = true
		if p.holm < alpha {
			shown = append(shown, p)
		}
	}
	slices.SortStableFunc(shown, func(a, b testedPair) int {
		return cmp.Or(cmp.Compare(r.rankOf(a), r.rankOf(b)), cmp.Compare(a.holm, b.holm))
	})
	head := fmt.Sprintf("On %s, %s of the models with one another", plural(len(benchmarks), "benchmark", "benchmarks"),
		plural(len(pairs), "comparison", "comparisons"))
	corrected := "after Holm's correction over all of them"
	if len(shown) == 0 {
		head += " show no difference " + corrected
	} else {
		verb := "differences"
		if len(shown) == 1 {
			verb = "difference"
		}
		head += fmt.Sprintf(" show %d %s %s: %s", len(shown), verb, corrected, nameDifferences(shown))
	}
	if open := r.leftOpen(); open != "" {
		head += "; " + open
	}
	return head + "."
}

// rankOf orders the differences to name: those on the primary benchmark before others,
// and between policies before those to base or SFT.
func (r *Report) rankOf(p testedPair) int {
	rank := 0
	if t := r.primary(); t == nil || t.key() != benchmarkKey(p.f.Benchmark, p.f.Protocol) {
		rank += 2
	}
	if r.model(p.p.A).role() != "policy" || r.model(p.p.B).role() != "policy" {
		rank++
	}
	return rank
}

func nameDifferences(shown []testedPair) string {
	var parts []string
	for _, s := range shown[:min(len(shown), namedDifferences)] {
		a, b, sign := s.p.A, s.p.B, 1.0
		if s.p.Difference.Value < 0 {
			a, b, sign = b, a, -1
		}
		v := pairInterval(s.p, sign)
		parts = append(parts, fmt.Sprintf("%s > %s on %s (%s %s, Holm p %s)", a, b,
			benchmarkTitle(s.f.Benchmark, s.f.Protocol), metricLabel(string(s.f.Metric)), plus(v.text()),
			pValue(s.holm)))
	}
	out := strings.Join(parts, "; ")
	if more := len(shown) - namedDifferences; more > 0 {
		out += fmt.Sprintf("; and %d more", more)
	}
	return out
}

// leftOpen says, for the primary benchmark, which differences the data exclude, how many
// are shown to be within the margin, and what they could have shown.
func (r *Report) leftOpen() string {
	t := r.primary()
	if t == nil {
		return ""
	}
	f := r.familyOf(t.key())
	if f == nil {
		return ""
	}
	bound, bounded, equivalent := 0.0, 0, 0
	var detect []float64
	for _, p := range f.Pairs {
		if s := p.Simultaneous; s != nil && s.Lo != nil {
			bound = max(bound, -*s.Lo, *s.Hi)
			bounded++
		}
		if p.Equivalence != nil && p.Equivalence.Shown {
			equivalent++
		}
		if p.DetectableHolm != nil {
			detect = append(detect, *p.DetectableHolm)
		}
	}
	if bounded == 0 {
		return ""
	}
	label := metricLabel(string(f.Metric))
	of := "between any two models"
	if bounded < len(f.Pairs) {
		of = fmt.Sprintf("within the %d pairs that can be bounded", bounded)
	}
	excluded := fmt.Sprintf("differences of %s larger than %s %s are excluded", label, brief(bound), of)
	if bound >= 1 { // as intervals over two runs may be
		excluded = fmt.Sprintf("no difference of %s %s is excluded", label, of)
	}
	s := fmt.Sprintf("on %s, %s (simultaneous %g %% intervals), equivalence within ±%g is shown for %d of %s",
		t.Title(), excluded, 100*f.Confidence, f.Margin, equivalent, plural(len(f.Pairs), "pair", "pairs"))
	if len(detect) > 0 {
		slices.Sort(detect)
		s += fmt.Sprintf(", and a difference of about %s would have been found with %g %% power",
			brief(detect[len(detect)/2]), 100*f.Power)
	}
	return s
}
