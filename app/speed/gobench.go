package speed

import (
	"fmt"
	"io"
	"runtime"
	"strings"
)

// WriteGoBench prints every measured step as a line of Go's benchmark format, for benchstat
// (golang.org/design/14313-benchmark-format).
func (p *Report) WriteGoBench(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: steer\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, p.CPU)
	b.WriteString("Unit tok/s better=higher\nUnit GFLOP/s better=higher\nUnit peak-RSS-bytes better=lower\n")
	for _, r := range p.Jobs {
		name := "Benchmark" + goName(string(r.Spec.Job)) + "/" +
			strings.ReplaceAll(strings.TrimPrefix(r.Label, string(r.Spec.Job)+" "), " ", "_")
		for _, s := range r.Seconds {
			fmt.Fprintf(&b, "%s-%d 1 %.0f ns/op %.5g tok/s %d peak-RSS-bytes\n", name, r.Threads, 1e9*s,
				float64(r.Tokens)/s, r.PeakRSS)
		}
		for _, s := range r.Apart {
			fmt.Fprintf(&b, "%s/apart-%d 1 %.0f ns/op %.5g tok/s\n", name, r.Threads, 1e9*s, float64(r.Tokens)/s)
		}
		for _, l := range r.Linears {
			kind := fmt.Sprintf("%s-%dx%d-%d", l.Type, l.NIn, l.NOut, r.Threads)
			fmt.Fprintf(&b, "BenchmarkLinear/%s 1 %.5g GFLOP/s\n", kind, l.Forward)
			fmt.Fprintf(&b, "BenchmarkLinearBack/%s 1 %.5g GFLOP/s\n", kind, l.Backward)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// goName turns "train-keep" into "TrainKeep".
func goName(job string) string {
	var b strings.Builder
	for _, part := range strings.Split(job, "-") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
