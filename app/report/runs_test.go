package report_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
)

func chartOf(t *testing.T, r *report.Report, id string) report.Chart {
	t.Helper()
	i := slices.IndexFunc(r.Charts, func(c report.Chart) bool { return c.ID == id })
	require.GreaterOrEqual(t, i, 0, "no plot %s", id)
	return r.Charts[i]
}

// A report of several seeds has every plot that one of a single run has, of all runs.
func TestSeveralSeedsHaveEveryPlot(t *testing.T) {
	dir := study(t, 3)
	r := load(t, dir)
	one := load(t, filepath.Join(dir, "seed-1"))
	ids := func(r *report.Report) (out []string) {
		for _, c := range r.Charts {
			out = append(out, c.ID)
			require.NotContains(t, c.Note, "Of seed 1.", c.ID)
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, ids(one), ids(r))

	c := chartOf(t, r, "ppo-frontier")
	require.Len(t, c.Lines, 4*(3+1))
	require.Len(t, c.Marks, 4*(3+1))
	require.Equal(t, "mean score, normalised", c.YLabel)
	mean, n := 0.0, 0
	for _, m := range c.Marks[:3] {
		require.True(t, m.Small)
		mean += m.X / 3
		n++
	}
	require.False(t, c.Marks[3].Small)
	require.InDelta(t, mean, c.Marks[3].X, 1e-9)

	// Reward models of other scales: the curves are on the scale of each run's own.
	c = chartOf(t, r, "ppo-score")
	first := chartOf(t, one, "ppo-score")
	require.Equal(t, "seed 1", c.Lines[0].Run)
	require.InDelta(t, (first.Lines[0].Y[5]-.3)/1.25, c.Lines[0].Y[5], 1e-9)
	raw := chartOf(t, load(t, filepath.Join(dir, "seed-3")), "ppo-score")
	require.InDelta(t, (raw.Lines[0].Y[5]-.9)/3.75, c.Lines[2].Y[5], 1e-9)
	require.False(t, c.Lines[3].Member)

	// A run that ended sooner shortens the mean and nothing else.
	for _, l := range chartOf(t, r, "ppo-kl").Lines {
		last := l.X[len(l.X)-1]
		switch {
		case l.Label != "virtue":
		case l.Member && l.Run != "seed 2":
			require.Greater(t, last, 110.)
		default:
			require.LessOrEqual(t, last, 80.)
			require.Greater(t, last, 75.)
		}
	}

	for _, id := range []string{"scores-virtue", "pairs-reward-virtue"} {
		c := chartOf(t, r, id)
		require.Contains(t, c.Note, "Of 3 runs together", id)
		require.Equal(t, "score, normalised", c.XLabel)
	}
	// Three times the same scores in other units are the same scores once normalised.
	require.InDelta(t, (*chartOf(t, one, "pairs-reward-virtue").Lines[0].Mean-.3)/1.25,
		*chartOf(t, r, "pairs-reward-virtue").Lines[0].Mean, 1e-3)

	c = chartOf(t, r, "calibration-my-task/loglik")
	require.Contains(t, c.Note, "The items of 3 runs are pooled.")
	for _, id := range []string{"forest-scruples/loglik", "pairs-scruples/loglik"} {
		for _, row := range chartOf(t, r, id).Rows {
			require.Len(t, row.PerRun, 3, "%s %s", id, row.Label)
			require.NotNil(t, row.Lo, id)
		}
	}
}

// Answers, commands, configurations and flags are of every run.
func TestSeveralSeedsHaveEveryAnswerAndCommand(t *testing.T) {
	dir := study(t, 3)
	r := load(t, dir)
	require.Len(t, r.Samples, 3*6)
	require.Equal(t, []string{"seed 1", "seed 2", "seed 3"},
		[]string{r.Samples[0].Run, r.Samples[1].Run, r.Samples[2].Run})
	require.Equal(t, r.Samples[0].Prompt, r.Samples[2].Prompt)
	require.Contains(t, r.Samples[2].Answers["sft"], "run three")

	page := render(t, report.WriteHTML, r)
	for _, want := range []string{
		"steer run experiments/fixture.yaml --set seed=2 --set out=runs/study/seed-2", "# seed 3",
		"seed 2: experiment.yaml", `<option>seed 3</option>`,
		"Each run by itself", "The same prompt to every model of every run", "Flags by run", "And so says run three.",
	} {
		has(t, page, want)
	}
	require.Equal(t, 3, strings.Count(page, "steer run experiments/fixture.yaml"), "one call made all stages of a run")

	md := render(t, report.WriteMarkdown, r)
	golden(t, "study.md", strings.ReplaceAll(md, filepath.ToSlash(dir), "runs/study"))
	require.Less(t, unfolded(md), 150, "what is not folded is as long as a person reads")
	text := render(t, report.WriteText, r)
	golden(t, "study.txt", text)
	for i, line := range strings.Split(text, "\n") {
		require.LessOrEqual(t, len([]rune(line)), 80, "line %d: %s", i+1, line)
	}
	csv := render(t, report.WriteCSV, r)
	require.Contains(t, csv, "difference_to_sft_normalised,virtue,virtue seed 3,")
	require.Contains(t, csv, "ppo_held_out,virtue seed 2,difference,")
}

// unfolded counts the lines of a Markdown text that are seen before anything is opened.
func unfolded(md string) int {
	n, folded := 0, false
	for _, line := range strings.Split(md, "\n") {
		switch {
		case strings.HasPrefix(line, "<details>"):
			folded = true
			n++
		case line == "</details>":
			folded = false
		case !folded && line != "":
			n++
		}
	}
	return n
}

// Without the scale of every run's reward models nothing is averaged or pooled across
// them, and that is said.
func TestSeveralSeedsWithoutNormalisation(t *testing.T) {
	dir := study(t, 2)
	edit(t, filepath.Join(dir, "seed-2/reward-virtue/result.json"), func(v object) { delete(v, "normalisation") })
	r := load(t, dir)
	require.Contains(t, chartOf(t, r, "ppo-score").Note, "Raw scores: not every run says how to normalise them")
	require.Equal(t, "mean score", chartOf(t, r, "ppo-score").YLabel)
	require.Contains(t, flagText(r), "Held-out pairs, virtue reward: not every run has its scores and their "+
		"normalisation")
	require.False(t, slices.ContainsFunc(r.Charts,
		func(c report.Chart) bool { return strings.HasPrefix(c.ID, "scores-") }))
	wellFormed(t, render(t, report.WriteHTML, r))
}

// A study is looked at while it goes on.
func TestStudyThatIsNotThrough(t *testing.T) {
	dir := study(t, 3)
	unmeasured := func(seed string) {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, seed, "eval")))
	}
	unmeasured("seed-3")
	r := load(t, dir)
	require.Len(t, r.Runs, 2)
	require.True(t, slices.ContainsFunc(r.Flags, func(f report.Flag) bool {
		return strings.Contains(f.Text, "seed-3 has no finished evaluation and is left out")
	}))
	require.NotNil(t, r.Matrix)

	unmeasured("seed-2")
	_, err := report.Load(dir)
	require.ErrorIs(t, err, report.ErrNotRuns)
	require.ErrorContains(t, err, "seed-1 has a finished evaluation: give it alone, or wait for a second")

	unmeasured("seed-1")
	r = load(t, dir)
	require.Len(t, r.Runs, 3)
	require.Nil(t, r.Matrix)
	text := strings.Join(r.Verdict, " ")
	require.Contains(t, text, "cannot be answered yet")
	require.Contains(t, text, "virtue in ")
	require.Contains(t, text, " of 3 runs (")
	var page, md strings.Builder
	require.NoError(t, report.WriteHTML(&page, r))
	require.NoError(t, report.WriteMarkdown(&md, r))
	require.Contains(t, md.String(), "virtue seed 2")
}
