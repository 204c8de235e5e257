package report_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
	"steer/internal/stats"
)

func flagText(r *report.Report) string {
	text := ""
	for _, f := range r.Flags {
		text += fmt.Sprintf("%s %s: %s\n", f.Severity, f.Stage, f.Text)
	}
	return text
}

// Every benchmark with records is tested, known by name or not; what cannot be tested is
// left in its table and said.
func TestEveryBenchmarkWithRecordsIsTested(t *testing.T) {
	r := load(t, recorded(t, 1))
	got := map[string]string{}
	for _, f := range r.Tests {
		got[f.Benchmark+" "+f.Protocol] = fmt.Sprintf("%s %d %d", f.Metric, len(f.Pairs), f.Items)
		require.Equal(t, fixtureResamples, f.Resamples, "as the evaluation fixed it")
		require.Equal(t, .05, f.Margin)
	}
	require.Equal(t, map[string]string{
		"scruples loglik": "mcc 15 600", "scruples thesis": "mcc 15 500", "scruples reward": "mcc 6 500",
		"toxigen loglik": "mcc 15 940", "wsc273 loglik": "acc 15 273", "my-task loglik": "acc 15 120",
	}, got)
	require.Len(t, r.Benchmarks, 7)
	for _, b := range r.Benchmarks {
		switch b.Benchmark {
		case "my-task":
			require.Equal(t, []string{"acc", "exact_match", "pro_anti_gap"}, b.Columns)
		case "my-text":
			require.Equal(t, []string{"perplexity"}, b.Columns)
		}
	}
	text := flagText(r)
	require.Contains(t, text, "Scruples (thesis): the models differ in how often they answer")
	require.Contains(t, text, "Scruples (thesis): of 500 items, every model answered 1: a comparison of the answered "+
		"alone rests on no more.")
	require.NotContains(t, text, "not tested")

	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	for _, want := range []string{
		"15 paired tests of 6 models on 600 items, adjusted together (Holm)", "Cochran's Q over all",
		"McNemar exact, mid-p", "virtue − sft",
		"the margin of equivalence", "ceiling of the noisy labels", "pro anti gap", "perplexity", "the same answers",
		"calibration", `id="published"`, `id="search"`,
	} {
		has(t, page, want)
	}
	md := render(t, report.WriteMarkdown, r)
	require.Contains(t, md, "| virtue - sft |")
	require.Contains(t, md, "Beside the thesis")
	text = render(t, report.WriteText, r)
	for i, line := range strings.Split(text, "\n") {
		require.LessOrEqual(t, len([]rune(line)), 80, "line %d: %s", i+1, line)
	}
	csv := render(t, report.WriteCSV, r)
	require.Contains(t, csv, "tests Scruples (loglik),virtue - sft,holm p,")
	require.Contains(t, csv, "holm_p_normalised,virtue,virtue,")
	require.Contains(t, render(t, report.WriteJSON, r), `"mid_p"`)
}

