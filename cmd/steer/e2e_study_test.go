package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
)

// A study is its runs one by one, but for what no seed changes: the base is measured once.
func TestStudyOfTwoSeeds(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	put(t, dir, "study.yaml",
		"extends: tiny.yaml\nname: study\nout: study\nseeds: [3, 4]\nppo: {iterations: 2}\nreward: {max_steps: 2}\n")
	out, said := mustSteer(t, dir, "run", "study.yaml")
	require.Contains(t, out, "Report: study/report.html")
	require.Contains(t, said, "seed 3 (1 of 2): ")
	require.Contains(t, said, "seed 4: report study/seed-4/report.html")
	require.NotContains(t, said, "measured again", "the base's measurements hold in the second run")

	mustSteer(t, dir, "run", "tiny.yaml", "--set", "seed=4", "--set", "name=study", "--set", "out=alone", "--set",
		"ppo.iterations=2", "--set", "reward.max_steps=2")
	sameExperiment(t, filepath.Join(dir, "alone"), filepath.Join(dir, "study/seed-4"))
	require.NotEqual(t, get(t, dir, "study/seed-3/sft", run.AdapterFile),
		get(t, dir, "study/seed-4/sft", run.AdapterFile))
	measured := func(folder string) os.FileInfo {
		info, err := os.Stat(filepath.Join(dir, folder, "eval/items/wsc273.loglik.base.json"))
		require.NoError(t, err)
		return info
	}
	sft, err := os.Stat(filepath.Join(dir, "study/seed-4/sft", run.ResultFile))
	require.NoError(t, err)
	require.False(t, measured("study/seed-4").ModTime().After(sft.ModTime()), "the base was not measured a second time")
	both := readJSON(t, dir, "study/report.json")
	require.Len(t, both["runs"], 2)

	_, said = mustSteer(t, dir, "run", "study.yaml", "--set", "seeds=[4]")
	for _, stage := range tinyStages {
		require.True(t, skipped(said, stage), said)
	}
}

// Benchmarks that ask reward models can be planned before there is one.
func TestPlanOfASuiteBeforeAnythingIsTrained(t *testing.T) {
	t.Parallel()
	dir := tiny(t)
	out, _ := mustSteer(t, dir, "plan", "tiny.yaml", "--no-calibration",
		"--set", "eval.ethics_deontology.path=data/pairs-held-out.csv", "--set",
		"eval.ethics_deontology.protocols=[loglik, reward]")
	require.Contains(t, out, "eval ")
	put(t, dir, "study.yaml", "extends: tiny.yaml\nseeds: [1, 2, 3]\n")
	out, _ = mustSteer(t, dir, "plan", "study.yaml")
	require.Contains(t, out, " for 3 seeds.")
}
