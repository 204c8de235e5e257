package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"strings"

	"steer/eval/compare"
	"steer/internal/stats"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed templates/style.css
var pageStyle string

//go:embed templates/page.js
var pageScript string

// htmlLimit is the largest page that is written, in bytes.
const htmlLimit = 3 << 20

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"num":        func(v float64) string { return minus(num(v)) },
	"int":        group,
	"big":        func(n int64) string { return group(int(n)) },
	"mean":       func(v *Interval) string { m, _ := v.parts(); return minus(m) },
	"ends":       func(v *Interval) string { _, e := v.parts(); return minus(e) },
	"minus":      minus,
	"ref":        func(v Interval) *Interval { return &v },
	"plus":       plus,
	"metric":     metricLabel,
	"short":      short,
	"duration":   duration,
	"join":       strings.Join,
	"visible":    visible,
	"command":    shellLine,
	"p":          pValue,
	"family":     familyText,
	"title":      benchmarkTitle,
	"metricName": func(f *compare.Family) string { return string(f.Metric) },
	"deref":      func(n *int) int { return *n },
	"percent":    func(v float64) string { return brief(100*v) + " %" },
	"est":        estimateInterval,
	"est2":       func(e *compare.Estimate) *Interval { return estimateInterval(*e) },
	"bounds":     func(lo, hi float64) string { _, e := interval((lo+hi)/2, &lo, &hi); return minus(e) },
	"each":       each,
	"short3":     func(v *float64) string { return brief(*v) },
	"span":       func(values []float64) string { return minus(spanOf(values)) },
	"names":      func(metrics []string) string { return list(mapped(metrics, metricLabel)) },
}).ParseFS(templates, "templates/*.html")).Lookup("page.html")

// estimateInterval is an estimate in the form that the page prints.
func estimateInterval(e compare.Estimate) *Interval {
	return &Interval{Mean: e.Value, Lo: e.Lo, Hi: e.Hi}
}

// each lists the values of the runs.
func each(values []float64) string {
	return minus(strings.Join(mapped(values, num), ", "))
}

// spanOf is the range of the values of the runs.
func spanOf(values []float64) string {
	lo, hi := stats.Range(values)
	if num(lo) == num(hi) {
		return "the same in every run"
	}
	return num(lo) + " to " + num(hi)
}

// scriptHash is what the page's security policy allows to run: this script and no other.
func scriptHash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// WriteHTML writes one self-contained page: style, plots and one short script (the
// search) are inside, no other script may run, and nothing is fetched. When it would be larger than
// 3 MB the last samples are left out, and counted in it; a page that is too large without any
// sample is an error.
func WriteHTML(w io.Writer, r *Report) error {
	shown := *r
	for {
		b, err := renderHTML(&shown)
		if err != nil {
			return err
		}
		if len(b) <= htmlLimit {
			if _, err := w.Write(b); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			return nil
		}
		n := len(shown.Samples)
		if n == 0 {
			return fmt.Errorf("report: the page would have %d bytes, more than %d: report fewer stages at once",
				len(b), htmlLimit)
		}
		keep := n / 2
		for keep > 0 && shown.Samples[keep].Prompt == shown.Samples[keep-1].Prompt {
			keep-- // the runs' answers to one prompt go together
		}
		shown.Samples = shown.Samples[:keep]
		shown.SamplesLeftOut += n - keep
	}
}

func renderHTML(r *Report) ([]byte, error) {
	v, err := newView(r)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := page.Execute(&buf, v); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return buf.Bytes(), nil
}

var hyphenMinus = regexp.MustCompile(`(^|[\s\[(])-(\d)`)

// minus sets the minus sign in front of numbers.
func minus(s string) string { return hyphenMinus.ReplaceAllString(s, "$1\u2212$2") }

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// shellLine quotes a command so that it can be pasted into a shell.
func shellLine(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if !plainArgument.MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out[i] = a
	}
	return visible(strings.Join(out, " "))
}
