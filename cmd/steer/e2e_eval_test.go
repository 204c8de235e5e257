package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
	"steer/rl/train"
)

// evalArgs is an evaluation with measurements of every kind, in many small batches.
func evalArgs(t *testing.T, out string) []string {
	t.Helper()
	up := unbrokenRuns(t)
	_, assets := e2e(t)
	sft, policy, reward := filepath.Join(up, "sft/adapter.gguf"), filepath.Join(up, "ppo/adapter.gguf"),
		filepath.Join(up, "reward/adapter.gguf")
	return []string{"eval", "--suite", "thesis", "--model", assets.Model, "--data", filepath.Join(assets.Dir, "data"),
		"--limit", "24", "-o", out,
		"--template", "guanaco", "--threads", "1", "--adapter", "sft=" + sft, "--adapter", "deontology=" + sft + "," +
			policy, "--reward", "deontology=" + sft + "," + reward,
		"--set", "batch_tokens=128", "--set", "resamples=50", "--set", "scruples.max_new_tokens=4", "--set",
		"scruples.batch=2",
		"--set", "cross_reward.max_new_tokens=12", "--set", "cross_reward.batch=4", "--set", "engine.sequences=4"}
}

// sameEvaluation compares what two evaluations have left.
func sameEvaluation(t *testing.T, want, got string) {
	t.Helper()
	require.Equal(t, timelessResult(t, want), timelessResult(t, got))
	a, b := itemsOf(t, want), itemsOf(t, got)
	require.Equal(t, slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	for name := range a {
		require.True(t, a[name] == b[name], "%s differs between %s and %s", name, want, got)
	}
}

func itemsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, run.ItemsDir))
	require.NoError(t, err)
	all := map[string]string{}
	for _, e := range entries {
		all[e.Name()] = string(get(t, dir, run.ItemsDir, e.Name()))
	}
	return all
}

// journalled counts the batches in the journal of the measurement that runs, and the
// measurements that are finished.
func journalled(dir string) (batches, finished int) {
	parts, _ := filepath.Glob(filepath.Join(dir, run.ItemsDir, "*.part"))
	for _, p := range parts {
		raw, _ := os.ReadFile(p)
		batches += max(bytes.Count(raw, []byte("\n"))-1, 0)
	}
	done, _ := filepath.Glob(filepath.Join(dir, run.ItemsDir, "*.json"))
	return batches, len(done)
}

// A suite run by the built program: all it has data for, what is missing said and noted.
// Killed again and again it ends in the same bits as undisturbed.
func TestKilledEvaluationEndsAsUnbroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole, broken := filepath.Join(dir, "whole", "eval"), filepath.Join(dir, "broken", "eval")
	_, said := mustSteer(t, dir, evalArgs(t, whole)...)
	require.Contains(t, said, "missing: protocol reward of scruples is left out: "+
		"scruples/anecdotes/train.scruples-anecdotes.jsonl is not in the data folder; it comes from "+
		"https://github.com/allenai/scruples")
	require.Contains(t, said, "a quick look: the first 24 items")
	result := readJSON(t, whole, run.ResultFile)
	require.Len(t, result["warnings"], 3) // scruples.threshold, wsc285, crows_pairs
	require.NotNil(t, result["cross_reward"])
	measured := map[string]bool{}
	for _, b := range result["benchmarks"].([]any) {
		b := b.(map[string]any)
		measured[b["benchmark"].(string)+" "+b["protocol"].(string)] = true
		require.Contains(t, b["flags"], "partial=24")
	}
	for _, name := range []string{"scruples loglik", "scruples thesis", "toxigen loglik", "wsc273 loglik"} {
		require.True(t, measured[name], name)
	}

	kills := 0
	for _, at := range []struct{ batches, finished int }{{0, 0}, {2, 0}, {1, 1}, {3, 3}, {2, 5}, {5, 7}, {8, 9},
		{2, 12}, {9, 12}} {
		p := start(t, dir, evalArgs(t, broken)...)
		p.until(func() bool {
			batches, finished := journalled(broken)
			return finished > at.finished || finished == at.finished && batches >= at.batches
		})
		p.signal(syscall.SIGKILL)
		if _, by := p.wait(); by == syscall.SIGKILL {
			kills++
		}
		require.NotContains(t, p.err.String(), "discarded")
		require.NotContains(t, p.err.String(), "damaged")
	}
	require.Greater(t, kills, 3)
	_, said = mustSteer(t, dir, evalArgs(t, broken)...)
	require.NotContains(t, said, "again")
	sameEvaluation(t, whole, broken)
	out, _ := mustSteer(t, dir, evalArgs(t, broken)...)
	require.Contains(t, out, "finished already")

	// A change measures again what it touches.
	_, said = mustSteer(t, dir, append(evalArgs(t, broken), "--set", "toxigen.limit=20")...)
	require.Equal(t, 3, strings.Count(said, "measured again, since options.toxigen.limit: 24 -> 20"), said)
	require.Equal(t, 3, strings.Count(said, "measured again"), said)
	// --fresh forgets all.
	_, said = mustSteer(t, dir, append(evalArgs(t, broken), "--fresh")...)
	require.NotContains(t, said, "again")
	sameEvaluation(t, whole, broken)

	// The report says what is missing.
	out, _ = mustSteer(t, dir, "report", filepath.Join(dir, "broken"), "--format", "md")
	require.Contains(t, strings.Join(strings.Fields(out), " "), "protocol reward of scruples is left out")
}

func TestInterruptedEvaluationGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "eval")
	for attempt := 1; ; attempt++ {
		p := start(t, dir, evalArgs(t, folder)...)
		p.until(func() bool { batches, finished := journalled(folder); return finished >= 1 && batches >= 1 })
		p.signal(syscall.SIGINT)
		code, by := p.wait()
		require.Zero(t, by)
		if code == 0 {
			require.NoError(t, os.RemoveAll(folder))
			require.Less(t, attempt, e2eAttempts)
			continue
		}
		require.Equal(t, train.ExitInterrupted, code, p.err.String())
		require.Contains(t, p.err.String(), "the same command goes on")
		require.Contains(t, p.err.String(), "measurements are done, and of the next every batch that was")
		require.NoFileExists(t, filepath.Join(folder, run.ResultFile))
		break
	}
	_, said := mustSteer(t, dir, evalArgs(t, folder)...)
	require.NotContains(t, said, "again")
	require.Equal(t, float64(1), readJSON(t, folder, run.ResultFile)["resumed"])
}

// Models whose names are alike have records of their own; a seed of 64 bits is the report's, too;
// records that were cut after the end are measured again, and until then the report says so.
func TestEvaluationKeepsNamesSeedsAndRecordsApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up := unbrokenRuns(t)
	_, assets := e2e(t)
	sft, policy := filepath.Join(up, "sft/adapter.gguf"), filepath.Join(up, "ppo/adapter.gguf")
	args := []string{"eval", "--model", assets.Model, "--toxigen", assets.ToxiGen.Test, "--limit", "24", "-o",
		"eval", "--template", "guanaco", "--threads", "1",
		"--adapter", "a b=" + sft, "--adapter", "a_b=" + sft + "," + policy, "--adapter", "v1.0=" + sft, "--adapter",
		"A_b=" + policy, "--any-stack", "--set", "resamples=50", "--seed", "9007199254740993"}
	mustSteer(t, dir, args...)
	folder := filepath.Join(dir, "eval")
	before := itemsOf(t, folder)
	require.Len(t, before, 2*5, "records and outcome of each model")
	require.Contains(t, string(get(t, folder, run.ResultFile)), `"seed": 9007199254740993`)
	require.NotContains(t, string(get(t, folder, run.ResultFile)), `"seed": 9007199254740992`)

	md, said := mustSteer(t, dir, "report", "eval", "--format", "md")
	require.Empty(t, said)
	require.Contains(t, md, "50 resamples, seed 9007199254740993, ")
	for _, name := range []string{"| a b |", `| a\_b |`, "| v1.0 |", `| A\_b |`} {
		require.Contains(t, md, name)
	}
	require.NotContains(t, md, "not tested")

	require.NoError(t, os.Truncate(filepath.Join(folder, run.ItemsDir, "toxigen.loglik.a_b.jsonl.zst"), 100))
	md, said = mustSteer(t, dir, "report", "eval", "--format", "md")
	for _, text := range []string{md, said} {
		require.Contains(t, strings.ReplaceAll(text, `\_`, "_"),
			"items/toxigen.loglik.a_b.jsonl.zst is not as the evaluation wrote it (cut, or changed): give the "+
				"evaluation's command again")
	}
	_, said = mustSteer(t, dir, args...)
	require.Contains(t, said, "toxigen.loglik.a_b: measured again, since its records are not those it ended with")
	require.Equal(t, 1, strings.Count(said, "measured again"))
	require.Equal(t, before, itemsOf(t, folder))
	out, _ := mustSteer(t, dir, args...)
	require.Contains(t, out, "finished already")
}