func TestVerdictFromTests(t *testing.T) {
	r := load(t, recorded(t, 1))
	require.Len(t, r.Verdict, 2, "two sentences")
	require.Contains(t, r.Verdict[0], "3 of 4 policies score higher than the sft model")
	require.Contains(t, r.Verdict[0], "no difference was shown for harmlessness")
	require.Contains(t, r.Verdict[0], "paired permutation, p < 0.05 after Holm's correction over the 20 cells of the "+
		"matrix")
	s := r.Verdict[1]
	require.Contains(t, s, "On 5 benchmarks, 75 comparisons of the models with one another show")
	require.Contains(t, s, "after Holm's correction over all of them: virtue > ")
	require.Contains(t, s, "on Scruples (loglik), differences of MCC larger than ")
	var raw []float64
	for _, f := range r.Tests {
		for _, p := range f.Pairs {
			if f.Protocol != "reward" {
				raw = append(raw, p.P)
			}
		}
	}
	holm, plain := 0, 0
	for i, v := range stats.Holm(raw) {
		if v < .05 {
			holm++
		}
		if raw[i] < .05 {
			plain++
		}
	}
	require.Less(t, holm, plain, "the fixture has differences that do not stand the correction")
	require.Contains(t, s, fmt.Sprintf("show %d differences", holm))
	require.Contains(t, s, "between any two models are excluded")
	require.Contains(t, s, "simultaneous 95 % intervals), equivalence within ±0.05 is shown for 0 of 15 pairs")
	require.Contains(t, s, "would have been found with 80 % power")
	require.NotContains(t, s, "equal")
	require.Contains(t, r.Matrix.Summary, "after Holm's correction over the matrix")

	h := r.Headline
	require.Equal(t, "own reward, against sft", h.Columns[0])
	require.Equal(t, []string{"base", "sft", "deontology", "utilitarianism", "virtue", "harmlessness"},
		func() (out []string) {
			for _, row := range h.Rows {
				require.Len(t, row.Cells, len(h.Columns))
				out = append(out, row.Model)
			}
			return out
		}())
	require.Equal(t, "up", h.Rows[4].Cells[0].Mark)
	require.Equal(t, "same", h.Rows[5].Cells[0].Mark)
	require.Equal(t, "up", h.Rows[4].Cells[3].Mark, "virtue against sft on Scruples")
	require.Equal(t, "-", h.Rows[1].Cells[3].Value, "the reference is not compared with itself")

	// Without any difference nothing is claimed, and nothing is called equal.
	dir := recorded(t, 1)
	items := filepath.Join(dir, "eval/items")
	for _, m := range names() {
		for _, b := range []string{"my-task.loglik", "wsc273.loglik", "scruples.thesis", "toxigen.loglik"} {
			require.NoError(t, os.Remove(filepath.Join(items, b+"."+m+".jsonl.zst")))
		}
	}
	require.NoError(t, os.Remove(filepath.Join(items, "scruples.loglik.virtue.jsonl.zst")))
	r = load(t, dir)
	require.Len(t, r.Tests, 1, "only the reward models' classification is left")
	require.Contains(t, r.Verdict[1], "intervals are apart for MCC of virtue above on Scruples (loglik)",
		"the intervals speak")
}

// A verdict names a difference only if it stands the correction over all tests.
func TestNoDifferenceIsNotEquality(t *testing.T) {
	dir := recorded(t, 1)
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		var keep []any
		for _, b := range v["benchmarks"].([]any) {
			if b.(object)["benchmark"] == "my-task" {
				keep = append(keep, b)
			}
		}
		v["benchmarks"] = keep
	})
	s := load(t, dir).Verdict[1]
	require.Contains(t, s, "On 1 benchmark, 15 comparisons of the models with one another show no difference after "+
		"Holm's correction over all of them; on my-task (loglik), differences of accuracy larger than")
}

func TestRecordsThatDoNotFit(t *testing.T) {
	dir := recorded(t, 1)
	path := filepath.Join(dir, "eval/result.json")
	at := func(benchmark, model string, f func(b object)) {
		edit(t, path, func(v object) {
			for _, b := range v["benchmarks"].([]any) {
				if b := b.(object); b["benchmark"] == benchmark && b["model"] == model && b["protocol"] == "loglik" {
					f(b)
				}
			}
		})
	}
	at("my-task", "sft", func(b object) { b["metrics"].(object)["acc"] = 0.9 })
	at("wsc273", "sft", func(b object) { b["provenance"].(object)["items"] = "../../elsewhere" })
	at("toxigen", "sft", func(b object) { delete(b["provenance"].(object), "items") })
	at("scruples", "base", func(b object) { delete(b["provenance"].(object), "margin") })
	write(t, filepath.Join(dir, "eval/items/scruples.thesis.sft.jsonl.zst"), "not compressed")
	r := load(t, dir)
	text := flagText(r)
	for _, want := range []string{
		"caution eval: my-task (loglik): its differences are not tested: the records of sft give accuracy",
		"caution eval: WSC273 (loglik): its differences are not tested: records \"../../elsewhere\" lie outside the " +
			"run folder",
		"note eval: ToxiGen (loglik): the records of single items were not found",
		"caution eval: Scruples (thesis): its differences are not tested: compare:",
		"note eval: The results do not say which margin of equivalence was fixed beforehand: 0.05 was used.",
	} {
		require.Contains(t, text, want)
	}
	require.Len(t, r.Tests, 2)
	wellFormed(t, render(t, report.WriteHTML, r))
	require.NoError(t, os.Remove(filepath.Join(dir, "eval/items/cross_reward.answers.all.jsonl.zst")))
	r = load(t, dir)
	require.Contains(t, flagText(r), "The scores of single answers were not found")
	require.False(t, r.Matrix.Tested)
}

