package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"steer/app/plan"
	"steer/internal/bytesize"
)

// printForecast prints what people read: one line a stage, or every buffer of it.
func printForecast(w io.Writer, f *plan.Forecast, details bool) error {
	var t table
	t.add("model", "%s (%s)", relative(f.Model), bytesize.Text(f.Weights))
	if onGPU(f) {
		t.add("device", "%s, %s", f.Device, f.Kernel)
	} else {
		t.add("device", "cpu, %d threads, kernels %s", f.Threads, f.Kernel)
	}
	t.add("memory", "%s", room(f))
	if f.Rates != nil {
		t.add("speed", "%s", rates(f.Rates))
	}
	if f.Others > 0 {
		t.add("busy", "other programs took %.0f %% of the CPUs meanwhile: speed and times are of a busy machine",
			100*f.Others)
	}
	if err := t.write(w); err != nil {
		return err
	}
	for _, text := range f.Warnings {
		if _, err := fmt.Fprintf(w, "\n%s\n", strings.Join(wrap("warning: "+text, tableColumns), "\n")); err != nil {
			return err
		}
	}
	if details {
		for _, p := range f.Stages {
			if err := printStage(w, p); err != nil {
				return err
			}
		}
	} else if err := printStages(w, f); err != nil {
		return err
	}
	if err := printSuggestions(w, f); err != nil {
		return err
	}
	if slices.ContainsFunc(f.Stages, func(p *plan.Stage) bool { return p.HostBytes() < plan.PlanFloor }) {
		text := fmt.Sprintf("Of a stage below %s the plan is right to some %d MB, not to 5 %%: "+
			"the program itself is most of it, and when Go's memory is collected is left to chance.",
			bytesize.Text(plan.PlanFloor), plan.PlanSlack/1_000_000)
		if _, err := fmt.Fprintf(w, "\n%s\n", strings.Join(wrap(text, tableColumns), "\n")); err != nil {
			return err
		}
	}
	peak := bytesize.Text(f.Peak)
	if onGPU(f) {
		peak += " of " + f.Memory + ", " + bytesize.Text(f.HostPeak) + " of the host's memory"
	}
	_, err := fmt.Fprintf(w, "\nPeak %s%s%s.\n", peak, total(f), choose(f.Fits, "", ": it does not fit"))
	return err
}

func onGPU(f *plan.Forecast) bool { return f.Memory != plan.HostMemory }

// room says what may be taken.
func room(f *plan.Forecast) string {
	if f.Free == 0 {
		return "not known how much is free: give --memory"
	}
	free := bytesize.Text(f.Free)
	if onGPU(f) {
		free += " of " + f.Memory
		if f.HostFree > 0 {
			free += ", " + bytesize.Text(f.HostFree) + " of the host's"
		}
	}
	return free + " may be taken"
}

func total(f *plan.Forecast) string {
	if f.Seconds == 0 {
		return ""
	}
	if f.Runs > 1 {
		return fmt.Sprintf(", %s for %d seeds", durationText(f.Seconds), f.Runs)
	}
	return ", " + durationText(f.Seconds)
}

// printSuggestions prints the settings to consider, stages that share them in one line.
func printSuggestions(w io.Writer, f *plan.Forecast) error {
	type change struct{ settings, why string }
	stages, peak := map[change][]string{}, map[change]int64{}
	var order []change
	for _, p := range f.Stages {
		if p.Suggestion == nil {
			continue
		}
		var set []string
		for _, x := range p.Suggestion.Settings {
			set = append(set, x.String())
		}
		c := change{strings.Join(set, " "), p.Suggestion.Why}
		if stages[c] == nil {
			order = append(order, c)
		}
		stages[c], peak[c] = append(stages[c], p.Stage), max(peak[c], p.Suggestion.Peak)
	}
	if len(order) == 0 {
		return nil
	}
	b := "\nSettings to consider:\n"
	for _, c := range order {
		who := strings.Join(stages[c], ", ")
		if len(stages[c]) > 2 {
			who = fmt.Sprintf("%d stages", len(stages[c]))
		}
		text := fmt.Sprintf("%s: %s (%s, peak %s)", who, c.settings, c.why, bytesize.Text(peak[c]))
		b += "  " + strings.Join(wrap(text, tableColumns-4), "\n    ") + "\n"
	}
	_, err := io.WriteString(w, b)
	return err
}

