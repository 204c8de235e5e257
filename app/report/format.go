package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// num prints a number with about three significant places, ASCII.
func num(v float64) string {
	digits := 3
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 1e6:
		return strconv.FormatFloat(v, 'g', 4, 64)
	case a >= 100:
		digits = 1
	case a >= 10:
		digits = 2
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if zeroText(s) {
		s = strings.TrimPrefix(s, "-") // no negative zero
	}
	return s
}

// brief prints two significant digits of a number below 100.
func brief(v float64) string {
	if math.Abs(v) >= 100 {
		return num(v)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// interval formats a number and the ends of its interval, which are told apart from 0.
func interval(mean float64, lo, hi *float64) (m, ends string) {
	return Interval{Mean: mean, Lo: lo, Hi: hi}.parts()
}

// parts formats a number and the ends of its interval with the same number of decimals: two
// significant ones of the half width, and as many as it takes that no end looks like the mark
// that is not the mark: a claim rests on which side of it an end is.
func (v Interval) parts() (m, ends string) {
	mean, lo, hi := v.Mean, v.Lo, v.Hi
	if lo == nil || hi == nil {
		return num(mean), ""
	}
	d := 3
	if half := (*hi - *lo) / 2; half > 1e-12 { // below: one value, computed twice
		d = min(max(1-int(math.Floor(math.Log10(half))), 0), 5)
	}
	for _, end := range []float64{*lo, *hi} {
		for d < 5 && end != v.mark && zeroText(strconv.FormatFloat(end-v.mark, 'f', d, 64)) {
			d++
		}
	}
	f := func(v float64) string {
		s := strconv.FormatFloat(v, 'f', d, 64)
		if math.Abs(v) >= 1e6 {
			s = num(v)
		}
		if zeroText(s) {
			s = strings.TrimPrefix(s, "-")
		}
		return s
	}
	return f(mean), "[" + f(*lo) + ", " + f(*hi) + "]"
}

func zeroText(s string) bool { return strings.Trim(s, "-0.") == "" }

// text prints "0.15 [0.1, 0.2]", or the number alone.
func (v Interval) text() string {
	m, ends := v.parts()
	return strings.TrimSpace(m + " " + ends)
}

// diff is the difference of a cell as an interval; Diff must not be nil.
func (c Cell) diff() Interval { return Interval{Mean: *c.Diff, Lo: c.DiffLo, Hi: c.DiffHi, N: c.N} }

// plus puts a sign before a number that has none.
func plus(s string) string {
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "\u2212") {
		return s
	}
	return "+" + s
}

// group prints an integer with thin groups of three: 12,345.
func group(n int) string {
	s := strconv.Itoa(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// list joins names for a sentence: "a", "a and b", "a, b and c".
func list(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// plural prints "1 policy", "3 policies".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%s %s", group(n), many)
}

// duration prints seconds for people.
func duration(s float64) string {
	switch {
	case s < 90:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case s < 5400:
		return strconv.FormatFloat(s/60, 'f', 1, 64) + " min"
	}
	return strconv.FormatFloat(s/3600, 'f', 1, 64) + " h"
}

// metricLabels are the words for metrics of benchmarks.
var metricLabels = map[string]string{
	"acc": "accuracy", "mcc": "MCC", "predicted_yes": "says Yes", "coverage": "answered",
	"answered_mcc": "MCC of the answered", "acc_norm": "accuracy (norm.)", "balanced_acc": "balanced accuracy",
	"auc": "AUC", "f1": "F1", "macro_f1": "macro F1",
	"answered_acc": "accuracy of the answered", "exact_match": "exact match", "em": "exact match",
	"pct_stereotype": "stereotyped", "gotcha_gap": "gotcha gap",
}

// benchmarkNames are the titles of benchmarks known by name.
var benchmarkNames = map[string]string{"scruples": "Scruples", "ethics-deontology": "ETHICS deontology",
	"ethics-utilitarianism": "ETHICS utilitarianism", "toxigen": "ToxiGen", "wsc273": "WSC273",
	"ethics-justice": "ETHICS justice", "ethics-virtue": "ETHICS virtue", "ethics-commonsense": "ETHICS commonsense",
	"winogrande": "WinoGrande", "wsc285": "WSC285",
	"winobias_type1": "WinoBias type 1", "winobias_type2": "WinoBias type 2", "winogender": "Winogender",
	"crows_pairs": "CrowS-Pairs", "hh_rlhf": "hh-rlhf", "dilemmas": "Scruples dilemmas"}

func metricLabel(m string) string {
	if l, ok := metricLabels[m]; ok {
		return l
	}
	return strings.ReplaceAll(m, "_", " ")
}

// Title names the benchmark and its protocol.
func (t BenchmarkTable) Title() string { return benchmarkTitle(t.Benchmark, t.Protocol) }

func benchmarkTitle(name, protocol string) string {
	if n, ok := benchmarkNames[name]; ok {
		name = n
	}
	if protocol != "" {
		name += " (" + protocol + ")"
	}
	return name
}

// trim prints v with d decimals.
func trim(v float64, d int) string { return strconv.FormatFloat(v, 'f', d, 64) }

// runsText is spanOf where it has to be said of what.
func runsText(values []float64) string {
	s := spanOf(values)
	if strings.HasPrefix(s, "the same") {
		return s
	}
	return "runs: " + s
}

func mapped[T any](values []T, f func(T) string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "~"
	}
	return s
}