// A correction that the resamples cannot reach is said: "no difference shown" would
// otherwise be taken for a finding.
func TestTooFewResamples(t *testing.T) {
	dir := study(t, 2)
	for _, s := range []string{"seed-1", "seed-2"} {
		edit(t, filepath.Join(dir, s, "eval/result.json"), func(v object) {
			for _, b := range v["benchmarks"].([]any) {
				if p, ok := b.(object)["provenance"].(object); ok {
					p["resamples"] = 100
				}
			}
		})
	}
	text := flagText(load(t, filepath.Join(dir, "seed-1")))
	require.Contains(t, text, "With 100 resamples no difference of the matrix can be shown after Holm's correction "+
		"over 20 tests (the smallest p is 0.20)")
	require.NotContains(t, text, "no difference between models", "those tests are exact")
	require.Contains(t, flagText(load(t, dir)), "With 100 resamples no difference between models can be shown after "+
		"Holm's correction over 75 tests (the smallest p is 0.74)")
}

// Three seeds: means, ranges, two-level intervals; the same folders in any form.
func TestSeveralSeeds(t *testing.T) {
	dir := study(t, 3)
	r := load(t, dir)
	require.Len(t, r.Runs, 3)
	require.Equal(t, []string{"seed 1", "seed 2", "seed 3"},
		[]string{r.Runs[0].Label, r.Runs[1].Label, r.Runs[2].Label})
	one := load(t, filepath.Join(dir, "seed-1"))
	require.Len(t, r.Stages, 3*len(one.Stages))
	require.Len(t, r.Accuracies, 12)
	v := r.Benchmarks[0].Rows[4].Values[0]
	require.Len(t, v.PerRun, 3)
	require.InDelta(t, (v.PerRun[0]+v.PerRun[1]+v.PerRun[2])/3, v.Mean, 1e-12)
	require.Equal(t, one.Benchmarks[0].Rows[4].Values[0].Mean, v.PerRun[0])
	require.NotNil(t, v.Lo, "the interval of the two-level bootstrap")
	require.Nil(t, r.Benchmarks[0].Rows[4].Values[1].Lo, "a metric without a test has a range only")
	require.Equal(t, 3, r.Tests[0].Runs)
	require.InDelta(t, v.Mean, r.Tests[0].Models[4].Value, 1e-12)

	require.Nil(t, r.Matrix.Raw, "scales of different runs are not averaged")
	c := r.Matrix.Norm[4][2]
	require.Len(t, c.PerRun, 3)
	require.InDelta(t, (c.PerRun[0]+c.PerRun[1]+c.PerRun[2])/3, *c.Diff, 1e-9)
	require.Less(t, *c.DiffLo, *c.Diff)
	require.Less(t, *c.Holm, .05)
	require.Contains(t, r.Verdict[0], "the larger p of permuted items and of a two-level bootstrap over runs and items")
	require.NotContains(t, flagText(r), "evaluate with more")
	require.Contains(t, flagText(r), "3 training runs stand behind each policy")
	require.NotContains(t, flagText(r), "One training run stands")
	require.Contains(t, flagText(r), "failure every run: ppo-virtue: was stopped early")

	for _, chart := range r.Charts {
		if chart.ID != "ppo-score" {
			continue
		}
		members := 0
		for _, l := range chart.Lines {
			if l.Member {
				members++
			}
		}
		require.Equal(t, 3*8, members, "four policies, training and held out, in three runs")
		require.Equal(t, 4*8, len(chart.Lines))
	}
	require.Regexp(t, `^refused=\d+ to \d+$`, r.Benchmarks[1].Rows[1].Flags[0])
	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	has(t, page, "Values are means over 3 runs")
	has(t, page, "seed 3")
	render(t, report.WriteMarkdown, r)
	render(t, report.WriteText, r)

	again := load(t, filepath.Join(dir, "seed-1"), filepath.Join(dir, "seed-2"), filepath.Join(dir, "seed-3"))
	require.Equal(t, page, render(t, report.WriteHTML, again))
}

