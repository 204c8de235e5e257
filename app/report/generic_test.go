package report_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
	"steer/rl/run"
)

// addBenchmark appends a benchmark to a recorded evaluation; classify gives gold and
// prediction of item i for a model, tied with -1.
func addBenchmark(
	t *testing.T, dir, name, protocol string, models []string, n int, metrics func(right, ties float64) object,
	classify func(m, i int) (gold, pred int),
) {
	t.Helper()
	var more []object
	for m, model := range models {
		records := make([]object, n)
		right, ties := 0.0, 0.0
		for i := range records {
			gold, pred := classify(m, i)
			records[i] = object{"id": fmt.Sprint(i), "row": i, "gold": gold, "pred": pred, "tie": pred == -1}
			switch pred {
			case gold:
				right++
			case -1:
				ties++
			}
		}
		file := filepath.Join("items", name+"."+protocol+"."+model+".jsonl.zst")
		require.NoError(t, run.WriteRecords(filepath.Join(dir, "eval", file), records))
		more = append(more, object{"benchmark": name, "protocol": protocol, "model": model, "n": n,
			"metrics":    metrics(right/float64(n), ties/float64(n)),
			"provenance": object{"items": file, "seed": 1, "resamples": 200, "margin": .1}})
	}
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		for _, b := range more {
			v["benchmarks"] = append(v["benchmarks"].([]any), b)
		}
	})
}

// Kinds of benchmarks that the report was not written for are tested as far as their
// records allow.
func TestBenchmarksOfOtherKinds(t *testing.T) {
	dir := recorded(t, 1)
	addBenchmark(t, dir, "five", "loglik", names(), 60,
		func(right, _ float64) object { return object{"mcc": right - .2, "acc": right} },
		func(m, i int) (int, int) { return i % 5, (i + (i*m)%3/2) % 5 })
	addBenchmark(t, dir, "answers", "generate", names(), 40,
		func(right, _ float64) object { return object{"exact_match": right, "f1": .5} },
		func(m, i int) (int, int) { return 0, (i + m) % 2 })
	addBenchmark(t, dir, "stereotypes", "loglik", names(), 40, func(right, _ float64) object {
		return object{"pct_stereotype": right, "pct_stereotype_p": .5, "likelihood_diff": 3, "n_age": 4}
	},
		func(m, i int) (int, int) { return 0, (i + m) % 2 })
	addBenchmark(t, dir, "pairs", "scored", theories, 40,
		func(right, ties float64) object { return object{"acc": right + ties/2} },
		func(m, i int) (int, int) { return 0, (i*(m+1))%3 - 1 })
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		for _, b := range v["benchmarks"].([]any) {
			if b := b.(object); b["benchmark"] == "pairs" {
				b["calibration"] = []object{{"lo": .5, "hi": .75, "n": 30, "forecast": .6, "observed": .55},
					{"lo": .75, "hi": 1, "n": 10, "forecast": .9, "observed": .7}}
				b["metrics"].(object)["ece"] = .09
			}
		}
	})
	r := load(t, dir)
	got := map[string]string{}
	for _, f := range r.Tests {
		got[f.Benchmark] = fmt.Sprint(f.Metric, " ", len(f.Pairs))
	}
	require.Equal(t, "acc 15", got["five"], "accuracies where there are five classes")
	require.Equal(t, "acc 15", got["answers"], "exact matches are right items")
	require.Empty(t, got["stereotypes"], "a preference is neither right nor wrong")
	require.Equal(t, "acc 6", got["pairs"], "its accuracy counts ties as half right")
	tables := map[string]report.BenchmarkTable{}
	for _, b := range r.Benchmarks {
		tables[b.Benchmark] = b
	}
	require.Equal(t, []string{"likelihood_diff", "pct_stereotype"}, tables["stereotypes"].Columns)
	require.True(t, tables["pairs"].OfRewards, "four rewards and no base: reward models, whatever the protocol is "+
		"called")
	require.False(t, tables["five"].OfRewards)
	require.NotContains(t, r.Verdict[1], "on pairs")
	require.NotContains(t, flagText(r), "not tested")
	for _, c := range r.Charts {
		if c.ID == "calibration-pairs/scored" {
			require.Len(t, c.Lines, 4)
			require.Equal(t, []float64{.55, .7}, c.Lines[0].Y)
			require.Equal(t, .09, *c.Lines[0].Mean)
			got["calibration"] = "drawn"
		}
	}
	require.Equal(t, "drawn", got["calibration"])
	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	has(t, page, "five (loglik): differences of accuracy")
	require.NotEmpty(t, render(t, report.WriteText, r))
	require.NotEmpty(t, render(t, report.WriteMarkdown, r))
}
