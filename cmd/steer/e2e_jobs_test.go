package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/rl/run"
)

// trainerJob is a small job of one trainer: six rounds, a checkpoint after every second.
type trainerJob struct {
	kind string // the command
	yaml string // with ASSETS for the demo's folder, UP for the folder of earlier stages
}

const e2eRounds = 6

// Between them the jobs use what a checkpoint has to carry: dropout, an epoch's border,
// the best weights, running statistics of the score, an adaptive KL coefficient.
var (
	sftJob = trainerJob{"sft", `
model: ASSETS/model.gguf
engine: {threads: 1}
template: guanaco
seed: 7
train: {path: ASSETS/data/guanaco/openassistant_best_replies_train.jsonl, limit: 8}
eval: {path: ASSETS/data/guanaco/openassistant_best_replies_eval.jsonl, limit: 3}
lora: {rank: 4, alpha: 8, dropout: 0.1}
pack: none
max_tokens: 64
mini_batch_size: 2
micro_batch_size: 1
micro_batch_tokens: 0
max_steps: 6
optim: {lr: 2e-3, warmup_steps: 1}
eval_every: 3
checkpoint_every: 2
`}
	rewardJob = trainerJob{"reward", `
model: ASSETS/model.gguf
engine: {threads: 1}
template: guanaco
seed: 7
sft: [UP/sft/adapter.gguf]
theory: deontology
train: {path: ASSETS/data/ethics/deontology/deontology_train.csv, limit: 8}
held_out: {path: ASSETS/data/ethics/deontology/deontology_test.csv, limit: 6}
lora: {rank: 4, alpha: 8, dropout: 0.1}
max_length: 64
mini_batch_size: 2
max_steps: 6
optim: {lr: 2e-3}
eval_every: 3
eval_pairs: 4
checkpoint_every: 2
`}
	ppoJob = trainerJob{"ppo", `
model: ASSETS/model.gguf
engine: {threads: 1, sequences: 4}
template: guanaco
seed: 7
sft: [UP/sft/adapter.gguf]
reward: UP/reward/adapter.gguf
reward_below: [UP/sft/adapter.gguf]
prompts: {path: ASSETS/data/guanaco/openassistant_best_replies_train.jsonl, limit: 10}
held_out: {path: ASSETS/data/guanaco/openassistant_best_replies_eval.jsonl, limit: 2}
max_prompt_tokens: 48
max_new_tokens: 6
lora: {rank: 4, alpha: 8}
iterations: 6
rollout_batch_size: 4
mini_batch_size: 2
micro_batch_size: 2
ppo_epochs: 2
optim: {lr: 1e-3}
kl_control: adaptive
kl_horizon: 50
scale_scores: true
norm_scores: true
checkpoint_every: 2
heldout_every: 3
samples_every: 2
samples_count: 2
`}
	grpoJob = trainerJob{"grpo", `
model: ASSETS/model.gguf
engine: {threads: 1, sequences: 4}
template: guanaco
seed: 7
sft: [UP/sft/adapter.gguf]
reward: UP/reward/adapter.gguf
reward_below: [UP/sft/adapter.gguf]
prompts: {path: ASSETS/data/guanaco/openassistant_best_replies_train.jsonl, limit: 10}
held_out: {path: ASSETS/data/guanaco/openassistant_best_replies_eval.jsonl, limit: 2}
max_prompt_tokens: 48
max_new_tokens: 6
lora: {rank: 4, alpha: 8}
iterations: 6
prompts_per_iteration: 2
num_generations: 3
mini_batch_size: 3
micro_batch_size: 3
optim: {lr: 1e-3}
dynamic_sampling: 1
checkpoint_every: 2
heldout_every: 3
samples_every: 2
samples_count: 2
`}
	dpoJob = trainerJob{"dpo", `
model: ASSETS/model.gguf
engine: {threads: 1}
template: guanaco
seed: 7
sft: [UP/sft/adapter.gguf]
theory: deontology
loss: kto
train: {path: ASSETS/data/ethics/deontology/deontology_train.csv, limit: 8}
held_out: {path: ASSETS/data/ethics/deontology/deontology_test.csv, limit: 6}
lora: {rank: 4, alpha: 8, dropout: 0.1}
max_length: 64
mini_batch_size: 3
max_steps: 6
optim: {lr: 2e-3}
eval_every: 3
eval_pairs: 4
checkpoint_every: 2
`}
	trainerJobs = []trainerJob{sftJob, rewardJob, ppoJob, grpoJob, dpoJob}
)

