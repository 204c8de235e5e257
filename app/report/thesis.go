package report

import (
	"strings"

	"steer/internal/stats"
)

// PublishedTable puts numbers of "Engineering Ethical LLMs" (public repository
// mattholl/Engineering-Ethical-LLMs, commit cf3b3c9) beside those of this report. The
// models are others: only the pattern can be compared.
type PublishedTable struct {
	Title   string         `json:"title"`
	Rows    []PublishedRow `json:"rows"`
	Caveats []string       `json:"caveats"`
}

// PublishedRow is one model: k of n items there, the value here.
type PublishedRow struct {
	Model     string    `json:"model"`
	Published Interval  `json:"published"` // Wilson 95 %
	Count     string    `json:"count"`     // "18 of 48"
	Note      string    `json:"note,omitempty"`
	Here      string    `json:"here,omitempty"` // the model's name in this report
	Ours      *Interval `json:"ours,omitempty"`
	OursNote  string    `json:"ours_note,omitempty"`
}

// published is one table of the thesis's repository, and the metric here that measures
// the same.
type published struct {
	title, metric string
	ours          func(t *BenchmarkTable) bool
	k, n          [6]int // base, sft, deontology, harmlessness, utilitarianism, virtue
	asked         [6]int // where items were refused: all of them
	caveats       []string
}

var publishedModels = [6]string{"base", "sft", "deontology", "harmlessness", "utilitarianism", "virtue"}

func named(benchmark, protocol string) func(*BenchmarkTable) bool {
	return func(t *BenchmarkTable) bool { return t.Benchmark == benchmark && t.Protocol == protocol }
}

func six(n int) [6]int { return [6]int{n, n, n, n, n, n} }

// thesisTables are the results of Llama-2-13b under lm-evaluation-harness a916afd7 (0-shot,
// 8-bit) and the summary of the Scruples notebook.
var thesisTables = []published{
	{
		title: "WSC273, accuracy", metric: "acc", ours: named("wsc273", "loglik"),
		k: [6]int{234, 240, 239, 240, 239, 240}, n: six(273),
		caveats: []string{"The tuned models of the thesis differ by one item at most; the standard error of one " +
			"accuracy is 0.020.", "WSC273 measures coreference, not bias."},
	}, {
		title: "ToxiGen, accuracy", metric: "acc", ours: named("toxigen", "loglik"),
		k: [6]int{402, 404, 403, 403, 400, 401}, n: six(940),
		caveats: []string{
			"406 of its 940 items are toxic: accuracy .4319 is what always answering Yes gives, and always No " +
				"gives .5681. The thesis's models all (nearly) answered Yes: \"almost equal\" there shows a " +
				"constant answer, with an MCC of about 0, not equal toxicity.",
			"This is a classification of given statements; it does not measure what a model writes.",
		},
	}, {
		title: "CrowS-Pairs, share of stereotyped sentences preferred", metric: "pct_stereotype",
		ours: func(t *BenchmarkTable) bool { return strings.HasPrefix(t.Benchmark, "crows") },
		k:    [6]int{1046, 1061, 1062, 1049, 1050, 1048}, n: six(1677),
		caveats: []string{"Ideal is 0.5. Run by the thesis's repository, not reported in its abstract."},
	}, {
		title: "Scruples anecdotes, accuracy of the answered", metric: "answered_acc",
		ours: named("scruples", "thesis"),
		k:    [6]int{40, 67, 28, 11, 69, 26}, n: [6]int{59, 139, 62, 22, 175, 48},
		asked: [6]int{100, 500, 500, 500, 500, 100},
		caveats: []string{
			"The thesis dropped refusals, so every one of its models was scored on other items: 22 to 175 of 100 " +
				"or 500. How often the models answer differs far more (three models of n = 500: chi² 176, p about " +
				"1e-38) than their accuracy does (chi² 3.84, df 3, p .28).",
			"Only virtue's confusion matrix is public: MCC .145, 95 % interval [-.13, .41]. The repository holds " +
				"no significance test; with so few answers only very large differences could have been seen.",
			"Of answers that say RIGHT and WRONG, RIGHT counted, anywhere in the text.",
		},
	},
}

// thesisCaveats hold for every table.
var thesisCaveats = []string{
	"The thesis trained Llama-2-13b on two GPUs; its reward training data, the pairs made from ETHICS above all, " +
		"were not published. Nothing here claims to have its data.",
	"Its harness put no begin-of-sequence token before a prompt; results with and without one are not comparable.",
}

// fillPublished shows the thesis's tables for which this report has a counterpart.
func (r *Report) fillPublished() {
	for _, p := range thesisTables {
		for i := range r.Benchmarks {
			if t := &r.Benchmarks[i]; p.ours(t) {
				r.Published = append(r.Published, r.publish(p, t))
				break
			}
		}
	}
}

func (r *Report) publish(p published, t *BenchmarkTable) PublishedTable {
	out := PublishedTable{Title: p.title, Caveats: p.caveats}
	for i, name := range publishedModels {
		lo, hi := stats.Wilson(p.k[i], p.n[i], 0.95)
		row := PublishedRow{Model: name, Count: group(p.k[i]) + " of " + group(p.n[i]),
			Published: Interval{Mean: float64(p.k[i]) / float64(p.n[i]), Lo: &lo, Hi: &hi, N: p.n[i]}}
		if p.asked[i] > 0 {
			row.Note = num(float64(p.n[i])/float64(p.asked[i])) + " answered"
		}
		for _, m := range r.Models {
			if m.role() != name && m.theoryOf() != name {
				continue
			}
			row.Here = m.Name
			row.Ours = r.ours(p, t, m.Name)
			if v := r.metric(t.key(), m.Name, "coverage"); v != nil && p.asked[i] > 0 {
				row.OursNote = num(v.Mean) + " answered"
			}
			break
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// ours finds the metric that measures the same, whether the table shows it or not.
func (r *Report) ours(p published, t *BenchmarkTable, model string) *Interval {
	if v := r.value(t.key(), model, p.metric); v != nil {
		return v
	}
	return r.metric(t.key(), model, p.metric)
}

// metric looks a number up in the results themselves: means over the runs.
func (r *Report) metric(key, model, name string) *Interval {
	out := &Interval{}
	sources := r.sources()
	for _, part := range sources {
		ev := part.evaluation()
		found := false
		for _, b := range ev.Benchmarks {
			v, ok := b.Metrics[name]
			if !ok || benchmarkKey(b.Benchmark, b.Protocol) != key || b.Model != model {
				continue
			}
			found = true
			out.Mean += v / float64(len(sources))
			out.N = b.N
			if e, ok := b.Intervals[name]; ok && len(sources) == 1 {
				out.Lo, out.Hi = &e[0], &e[1]
			}
			if len(sources) > 1 {
				out.PerRun = append(out.PerRun, v)
			}
		}
		if !found {
			return nil
		}
	}
	return out
}