func TestRunsThatDoNotBelongTogether(t *testing.T) {
	dir := study(t, 2)
	second := filepath.Join(dir, "seed-2")
	edit(t, filepath.Join(second, "sft/result.json"),
		func(v object) { v["seed"] = 1; v["base"].(object)["sha256"] = "other" })
	edit(t, filepath.Join(second, "eval/result.json"), func(v object) {
		var keep []any
		for _, b := range v["benchmarks"].([]any) {
			if b := b.(object); b["benchmark"] != "wsc273" && !(b["benchmark"] == "my-task" && b["model"] == "virtue") {
				keep = append(keep, b)
			}
		}
		v["benchmarks"] = keep
		v["cross_reward"].(object)["reference"] = "base"
	})
	r := load(t, dir)
	text := flagText(r)
	for _, want := range []string{
		"were trained with the same seed 1: they are not independent",
		"has another base model than",
		"WSC273 (loglik): deontology is not in every run and is left out",
		"my-task (loglik): virtue is not in every run and is left out",
		"has other rows or columns",
	} {
		require.Contains(t, text, want)
	}
	require.Equal(t, "run 1, seed-1", r.Runs[0].Label)
	require.Nil(t, r.Matrix)
	wellFormed(t, render(t, report.WriteHTML, r))
}

// The page of three seeds and seven benchmarks keeps the promised size.
func TestThreeSeedsStaySmall(t *testing.T) {
	page := render(t, report.WriteHTML, load(t, study(t, 3)))
	require.Less(t, len(page), 3<<20)
	t.Logf("%.2f MB", float64(len(page))/(1<<20))
}

// The published numbers are those of the repository, with the intervals of the notes.
func TestThesisTable(t *testing.T) {
	r := load(t, recorded(t, 1))
	require.Len(t, r.Published, 3, "no CrowS-Pairs here")
	tox := r.Published[1]
	require.Equal(t, "402 of 940", tox.Rows[0].Count)
	require.InDelta(t, .42766, tox.Rows[0].Published.Mean, 5e-6)
	scruples := r.Published[2]
	want := map[string][3]float64{"base": {.678, .55, .78}, "sft": {.482, .40, .56}, "deontology": {.452, .33, .58},
		"harmlessness": {.500, .31, .69}, "utilitarianism": {.394, .33, .47}, "virtue": {.542, .40, .67}}
	for _, row := range scruples.Rows {
		w := want[row.Model]
		require.InDelta(t, w[0], row.Published.Mean, .0006, row.Model)
		require.InDelta(t, w[1], *row.Published.Lo, .006, row.Model)
		require.InDelta(t, w[2], *row.Published.Hi, .006, row.Model)
		require.NotNil(t, row.Ours, row.Model)
		require.False(t, math.IsNaN(row.Ours.Mean))
	}
	require.Equal(t, "0.278 answered", scruples.Rows[1].Note)
	require.Contains(t, scruples.Rows[1].OursNote, "answered")
}

