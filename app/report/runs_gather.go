package report

import (
	"regexp"
	"slices"
	"strings"
)

// gatherFlags takes over the flags of the runs; one that several share is told once, and
// those that differ by their numbers only stand together.
func (r *Report) gatherFlags() {
	type key struct {
		severity    Severity
		stage, text string
	}
	type gathered struct {
		Flag
		runs []string
	}
	var order []key // without numbers
	groups := map[key][]*gathered{}
	for i, p := range r.parts {
		for _, f := range p.Flags {
			k := key{f.Severity, f.Stage, digits.ReplaceAllString(f.Text, "0")}
			if groups[k] == nil {
				order = append(order, k)
			}
			at := slices.IndexFunc(groups[k], func(g *gathered) bool { return g.Text == f.Text })
			if at < 0 {
				at = len(groups[k])
				groups[k] = append(groups[k], &gathered{Flag: f})
			}
			groups[k][at].runs = append(groups[k][at].runs, r.Runs[i].Label)
		}
	}
	for _, k := range order {
		for _, g := range groups[k] {
			label := list(g.runs)
			if len(g.runs) == len(r.parts) {
				label = "every run"
			}
			g.Stage = label + ": " + g.Stage
			r.Flags = append(r.Flags, g.Flag)
		}
	}
}

var digits = regexp.MustCompile(`\d+(\.\d+)?`)

// flagRuns compares the runs with one another.
func (r *Report) flagRuns() {
	for i, a := range r.Runs {
		for _, b := range r.Runs[:i] {
			if a.Seed != nil && b.Seed != nil && *a.Seed == *b.Seed {
				r.flag(Caution, "all", "%s and %s were trained with the same seed %d: they are not independent.",
					b.Folder, a.Folder, *a.Seed)
			}
		}
		if base, first := r.parts[i].Base, r.Base; base != nil && first != nil && base.SHA256 != first.SHA256 {
			r.flag(Failure, "all", "%s has another base model than %s: their numbers do not belong together.",
				a.Label, r.Runs[0].Label)
		}
	}
	r.flag(Note, "eval", "%s stand behind each policy. Intervals and tests cover the choice of items and of seeds; "+
		"they are widened for the small number of seeds.", plural(len(r.Runs), "training run", "training runs"))
}

// gatherSamples takes over the answers of all runs, those to one prompt together.
func (r *Report) gatherSamples() {
	var prompts []string
	of := map[string][]Sample{}
	for i, p := range r.parts {
		for _, s := range p.Samples {
			if of[s.Prompt] == nil {
				prompts = append(prompts, s.Prompt)
			}
			s.Run = r.Runs[i].Label
			of[s.Prompt] = append(of[s.Prompt], s)
		}
		r.SamplesLeftOut += p.SamplesLeftOut
	}
	for _, p := range prompts {
		r.Samples = append(r.Samples, of[p]...)
	}
}

// accuracyRow is a reward model in every run.
type accuracyRow struct {
	Theory, Recipe string
	Mean           Interval    // over the runs that have one
	Runs           []*Interval // nil: unknown
}

// AccuracyRows are the accuracies of several runs by reward model.
func (r *Report) AccuracyRows() []accuracyRow {
	var out []accuracyRow
	for _, a := range r.Accuracies {
		at := slices.IndexFunc(out, func(o accuracyRow) bool { return o.Theory == a.Theory })
		if at < 0 {
			at = len(out)
			out = append(out, accuracyRow{Theory: a.Theory, Recipe: a.Recipe, Runs: make([]*Interval, len(r.Runs))})
		}
		row := &out[at]
		row.Runs[slices.IndexFunc(r.Runs, func(run Run) bool { return run.Label == a.Run })] = &a.Accuracy
		row.Mean.PerRun = append(row.Mean.PerRun, a.Accuracy.Mean)
		row.Mean.N = a.Accuracy.N
		if !strings.Contains(row.Recipe, a.Recipe) {
			row.Recipe += ", " + a.Recipe
		}
	}
	for i := range out {
		for _, v := range out[i].Mean.PerRun {
			out[i].Mean.Mean += v / float64(len(out[i].Mean.PerRun))
		}
	}
	return out
}

// flagsOfRun counts what one run has to tell.
type flagsOfRun struct {
	Label                     string
	Failures, Cautions, Notes int
	Open                      []string // stages that are missing or did not end as planned
}

// FlagsByRun are the flags of several runs, counted.
func (r *Report) FlagsByRun() []flagsOfRun {
	var out []flagsOfRun
	for i, run := range r.Runs {
		f := flagsOfRun{Label: run.Label, Open: slices.Clone(r.parts[i].Missing)}
		for _, s := range r.parts[i].Stages {
			if !s.Finished() {
				f.Open = append(f.Open, s.Name)
			}
		}
		for _, x := range r.parts[i].Flags {
			switch x.Severity {
			case Failure:
				f.Failures++
			case Caution:
				f.Cautions++
			default:
				f.Notes++
			}
		}
		out = append(out, f)
	}
	return out
}