// write puts the job's file into dir, for results of earlier stages below up.
func (j trainerJob) write(t testing.TB, dir, up string) (file string) {
	t.Helper()
	_, assets := e2e(t)
	return put(t, dir, j.kind+".yaml", strings.NewReplacer("ASSETS", assets.Dir, "UP", up).Replace(j.yaml))
}

// unbroken holds one uninterrupted run of each trainer, made once: sft, reward, ppo, grpo
// and dpo, each on what the one before it made.
var unbroken struct {
	once sync.Once
	dir  string
	ok   bool
}

// unbrokenRuns gives the folder with the runs of all trainers.
func unbrokenRuns(t testing.TB) (dir string) {
	t.Helper()
	e2e(t)
	unbroken.once.Do(func() {
		unbroken.dir = filepath.Join(program.dir, "unbroken")
		for _, j := range trainerJobs {
			mustSteer(t, unbroken.dir, j.kind, j.write(t, unbroken.dir, unbroken.dir), "-o", j.kind)
		}
		unbroken.ok = true
	})
	require.True(t, unbroken.ok, "the unbroken runs failed in another test")
	return unbroken.dir
}

// copyRun copies an unbroken run of a trainer, as it was before it had a result.
func copyRun(t testing.TB, kind, to string) {
	t.Helper()
	require.NoError(t, os.CopyFS(to, os.DirFS(filepath.Join(unbrokenRuns(t), kind))))
	require.NoError(t, os.Remove(filepath.Join(to, run.ResultFile)))
	require.NoError(t, os.Remove(filepath.Join(to, run.AdapterFile)))
}

// sameRun compares what two runs have left: adapters and the optimizer bit for bit,
// metrics, samples and result in everything but the clock.
func sameRun(t testing.TB, want, got string) {
	t.Helper()
	for _, name := range []string{run.AdapterFile, "best.gguf"} {
		if _, err := os.Stat(filepath.Join(want, name)); err == nil || name == run.AdapterFile {
			require.True(t, string(get(t, want, name)) == string(get(t, got, name)), "%s differs between %s and %s",
				name, want, got)
		}
	}
	last := newest(want)
	require.Equal(t, last, newest(got))
	for _, name := range []string{run.AdapterFile, "optimizer.safetensors"} {
		require.True(t,
			string(get(t, want, run.CheckpointsDir, last, name)) == string(get(t, got, run.CheckpointsDir, last, name)),
			"%s of the last checkpoint differs between %s and %s", name, want, got)
	}
	require.Equal(t, timeless(t, want), timeless(t, got), "metrics of %s and %s", want, got)
	a, err := run.ReadSamples(filepath.Join(want, run.SamplesFile))
	require.NoError(t, err)
	b, err := run.ReadSamples(filepath.Join(got, run.SamplesFile))
	require.NoError(t, err)
	require.Equal(t, a, b, "samples of %s and %s", want, got)
	require.Equal(t, timelessResult(t, want), timelessResult(t, got), "results of %s and %s", want, got)
}

// clockwork: a metric that measures time.
func clockwork(name string) bool {
	return name == "seconds" || name == "tokens_per_second" || strings.HasPrefix(name, "time/")
}

// timeless reads the metrics of a run without those that measure time.
func timeless(t testing.TB, dir string) []run.MetricsRecord {
	t.Helper()
	records, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	for i := range records {
		records[i].Time = time.Time{}
		for name, v := range records[i].Values {
			if clockwork(name) || v != v { // NaN is not equal to itself
				delete(records[i].Values, name)
			}
		}
	}
	return records
}

// timelessResult reads result.json without what says when and where it was made.
func timelessResult(t testing.TB, dir string) map[string]any {
	t.Helper()
	r := readJSON(t, dir, run.ResultFile)
	for _, key := range []string{"seconds", "sittings", "resumed", "command"} {
		delete(r, key)
	}
	return r
}

func readJSON(t testing.TB, path ...string) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(get(t, path...), &v))
	return v
}

// replaceOnce replaces what occurs in a text exactly once.
func replaceOnce(t testing.TB, text []byte, old, new string) []byte {
	t.Helper()
	require.Equal(t, 1, strings.Count(string(text), old), "%q in %s", old, text)
	return []byte(strings.Replace(string(text), old, new, 1))
}
