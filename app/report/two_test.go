package report_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
)

func loadTwo(t *testing.T, a, b string) *report.Report {
	t.Helper()
	r, err := report.LoadTwo(a, b)
	require.NoError(t, err)
	return r
}

func TestTwoRuns(t *testing.T) {
	dir := study(t, 2)
	a, b := filepath.Join(dir, "seed-1"), filepath.Join(dir, "seed-2")
	edit(t, filepath.Join(b, "eval/result.json"), func(v object) {
		for _, x := range v["benchmarks"].([]any) {
			if x := x.(object); x["benchmark"] == "toxigen" {
				x["provenance"].(object)["bos"] = false
			}
		}
	})
	write(t, filepath.Join(b, "sft/config.yaml"), "lr: 0.0005\nsteps: 200\n")
	r := loadTwo(t, a, b)
	require.Equal(t, "Two runs: seed-2 against seed-1", r.Title)
	require.Len(t, r.Models, 12)
	require.Equal(t, "seed-1: base", r.Models[0].Name)
	require.Len(t, r.Benchmarks, 7)
	require.Len(t, r.Benchmarks[0].Rows, 12)
	require.Len(t, r.Tests, 6)
	f := r.Tests[0]
	require.Len(t, f.Pairs, 6, "each model with its namesake only")
	require.Equal(t, []string{"seed-2: base", "seed-1: base"}, []string{f.Pairs[0].A, f.Pairs[0].B})
	require.True(t, f.Pairs[0].Identical, "the base is the same in both")
	one, two := load(t, a), load(t, b)
	require.InDelta(t, two.Benchmarks[0].Rows[4].Values[0].Mean-one.Benchmarks[0].Rows[4].Values[0].Mean,
		f.Pairs[4].Difference.Value, 1e-9)
	require.Contains(t, r.Verdict[0], "30 comparisons of models of the same name show no difference after Holm's "+
		"correction over all of them; differences larger than")
	require.Contains(t, r.Verdict[1], "Of 24 cells of the cross-reward matrix")
	require.Len(t, r.Headline.Rows, 6)
	text := flagText(r)
	require.Contains(t, text, "ToxiGen (loglik) was not measured alike: bos false against true")
	require.Contains(t, text, "note sft: Its configuration differs: lr: 0.0005 instead of lr: 0.0002")
	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	has(t, page, "seed-2: virtue − seed-1: virtue")
	hasNot(t, page, "means over")
	require.Contains(t, render(t, report.WriteMarkdown, r), "seed-2: virtue - seed-1: virtue")
	require.Contains(t, render(t, report.WriteCSV, r), "tests Scruples (loglik),seed-2: virtue - seed-1: virtue,p,")
	require.NotEmpty(t, render(t, report.WriteJSON, r))
	require.NotEmpty(t, render(t, report.WriteText, r))
}

func TestTwoRunsWithLittleInCommon(t *testing.T) {
	dir := study(t, 2)
	a, b := filepath.Join(dir, "seed-1"), filepath.Join(dir, "seed-2")
	require.NoError(t, os.RemoveAll(filepath.Join(b, "eval/items")))
	edit(t, filepath.Join(b, "eval/result.json"), func(v object) {
		var keep []any
		for _, x := range v["benchmarks"].([]any) {
			if x.(object)["benchmark"] != "wsc273" {
				keep = append(keep, x)
			}
		}
		v["benchmarks"] = append(keep, object{"benchmark": "new", "protocol": "p", "model": "sft", "n": 1,
			"metrics": object{"acc": 1}})
		v["models"] = v["models"].([]any)[:3]
		v["base"].(object)["sha256"] = "other"
	})
	edit(t, filepath.Join(b, "sft/result.json"), func(v object) { v["base"].(object)["sha256"] = "other" })
	r := loadTwo(t, a, b)
	require.Equal(t, []string{"No benchmark could be compared item by item, so the question stays open."}, r.Verdict)
	text := flagText(r)
	for _, want := range []string{"seed-1: WSC273 (loglik) is in this run only", "seed-2: new (p) is in this run only",
		"not found in both runs", "matrices are not compared", "The base models differ"} {
		require.Contains(t, text, want)
	}
	wellFormed(t, render(t, report.WriteHTML, r))

	_, err := report.LoadTwo(a, a+"/")
	require.ErrorContains(t, err, "compared with itself")
	_, err = report.LoadTwo(a, filepath.Join(b, "sft"))
	require.ErrorIs(t, err, report.ErrNotRuns)
	_, err = report.LoadTwo(a, dir)
	require.ErrorContains(t, err, "holds 2 experiments")
	_, err = report.LoadTwo(a, t.TempDir())
	require.ErrorIs(t, err, report.ErrNoRuns)
}
