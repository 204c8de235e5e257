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
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-") // no negative zero
	}
	return s
}

// signed prints a difference with its sign.
func signed(v float64) string {
	if s := num(v); !strings.HasPrefix(s, "-") {
		return "+" + s
	}
	return num(v)
}

// span prints the ends of an interval: "[0.1, 0.2]", or "" when they are unknown.
func span(lo, hi *float64) string {
	if lo == nil || hi == nil {
		return ""
	}
	return "[" + num(*lo) + ", " + num(*hi) + "]"
}

// withSpan prints "0.15 [0.1, 0.2]".
func withSpan(v Interval) string {
	return strings.TrimSpace(num(v.Mean) + " " + span(v.Lo, v.Hi))
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
	"acc_norm": "accuracy (norm.)", "balanced_acc": "balanced accuracy", "auc": "AUC", "f1": "F1", "macro_f1": "macro F1",
}

// benchmarkNames are the titles of benchmarks known by name.
var benchmarkNames = map[string]string{"scruples": "Scruples", "toxigen": "ToxiGen", "wsc273": "WSC273"}

func metricLabel(m string) string {
	if l, ok := metricLabels[m]; ok {
		return l
	}
	return m
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