// printStages prints a line a stage. The weights are the same in all of them.
func printStages(w io.Writer, f *plan.Forecast) error {
	name := 5
	for _, p := range f.Stages {
		name = max(name, len(p.Stage))
	}
	var b strings.Builder
	line := func(cells ...string) {
		row := fmt.Sprintf("%-*s %7s %8s %7s %8s %8s  %s", name, cells[0], cells[1], cells[2], cells[3], cells[4],
			cells[5], cells[6])
		fmt.Fprintln(&b, strings.TrimRight(row, " "))
	}
	b.WriteByte('\n')
	line("stage", choose(onGPU(f), "host", "program"), "adapters", "graph", "decoding", "PEAK",
		choose(f.Rates != nil, "time", ""))
	sum := func(p *plan.Stage, buffers ...string) string {
		var n int64
		for _, name := range buffers {
			n += p.Bytes(name)
		}
		return choose(n == 0, "-", bytesize.Text(n))
	}
	graph := []string{plan.BufferActivations, plan.BufferScratch}
	if !onGPU(f) { // its tables are the host's
		graph = append(graph, plan.BufferTables)
	}
	for _, p := range f.Stages {
		line(p.Stage,
			choose(onGPU(f), bytesize.Text(p.HostPeak), sum(p, plan.BufferProgram, plan.BufferData)),
			sum(p, plan.BufferParams, plan.BufferGradients, plan.BufferMoments),
			sum(p, graph...),
			sum(p, plan.BufferKV, plan.BufferDecode),
			bytesize.Text(p.Peak)+choose(p.Fits, "", "!"), choose(p.Seconds > 0, durationText(p.Seconds), ""))
	}
	if len(f.Stages) > 0 {
		b.WriteString(footnote(f))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// footnote says what the columns leave out.
func footnote(f *plan.Forecast) string {
	weights := bytesize.Text(f.Stages[0].Bytes(plan.BufferWeights))
	if !onGPU(f) {
		return fmt.Sprintf("Every peak also holds the weights (%s). Program includes its data.\n", weights)
	}
	var rest int64
	for _, p := range f.Stages {
		rest = max(rest, p.Bytes(plan.BufferContext)+p.Bytes(plan.BufferWorkspaces))
	}
	return fmt.Sprintf("Host is the peak of the host's memory, all else is of %s. Every peak also\nholds the weights "+
		"(%s), context and workspaces (up to %s).\n",
		f.Memory, weights, bytesize.Text(rest))
}

// printStage prints every buffer of a stage.
func printStage(w io.Writer, p *plan.Stage) error {
	fmt.Fprintf(w, "\n%s\n", p.Stage)
	var t table
	buffers := func(memory string) {
		for _, b := range p.Buffers {
			if b.Memory == memory {
				t.add("  "+b.Name, "%7s  %s", bytesize.Text(b.Bytes), b.What)
			}
		}
	}
	peak := func(bytes, free int64, of string) {
		t.add("  PEAK", "%7s  %s", bytesize.Text(bytes),
			strings.TrimSpace(of+choose(free > 0 && bytes > free, " does not fit", "")))
	}
	gpu := p.Memory != plan.HostMemory
	buffers(p.Memory)
	peak(p.Peak, p.Free, choose(gpu, "of "+p.Memory, ""))
	if p.OtherPeak > 0 {
		t.add("", "%7s  %s", bytesize.Text(p.OtherPeak), choose(p.KeepActivations,
			"with checkpointing (keep_activations: false)", "without checkpointing (keep_activations: true)"))
	}
	if gpu {
		buffers(plan.HostMemory)
		peak(p.HostPeak, p.HostFree, "of the host's memory")
	}
	t.add("  batches", "at most %s tokens, sequences at most %s", grouped(int64(p.LargestBatch)),
		grouped(int64(p.Longest)))
	var tokens []string
	for _, x := range []struct {
		n    int64
		what string
	}{{p.Tokens.Train, "trained on"}, {p.Tokens.Score, "scored"}, {p.Tokens.Prompt, "read as prompts"},
		{p.Tokens.Generated, "generated at most"}} {
		if x.n > 0 {
			tokens = append(tokens, grouped(x.n)+" "+x.what)
		}
	}
	t.add("  tokens", "%s", strings.Join(tokens, ", "))
	if p.Tokens.Updates > 0 {
		t.add("  updates", "%s", grouped(p.Tokens.Updates))
	}
	if p.Seconds > 0 {
		t.add("  time", "%s", durationText(p.Seconds))
	}
	return t.write(w)
}

// rates prints speeds to two figures: a short trial tells no more.
func rates(r *plan.Rates) string {
	var out []string
	for _, x := range []struct {
		rate float64
		what string
	}{{r.Train, "training"}, {r.Score, "scoring"}, {r.Prompt, "reading prompts"}, {r.Generated, "generating"}} {
		if x.rate > 0 {
			out = append(out, fmt.Sprintf("%s %s", grouped(int64(twoFigures(x.rate))), x.what))
		}
	}
	if len(out) == 0 {
		return "not measured"
	}
	return strings.Join(out, ", ") + " (tokens a second)"
}

func twoFigures(x float64) float64 {
	if x < 10 {
		return math.Round(x)
	}
	unit := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Round(x/unit) * unit
}

// durationText says a time as roughly as it is known.
func durationText(seconds float64) string {
	minutes, hours, days := seconds/60, seconds/3600, seconds/86400
	about := func(x float64, unit string) string {
		n := twoFigures(x)
		if n == 1 {
			return "about 1 " + unit
		}
		return fmt.Sprintf("about %.0f %ss", n, unit)
	}
	switch {
	case seconds < 45:
		return "under a minute"
	case minutes < 55:
		return about(max(1, minutes), "minute")
	case hours < 9.75:
		half := math.Round(hours*2) / 2 // to half an hour
		if half != math.Trunc(half) {
			return fmt.Sprintf("about %.1f hours", half)
		}
		return about(half, "hour")
	case hours < 36:
		return about(hours, "hour")
	}
	return about(days, "day")
}
