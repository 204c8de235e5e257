package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
	"steer/rl/run"
)

var update = flag.Bool("update", false, "write testdata anew; look at the difference")

func load(t testing.TB, dirs ...string) *report.Report {
	t.Helper()
	r, err := report.Load(dirs...)
	require.NoError(t, err)
	return r
}

func render(t testing.TB, f func(io.Writer, *report.Report) error, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, f(&b, r))
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		write(t, path, got)
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestTextAndMarkdownOfAWholeExperiment(t *testing.T) {
	r := load(t, experiment(t))
	text := render(t, report.WriteText, r)
	for i, line := range strings.Split(text, "\n") {
		require.LessOrEqual(t, len([]rune(line)), 80, "line %d: %s", i+1, line)
		for _, c := range line {
			require.Less(t, c, rune(128), "line %d is not ASCII: %s", i+1, line)
		}
	}
	golden(t, "report.txt", text)
	golden(t, "report.md", render(t, report.WriteMarkdown, r))
}

func TestWhatIsLoaded(t *testing.T) {
	r := load(t, experiment(t))
	require.Equal(t, theories, r.Theories)
	require.Empty(t, r.Missing)
	require.Len(t, r.Stages, 10)
	require.Equal(t, "sft", r.Stages[0].Name)
	require.Equal(t, "eval", r.Stages[9].Name)
	require.Len(t, r.Accuracies, 4)
	require.Equal(t, []int{-1, -1, 0, 1, 2, 3}, r.Matrix.Own)
	require.Len(t, r.Benchmarks, 5)
	require.Equal(t, []string{"mcc", "acc"}, r.Benchmarks[0].Columns)
	require.Equal(t, "always the larger class: accuracy 0.794, MCC 0; an oracle against these noisy labels: accuracy "+
		"0.936, MCC 0.804", r.Benchmarks[0].Scale)
	require.Len(t, r.Models, 6, "a reward model is not a model that answers")
	ids := map[string]bool{}
	for _, c := range r.Charts {
		ids[c.ID] = true
		require.Empty(t, c.Absent, c.ID)
	}
	for _, id := range []string{"sft-loss", "reward-loss", "reward-accuracy", "ppo-score", "ppo-kl", "ppo-entropy",
		"ppo-length", "ppo-frontier", "pairs-reward-virtue", "scores-virtue"} {
		require.True(t, ids[id], id)
	}
}

func TestNormalisedAndRawViewsAreOneAnotherRescaled(t *testing.T) {
	dir := experiment(t)
	path := filepath.Join(dir, "eval/result.json")
	r := load(t, dir)
	// (raw - 0.3) / 1.25; a difference is only scaled.
	raw, norm := r.Matrix.Raw[2][1], r.Matrix.Norm[2][1]
	require.InDelta(t, (raw.Mean-0.3)/1.25, norm.Mean, 1e-12)
	require.InDelta(t, (*raw.Lo-0.3)/1.25, *norm.Lo, 1e-12)
	require.InDelta(t, *raw.DiffHi/1.25, *norm.DiffHi, 1e-12)
	require.Nil(t, r.Matrix.Norm[1][1].Diff, "the reference row has no difference")

	edit(t, path, func(v object) { v["cross_reward"].(object)["unit"] = "normalised" })
	r = load(t, dir)
	require.InDelta(t, raw.Mean, r.Matrix.Norm[2][1].Mean, 1e-12)
	require.InDelta(t, raw.Mean*1.25+0.3, r.Matrix.Raw[2][1].Mean, 1e-12)

	// The evaluation's own normalisation comes first; with a Std of 0 there is one view.
	edit(t, path, func(v object) {
		v["cross_reward"].(object)["unit"] = "raw"
		v["cross_reward"].(object)["normalisation"] = object{"virtue": object{"mean": 0, "std": 0}}
	})
	r = load(t, dir)
	require.Nil(t, r.Matrix.Norm)
	page := render(t, report.WriteHTML, r)
	hasNot(t, page, `type="radio"`)
}

func TestVerdictClaimsOnlyWhatIntervalsExclude(t *testing.T) {
	dir := experiment(t)
	path := filepath.Join(dir, "eval/result.json")
	set := func(lo, hi float64) string {
		edit(t, path, func(v object) {
			cells := v["cross_reward"].(object)["cells"].([]any)
			for i := range theories {
				c := cells[i+2].([]any)[i].(object)
				c["diff_sft"], c["diff_lo"], c["diff_hi"] = (lo+hi)/2, lo, hi
			}
		})
		return load(t, dir).Verdict[0]
	}
	require.Contains(t, set(0.001, 0.2), "4 of 4 policies score higher")
	for _, v := range []string{set(0, 0.2), set(-0.1, 0.2), set(-0.2, 0)} {
		require.Contains(t, v, "no policy was shown to score higher")
		require.Contains(t, v, "no difference was shown for deontology")
		require.NotContains(t, v, "lower")
		require.NotContains(t, v, "equal")
	}
	require.Contains(t, set(-0.2, -0.01), "4 score lower")

	edit(t, path, func(v object) {
		for _, row := range v["cross_reward"].(object)["cells"].([]any) {
			for _, c := range row.([]any) {
				delete(c.(object), "diff_lo")
			}
		}
	})
	require.Contains(t, load(t, dir).Verdict[0], "its effect stays open")
}

