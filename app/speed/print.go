package speed

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"steer/ggml/adapter"
)

// Columns is the widest line of a table.
const Columns = 80

// Report is what a run of the command measured.
type Report struct {
	CPU     string    `json:"cpu"`
	CPUs    int       `json:"cpus"`
	Version string    `json:"version"` // of the program
	Formula string    `json:"formula"`
	Jobs    []*Result `json:"jobs"`
}

// NewReport is an empty report of this machine.
func NewReport(version string) *Report {
	return &Report{CPU: cpuName(), CPUs: runtime.NumCPU(), Version: version, Formula: Formula}
}

// cpuName is the CPU's own name with family and model, where the system tells it.
func cpuName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	first, _, _ := strings.Cut(string(info), "\n\n")
	fields := map[string]string{}
	for _, line := range strings.Split(first, "\n") {
		name, value, _ := strings.Cut(line, ":")
		fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	if fields["model name"] == "" {
		return runtime.GOARCH
	}
	return fmt.Sprintf("%s (family %s, model %s)", fields["model name"], fields["cpu family"], fields["model"])
}

// WriteTable prints the report in at most Columns columns.
func (p *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	if len(p.Jobs) > 0 {
		p.writeHead(&b, p.Jobs[0])
	}
	steps := 0
	for _, r := range p.Jobs {
		if len(r.Seconds) > 0 {
			r.writeSteps(&b, steps == 0)
			steps++
		}
	}
	if steps > 0 {
		b.WriteString("\n" + Formula)
	}
	for _, r := range p.Jobs {
		r.writeLinears(&b)
		r.writeOps(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeSteps is a job's line, below the names of the columns if it is the first.
func (r *Result) writeSteps(b *strings.Builder, first bool) {
	const line = "%-20s %-22s %8s %7s %9s %9s\n"
	if first {
		memory := "peak RSS"
		if r.OnGPU {
			memory = "on GPU"
		}
		fmt.Fprintf(b, "\n"+line, "job", "tok/s median (min-max)", "GFLOP/s", "of peak", memory, "s a step")
	}
	memory := r.PeakRSS
	if r.OnGPU {
		memory = r.DeviceBytes
	}
	rate, share := number(r.GFLOPS.Median), percent(r.ShareOfPeak)
	if r.Bare {
		rate, share = "-", "-"
	}
	fmt.Fprintf(b, line, clip(r.Label, 20), r.TokensPerSecond.String(), rate, share, megabytes(memory),
		number(spreadOf(r.Seconds).Median))
	if r.PrefillPerSecond != nil {
		fmt.Fprintf(b, "%-20s %s\n", "  its prompts", r.PrefillPerSecond)
	}
	if len(r.Apart) > 0 {
		fmt.Fprintf(b, "%-20s %s\n", "  prompts apart", rates(float64(r.Tokens), r.Apart))
		fmt.Fprintf(b, "%-20s %s times as fast\n", "  prompts shared", r.savings())
	}
}

func (p *Report) writeHead(b *strings.Builder, r *Result) {
	targets := "all linears"
	if n := len(r.Spec.Targets); n != len(adapter.Targets()) {
		targets = strings.Join(r.Spec.Targets, ",")
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-7s %s\n", name, clip(fmt.Sprintf(format, args...), Columns-8))
	}
	row("CPU", "%s, %d of %d threads", p.CPU, r.Threads, p.CPUs)
	if r.OnGPU {
		row("device", "%s, %s of memory", r.Device, megabytes(r.DeviceTotal))
		row("peak", "%s GFLOP/s in bf16 (products of 8192 x 8192 matrices)", number(r.PeakBF16GFLOPS))
	} else {
		row("peak", "%s GFLOP/s in bf16, %s in f32 (loop in registers)", number(r.PeakBF16GFLOPS),
			number(r.PeakF32GFLOPS))
	}
	row("kernels", "%s, precision %s", r.Kernel, r.Spec.Precision)
	if r.Bare {
		row("model", "%s; no LoRA, computed by libllama", r.Model)
		return
	}
	row("model", "%s; LoRA rank %d on %s", r.Model, r.Spec.Rank, targets)
}

func (r *Result) writeLinears(b *strings.Builder) {
	if len(r.Linears) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%-27s %-6s %12s  %s\n", fmt.Sprintf("frozen linears, %d rows", r.Spec.Tokens), "type",
		"n_in x n_out", "GFLOP/s, of peak")
	for _, l := range r.Linears {
		fmt.Fprintf(b, "%-27s %-6s %12s  %s\n", clip(shortTargets(l.Targets), 27), l.Type,
			fmt.Sprintf("%dx%d", l.NIn, l.NOut),
			fmt.Sprintf("%s %s, back %s %s", number(l.Forward), percent(l.Forward/r.peak()), number(l.Backward),
				percent(l.Backward/r.peak())))
	}
}

// shortTargets joins names without what all of them begin with.
func shortTargets(targets []string) string {
	var out []string
	for _, t := range targets {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(t, "attn_"), "ffn_"))
	}
	return strings.Join(out, " ")
}

func (r *Result) writeOps(b *strings.Builder) {
	total := 0.0
	for _, op := range r.Ops {
		total += op.Seconds
	}
	for i, op := range r.Ops {
		if i == 0 {
			fmt.Fprintf(b, "\n%-33s %8s %12s %8s\n", "operations of a step: "+r.Label, "nodes", "ms", "share")
		}
		fmt.Fprintf(b, "%-33s %8d %12.2f %8s\n", clip(op.Op, 33), op.Count, 1e3*op.Seconds, percent(op.Seconds/total))
	}
}

// String is "345 (330-360)".
func (s Spread) String() string {
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number prints three digits, or all before the point.
func number(x float64) string {
	switch {
	case x >= 100 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

// clip cuts a text that is too long for its column.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