// benchmarksOf changes the benchmarks of an evaluation's result.
func benchmarksOf(t *testing.T, dir string, f func(b object)) {
	t.Helper()
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		for _, b := range v["benchmarks"].([]any) {
			f(b.(object))
		}
	})
}

// Records that were cut after the evaluation had ended are said to be so, whether the result
// names their hash or, as results of former versions do, only the measurement's own file.
func TestCutRecordsAreAFailure(t *testing.T) {
	for name, hashed := range map[string]bool{"hash in the result": true, "hash in the measurement's file": false} {
		t.Run(name, func(t *testing.T) {
			dir := recorded(t, 1)
			benchmarksOf(t, dir, func(b object) {
				p, _ := b["provenance"].(object)
				items, ok := p["items"].(string)
				if !ok {
					return
				}
				raw, err := os.ReadFile(filepath.Join(dir, "eval", items))
				require.NoError(t, err)
				sum := fmt.Sprintf("%x", sha256.Sum256(raw))
				if hashed {
					p["items_sha256"] = sum
				} else {
					write(t, filepath.Join(dir, "eval", strings.TrimSuffix(items, ".jsonl.zst")+".json"),
						fmt.Sprintf(`{"records_sha256":%q}`, sum))
				}
			})
			whole := load(t, dir)
			require.NotContains(t, flagText(whole), "not tested")

			require.NoError(t, os.Truncate(filepath.Join(dir, "eval/items/toxigen.loglik.sft.jsonl.zst"), 100))
			require.NoError(t, os.Remove(filepath.Join(dir, "eval/items/wsc273.loglik.base.jsonl.zst")))
			r := load(t, dir)
			text := flagText(r)
			require.Contains(t, text,
				"failure eval: ToxiGen (loglik): its differences are not tested: items/toxigen.loglik.sft.jsonl.zst "+
					"is not as the evaluation wrote it (cut, or changed): give the evaluation's command again, which "+
					"measures what it held anew.")
			require.Contains(t, text,
				"failure eval: WSC273 (loglik): its differences are not tested: items/wsc273.loglik.base.jsonl.zst "+
					"is gone: give the evaluation's command again")
			require.Len(t, r.Tests, len(whole.Tests)-2)
		})
	}
}

// The seed of the tests is the evaluation's to the last of its 64 bits, and 0 is one.
func TestTestsUseTheVerySeedOfTheEvaluation(t *testing.T) {
	dir := recorded(t, 1)
	for _, seed := range []uint64{0, 1<<53 + 1, math.MaxUint64} {
		benchmarksOf(t, dir, func(b object) {
			if p, ok := b["provenance"].(object); ok {
				p["seed"] = json.Number(fmt.Sprint(seed))
			}
		})
		r := load(t, dir)
		require.NotEmpty(t, r.Tests)
		for _, f := range r.Tests {
			require.Equal(t, seed, f.Seed)
		}
		require.NotContains(t, flagText(r), "default")
	}
	benchmarksOf(t, dir, func(b object) {
		if p, ok := b["provenance"].(object); ok {
			p["seed"] = -3.5
		}
	})
	r := load(t, dir)
	require.Contains(t, flagText(r),
		"caution eval: ToxiGen (loglik): its result gives the seed as -3.5: the tests use their default.")
}

// Paths are shortened for showing alone: the records are opened where they lie, whatever
// directory the shown paths are relative to.
func TestShortenedPathsAreNotOpened(t *testing.T) {
	dir := recorded(t, 1)
	r, err := report.Loader{Root: dir}.Load(dir)
	require.NoError(t, err)
	require.NotEmpty(t, r.Tests)
	require.NotNil(t, r.Scores)
	require.NotContains(t, flagText(r), "not found")
	for _, s := range r.Stages {
		require.False(t, filepath.IsAbs(s.Folder), s.Folder)
	}
	two, err := report.Loader{Root: dir}.LoadTwo(dir, recorded(t, 1))
	require.NoError(t, err)
	require.NotEmpty(t, two.Tests)
}