func TestVerdictOnBenchmarks(t *testing.T) {
	dir := experiment(t)
	last := func() string { r := load(t, dir); return r.Verdict[len(r.Verdict)-1] }
	require.Contains(t, last(), "does not show that they are equal")
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		for _, b := range v["benchmarks"].([]any) {
			if b := b.(object); b["benchmark"] == "scruples" && b["protocol"] == "loglik" && b["model"] == "virtue" {
				b["intervals"].(object)["mcc"] = []float64{0.16, 0.3} // sft ends at 0.15
				b["metrics"].(object)["mcc"] = 0.23
			}
		}
	})
	require.Contains(t, last(), "MCC of virtue above on Scruples (loglik) (0.230 [0.160, 0.300] against 0.060 "+
		"[-0.030, 0.150])")
}

func TestFlagsInPlainWords(t *testing.T) {
	dir := experiment(t)
	edit(t, filepath.Join(dir, "sft/result.json"), func(v object) {
		v["eval_last"].(object)["loss"] = 3.0
		v["counts"].(object)["no_targets"] = 100
		v["base"] = object{"sha256": "other"}
		v["data"] = []object{{"path": "x.jsonl", "rows": 100, "truncated": 30}}
	})
	require.NoError(t, os.Remove(filepath.Join(dir, "ppo-harmlessness/result.json")))
	f, err := os.OpenFile(filepath.Join(dir, "ppo-harmlessness/metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"step":121,"objective/kl":-1.5}` + "\n" + `{"step":122,"objec`)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	text := ""
	for _, f := range load(t, dir).Flags {
		text += fmt.Sprintf("%s %s: %s\n", f.Severity, f.Stage, f.Text)
	}
	for _, want := range []string{
		"failure ppo-harmlessness: has not finished (there is no result.json); its curves up to step 121 are shown.",
		"failure ppo-virtue: was stopped early after 120 steps: objective/kl 12.3",
		"failure all: Stages differ in the base model",
		"caution ppo-virtue: checkpoint step-000100 was damaged",
		"caution sft: The held-out loss did not fall (2.900 before, 3.000 after).",
		"caution sft: x.jsonl: 30 truncated of 100.",
		"caution ppo-harmlessness: The KL estimate fell to -1.500",
		"caution reward-harmlessness: Its accuracy on held-out pairs is not told apart from chance",
		"caution eval: ToxiGen (loglik): one and the same answer to every item: accuracy is the share of that class " +
			"and no skill: every model.",
		"caution eval: Scruples (loglik): items longer than the context were cut: every model 12 of 500.",
		"base 300 of 500, sft 320 of 500",
		"note ppo-harmlessness: The last line of metrics.jsonl was cut short",
		"caution sft: training examples: 10 dropped and 100 without a token to learn from of 1,000.",
		"note ppo-deontology: was started again 1 time after its first start.",
		"note sft: was interrupted and resumed 1 time.",
		"note eval: Scruples (reward): the threshold was chosen on other rows: every reward model.",
		"note eval: One training run stands behind each policy",
	} {
		require.Contains(t, text, want)
	}
}

// What several benchmarks have in common is said once.
func TestFlagsOfBenchmarksAreGathered(t *testing.T) {
	dir := experiment(t)
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		for _, b := range v["benchmarks"].([]any) {
			if b := b.(object); b["protocol"] == "loglik" {
				b["flags"] = []string{"partial=60"}
			}
		}
	})
	text := flagText(load(t, dir))
	require.Contains(t, text, "note eval: Scruples (loglik), ToxiGen (loglik) and WSC273 (loglik): only the first "+
		"items were asked, so many: every model 60.")
	require.Equal(t, 1, strings.Count(text, "only the first items"))
}

// An experiment without theories lacks nothing, and does not promise an answer.
func TestWithoutTheoriesNothingIsMissing(t *testing.T) {
	dir := experiment(t)
	for _, pattern := range []string{"reward-*", "ppo-*", "eval"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, f := range found {
			require.NoError(t, os.RemoveAll(f))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "experiment.yaml"), []byte("name: mine\ntheories: []\n"), 0o600))
	r := load(t, dir)
	require.Equal(t, []string{"eval"}, r.Missing)
	require.Contains(t, r.Verdict[0], "names no theories")
	require.NotContains(t, flagText(r), "<theory>")
}

func TestMissingStagesAreNamedAndTheRestIsShown(t *testing.T) {
	dir := experiment(t)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "eval")))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "ppo-virtue")))
	r := load(t, dir)
	require.Equal(t, []string{"ppo-virtue", "eval"}, r.Missing)
	require.Contains(t, r.Verdict[0], "cannot be answered yet")
	require.Contains(t, r.Verdict[1], "3 reward models: deontology 0.812 [0.765, 0.851]")
	require.Contains(t, r.Verdict[2], "was not shown for harmlessness")
	require.Contains(t, r.Verdict[3], "rose for deontology +1.20 [1.05, 1.35] and utilitarianism +0.80")
	require.Contains(t, r.Verdict[4], "not shown for harmlessness +0.10 [-0.05, 0.25]")
	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	has(t, page, "<code>eval</code> was not found")
	hasNot(t, page, `id="matrix"`)
	for _, f := range []func(io.Writer, *report.Report) error{report.WriteText, report.WriteMarkdown, report.WriteJSON,
		report.WriteCSV} {
		require.NotEmpty(t, render(t, f, r))
	}

	// One run folder by itself: nothing else is expected.
	r = load(t, filepath.Join(dir, "sft"))
	require.Empty(t, r.Missing)
	wellFormed(t, render(t, report.WriteHTML, r))
	// One that was killed before it logged anything.
	young := filepath.Join(t.TempDir(), "x")
	write(t, filepath.Join(young, "run.json"),
		`{"stage":"ppo","name":"ppo-virtue","version":"0.1.0","opened":["2026-01-31T10:00:00Z"]}`)
	require.Equal(t, "virtue", load(t, young).Stages[0].Theory)
	// Several of them make one report.
	r = load(t, filepath.Join(dir, "sft"), filepath.Join(dir, "ppo-deontology"))
	require.Len(t, r.Stages, 2)
	wellFormed(t, render(t, report.WriteHTML, r))
}

func TestLoadErrors(t *testing.T) {
	cross := func(f func(object)) func(object) {
		return func(v object) { f(v["cross_reward"].(object)) }
	}
	tests := []struct {
		name, file string
		change     func(object)
		text       string
		want       []string
		is         error
	}{
		{name: "version", file: "sft/result.json", change: func(v object) { v["version"] = 2 },
			want: []string{"result.json", `"version"`, "want 1, got 2"}, is: run.ErrVersion},
		{name: "no version", file: "eval/result.json", change: func(v object) { delete(v, "version") },
			want: []string{`"version" is missing`}, is: run.ErrVersion},
		{name: "stage", file: "sft/result.json", change: func(v object) { v["stage"] = "tea" },
			want: []string{`"stage"`, `got "tea"`}},
		{name: "status", file: "sft/result.json", change: func(v object) { v["status"] = "done" },
			want: []string{`"status"`, `got "done"`}},
		{name: "not JSON", file: "sft/result.json", text: "{", want: []string{"result.json", "not a JSON object"}},
		{name: "type", file: "sft/result.json", change: func(v object) { v["steps"] = "many" },
			want: []string{"result.json", "steps"}},
		{name: "accuracy", file: "reward-virtue/result.json",
			change: func(v object) { v["accuracy"] = object{"mean": 81} }, want: []string{"accuracy.mean", "got 81"}},
		{name: "interval", file: "reward-virtue/result.json",
			change: func(v object) { v["accuracy"] = object{"mean": 0.5, "lo": 0.6, "hi": 0.4} },
			want:   []string{`"accuracy"`, "lo <= hi"}},
		{name: "histogram", file: "reward-virtue/result.json",
			change: func(v object) { v["histograms"] = []object{{"edges": []int{1, 2}, "counts": []int{1, 2}}} },
			want:   []string{"histograms[0]", "2 edges and 2 counts"}},
		{name: "histogram order", file: "reward-virtue/result.json",
			change: func(v object) { v["histograms"] = []object{{"edges": []int{1, 1}, "counts": []int{1}}} },
			want:   []string{"histograms[0]", "ascend"}},
		{name: "held out", file: "ppo-virtue/result.json",
			change: func(v object) { v["heldout_last"].(object)["kl"] = object{"mean": 1, "lo": 2, "hi": 1} },
			want:   []string{"heldout_last.kl", "lo <= hi"}},
		{name: "rows", file: "eval/result.json", change: cross(func(v object) { v["policies"] = []string{"sft"} }),
			want: []string{"cross_reward.cells", "1 policies, got 6"}},
		{name: "columns", file: "eval/result.json", change: cross(func(v object) { v["rewards"] = []string{"virtue"} }),
			want: []string{"cells[0]", "1 rewards, got 4"}},
		{name: "unit", file: "eval/result.json", change: cross(func(v object) { v["unit"] = "z" }),
			want: []string{"cross_reward.unit"}},
		{name: "benchmark", file: "eval/result.json",
			change: func(v object) { v["benchmarks"] = []object{{"model": "sft"}} }, want: []string{"benchmarks[0]"}},
		{name: "benchmark interval", file: "eval/result.json", change: func(v object) {
			v["benchmarks"] = []object{{"model": "sft", "benchmark": "x", "intervals": object{"acc": []int{1, 0}}}}
		}, want: []string{"benchmarks[0].intervals.acc"}},
		{name: "metrics line", file: "sft/metrics.jsonl", text: "{\"step\":1}\nnot json\n{\"step\":2}\n",
			want: []string{"metrics.jsonl", "line 2"}},
		{name: "metrics step", file: "sft/metrics.jsonl", text: "{\"step\":1.5}\n", want: []string{"line 1", `"step"`}},
		{name: "metrics order", file: "sft/metrics.jsonl", text: "{\"step\":5}\n{\"step\":4}\n",
			want: []string{"line 2", "got 4 after 5"}},
		{name: "experiment", file: "experiment.yaml", text: "a: [", want: []string{"experiment.yaml"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := experiment(t)
			path := filepath.Join(dir, tt.file)
			if tt.change != nil {
				edit(t, path, tt.change)
			} else {
				write(t, path, tt.text)
			}
			_, err := report.Load(dir)
			require.Error(t, err)
			for _, w := range tt.want {
				require.ErrorContains(t, err, w)
			}
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}

	dir := experiment(t)
	_, err := report.Load()
	require.ErrorIs(t, err, report.ErrNoRuns)
	_, err = report.Load(t.TempDir())
	require.ErrorIs(t, err, report.ErrNoRuns)
	_, err = report.Load(filepath.Join(dir, "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = report.Load(filepath.Join(dir, "experiment.yaml"))
	require.ErrorContains(t, err, "got a file")
	_, err = report.Load(dir, filepath.Join(dir, "sft"))
	require.ErrorIs(t, err, report.ErrNotRuns)
	require.ErrorContains(t, err, `hold stage "sft"`)
	_, err = report.Load(dir, dir+"/")
	require.ErrorContains(t, err, "given twice")
	odd := filepath.Join(dir, "odd")
	write(t, filepath.Join(odd, "metrics.jsonl"), "{\"step\":1}\n")
	_, err = report.Load(odd)
	require.ErrorContains(t, err, "cannot tell which stage")
}

func TestJSONAndCSVHoldTheNumbers(t *testing.T) {
	r := load(t, experiment(t))
	var v struct {
		Version int
		Verdict []string
		Cross   struct{ Raw [][]report.Cell } `json:"cross_reward"`
		Charts  []struct {
			ID    string
			Lines []struct{ X, Y []float64 }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(render(t, report.WriteJSON, r)), &v))
	require.Equal(t, 1, v.Version)
	require.Equal(t, r.Verdict, v.Verdict)
	require.Equal(t, r.Matrix.Raw, v.Cross.Raw)
	require.NotEmpty(t, v.Charts[0].Lines[0].X)

	rows, err := csv.NewReader(strings.NewReader(render(t, report.WriteCSV, r))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"table", "row", "column", "value", "lo", "hi", "n"}, rows[0])
	require.Contains(t, rows, []string{"pair_accuracy", "deontology", "accuracy", "0.812", "0.765", "0.851", "300"})
	require.Contains(t, rows, []string{"difference_to_sft_raw", "deontology", "deontology", "1.1", "0.97", "1.23",
		"200"})
}

func TestSameFilesSameBytes(t *testing.T) {
	dir := experiment(t)
	a, b := load(t, dir), load(t, dir)
	require.Equal(t, render(t, report.WriteHTML, a), render(t, report.WriteHTML, b))
	require.Equal(t, render(t, report.WriteJSON, a), render(t, report.WriteJSON, b))
}

// An experiment that says it has no theories lacks no reward model and no policy.
func TestAnExperimentWithoutTheoriesLacksNoStageOfThem(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "experiment.yaml"), "name: plain\ntheories: []\n")
	writeJSON(t, filepath.Join(dir, "sft", "result.json"), object{"version": 1, "stage": "sft", "status": "finished",
		"name": "sft"})
	r, err := report.Load(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"eval"}, r.Missing)
}
