package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/experiment"
	"steer/app/jobs"
	"steer/internal/conf"
	"steer/rl/sft"
	"steer/rl/train"
)

// dryJob is the job that sft --dry-run prints.
func dryJob(t testing.TB, dir string, args ...string) jobs.SFT {
	t.Helper()
	_, assets := e2e(t)
	out, _ := mustSteer(t, dir, append([]string{"sft", "--dry-run", "--model", assets.Model, "--train",
		assets.Guanaco.Train}, args...)...)
	job, err := jobs.NewSFT("")
	require.NoError(t, err)
	require.NoError(t, conf.Parse("dry-run", []byte(out), &job))
	return job
}

// A text arrives whole, whatever it would mean in YAML.
func TestSetTakesTextsWhole(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Answer briefly # and be nice", "Rule: be nice", "@all", "null and void", "013",
		`say "yes" or "no"`, "[1", "- one\n- two"} {
		job := dryJob(t, t.TempDir(), "--set", "system="+text)
		require.NotNil(t, job.System, text)
		require.Equal(t, text, *job.System)
	}
	require.Nil(t, dryJob(t, t.TempDir(), "--set", "system=x", "--set", "system=null").System)

	dir := tiny(t)
	plan, _ := mustSteer(t, dir, "run", "tiny.yaml", "--dry-run", "--set", "system=Answer briefly # and be nice")
	require.Contains(t, plan, "system: 'Answer briefly # and be nice'")
	code, _, said := steerIn(t, dir, "run", "tiny.yaml", "--dry-run", "--set", "ppo.kl_coef=0.1 # less")
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "ppo.kl_coef: ")
	require.Contains(t, said, "would be a comment")
}

// Files are named as they are called.
func TestFlagsTakeNamesWhole(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	names := []string{"[1], #2: 'x'.gguf", "a, b.gguf", "null"}
	for _, name := range names {
		put(t, dir, name, "only hashed")
	}
	out, _ := mustSteer(t, dir, "reward", "--dry-run", "--model", names[0], "--theory", "deontology", "--train",
		assets.Deontology.Train, "--sft", names[1], "--sft", names[2])
	job, err := jobs.NewReward("")
	require.NoError(t, err)
	require.NoError(t, conf.Parse("dry-run", []byte(out), &job))
	require.Equal(t, filepath.Join(dir, names[0]), job.Model)
	require.Equal(t, []string{filepath.Join(dir, names[1]), filepath.Join(dir, names[2])}, job.SFT)
}

// The preset is a key as any other, but everything else starts from it.
func TestPresetsByEveryWay(t *testing.T) {
	t.Parallel()
	thesis, err := sft.New(train.PresetThesis)
	require.NoError(t, err)
	for _, args := range [][]string{{"--preset", "thesis"}, {"--set", "preset=thesis"}, {"--preset", "thesis", "--set",
		"preset=thesis"}} {
		require.Equal(t, thesis, dryJob(t, t.TempDir(), args...).Config, args)
	}
	_, assets := e2e(t)
	dir := tiny(t)
	code, _, said := steerIn(t, dir, "sft", "--dry-run", "--model", assets.Model, "--train", assets.Guanaco.Train,
		"--preset", "default", "--set", "preset=thesis")
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "--preset default and --set preset=thesis contradict each other")

	// tiny.yaml does not fix the weight decay.
	load := func(over ...string) *experiment.Experiment {
		e, err := experiment.LoadExperiment(dir+"/tiny.yaml", over)
		require.NoError(t, err)
		return e
	}
	require.Zero(t, load().SFT.Optim.WeightDecay)
	for _, over := range []string{"preset=thesis", "sft.preset=thesis", "sft.preset = thesis"} {
		require.Equal(t, thesis.Optim.WeightDecay, load(over).SFT.Optim.WeightDecay, over)
	}
	require.Equal(t, load().PPO.Config, load("sft.preset=thesis").PPO.Config)
	_, err = experiment.LoadExperiment(dir+"/tiny.yaml", []string{"each.deontology.ppo.preset=thesis"})
	require.ErrorContains(t, err, "each.deontology: theories start from the presets of the sections")
	_, err = experiment.LoadExperiment(dir+"/tiny.yaml", []string{"extends=other.yaml"})
	require.ErrorContains(t, err, "extends: cannot be overridden")
}
