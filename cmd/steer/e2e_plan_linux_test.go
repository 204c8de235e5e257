package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/plan"
	"steer/ggml/gguf/gguftest"
	"steer/internal/bytesize"
	"steer/internal/testfiles"
)

// midShape is a model beside which the program itself does not count for everything.
var midShape = gguftest.Shape{Layers: 8, Embd: 256, FF: 512, Heads: 4, KVHeads: 2, Vocab: 8000, Ctx: 1024}

// mostRSS watches a process to its end and gives the high-water mark of its resident
// set, in bytes. (The one that wait4 reports counts the process that started it, too.)
func (p *process) mostRSS() (most int64) {
	p.until(func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if _, rest, ok := strings.Cut(string(status), "VmHWM:"); err == nil && ok {
			var kilobytes int64
			if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
				most = max(most, kilobytes<<10)
			}
		}
		return false
	})
	return most
}

// planned asks the program for the plan of a job.
func planned(t testing.TB, dir string, args ...string) *plan.Stage {
	t.Helper()
	out, _ := mustSteer(t, dir, append([]string{"plan", "--json", "--no-calibration"}, args...)...)
	var f plan.Forecast
	require.NoError(t, json.Unmarshal([]byte(out), &f))
	require.Len(t, f.Stages, 1)
	return f.Stages[0]
}

// planTolerance is how far a plan may be from what a run takes.
const planTolerance = 0.05

// planTries is how often a run is measured. When Go's collector runs depends on what else
// the machine does, which moves the peak of these small processes by some megabytes; a plan
// that is wrong is wrong every time.
const planTries = 3

// requirePlan runs a job in a process of its own and compares its peak with the plan's.
func requirePlan(t *testing.T, dir, kind, file string, more ...string) {
	t.Helper()
	p := planned(t, dir, append([]string{"--job", kind, file}, more...)...)
	for try := 1; ; try++ {
		most, said := peakOf(t, dir, p, append([]string{kind, file, "-o", "out", "--fresh"}, more...)...)
		off := math.Abs(float64(p.Peak)/float64(most) - 1)
		if try < planTries && (off > planTolerance || strings.Contains(said, "its plan said")) {
			continue
		}
		require.LessOrEqual(t, off, planTolerance, said)
		require.NotContains(t, said, "its plan said")
		require.Contains(t, said, "of memory")
		return
	}
}

// peakOf runs a job and returns the peak of its resident set and what it said.
func peakOf(t *testing.T, dir string, p *plan.Stage, args ...string) (most int64, said string) {
	t.Helper()
	run := start(t, dir, args...)
	most = run.mostRSS()
	code, _ := run.wait()
	require.Zero(t, code, run.err.String())
	var parts []string
	for _, b := range p.Buffers {
		parts = append(parts, fmt.Sprintf("%s %s", b.Name, bytesize.Text(b.Bytes)))
	}
	t.Logf("planned %s, took %s (%+.1f %%): %s", bytesize.Text(p.Peak), bytesize.Text(most),
		100*(float64(p.Peak)/float64(most)-1), strings.Join(parts, ", "))
	return most, run.err.String()
}

// tokenRows writes rows of token ids of up to n tokens.
func tokenRows(t testing.TB, path string, rows, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	var b strings.Builder
	ids := func(n int) string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprint(rng.IntN(midShape.Vocab))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	for range rows {
		fmt.Fprintf(&b, "{\"ids\": %s}\n", ids(n/2+rng.IntN(n/2+1)))
	}
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o666))
}

// The plan of a training stage is within 5 % of what the run takes, over context, batch,
// rank, checkpointing, packing and threads.
func TestPlanAgainstTraining(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t,
		gguftest.WriteTinyLlama(filepath.Join(dir, "mid.gguf"), midShape, 1, gguftest.Options{F16: true}))
	put(t, dir, "sft.yaml", `
model: mid.gguf
engine: {threads: 1}
seed: 7
train: {path: rows.jsonl}
pack: none
overlong: truncate
max_steps: 2
checkpoint_every: 1
optim: {warmup_steps: 1}
`)
	for _, c := range []struct {
		name           string
		length, tokens int
		set            []string
	}{
		{"short sequences", 64, 512, nil},
		{"middling sequences", 256, 1024, nil},
		{"long sequences", 512, 2048, nil},
		{"the whole context", 1024, 4096, nil},
		{"a high rank", 256, 1024, []string{"lora.rank=128"}},
		{"activations kept", 256, 1024, []string{"engine.keep_activations=true"}},
		{"activations kept, long sequences", 768, 3072, []string{"engine.keep_activations=true", "lora.rank=32"}},
		{"two threads", 256, 1024, []string{"engine.threads=2"}},
		{"f32", 256, 1024, []string{"engine.precision=f32"}},
		{"packed, with dropout", 256, 2048, []string{"pack=isolated", "lora.dropout=0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokenRows(t, filepath.Join(dir, "rows.jsonl"), 2*c.tokens/c.length, c.length)
			args := []string{"--set", fmt.Sprintf("max_tokens=%d", c.length), "--set",
				fmt.Sprintf("micro_batch_tokens=%d", c.tokens),
				"--set", fmt.Sprintf("mini_batch_size=%d", 2*c.tokens/c.length)}
			for _, s := range c.set {
				args = append(args, "--set", s)
			}
			requirePlan(t, dir, "sft", "sft.yaml", args...)
		})
	}
}

// So are the plans of the other stages, sessions and reward models among them.
func TestPlanAgainstOtherStages(t *testing.T) {
	dir := jobFolder(t)
	wide := []string{"engine.sequences=32", "rollout_batch_size=32", "mini_batch_size=16", "micro_batch_size=16",
		"iterations=2", "prompts.limit=0"}
	for _, c := range []struct {
		name, kind string
		set        []string
	}{
		{"reward", "reward", []string{"max_length=128", "mini_batch_size=32", "micro_batch_tokens=2048",
			"train.limit=64", "max_steps=2"}},
		{"ppo", "ppo", append(slices.Clone(wide), "max_new_tokens=24")},
		{"ppo, long responses and full KL", "ppo", append(slices.Clone(wide), "max_new_tokens=80", "kl_penalty=full")},
		{"grpo, groups that share their prompts", "grpo", []string{"engine.sequences=32", "prompts_per_iteration=8",
			"num_generations=8", "mini_batch_size=16", "micro_batch_size=16", "iterations=2", "prompts.limit=0",
			"max_new_tokens=40"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var args []string
			for _, s := range c.set {
				args = append(args, "--set", s)
			}
			requirePlan(t, dir, c.kind, c.kind+".yaml", args...)
		})
	}
}

// An evaluation of two policies under a reward model, sessions and all.
func TestPlanAgainstEvaluation(t *testing.T) {
	dir, up := jobFolder(t), unbrokenRuns(t)
	_, assets := e2e(t)
	put(t, dir, "eval.yaml", strings.NewReplacer("ASSETS", assets.Dir, "UP", up).Replace(`
model: ASSETS/model.gguf
engine: {threads: 1, sequences: 32}
template: guanaco
subjects:
  - {name: sft, role: sft, adapters: [UP/sft/adapter.gguf]}
rewards:
  - {name: deontology, below: [UP/sft/adapter.gguf], adapter: UP/reward/adapter.gguf}
batch_tokens: 2048
resamples: 200
toxigen: {path: ASSETS/data/toxigen/annotated_test.csv, limit: 60}
cross_reward:
  prompts: {path: ASSETS/data/guanaco/openassistant_best_replies_eval.jsonl}
  max_new_tokens: 24
  batch: 32
`))
	requirePlan(t, dir, "eval", "eval.yaml")
}

// The real model, where it is.
func TestPlanAgainstRealModel(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "sft.yaml", "model: "+testfiles.Model(t)+`
seed: 7
train: {path: rows.jsonl}
pack: none
overlong: truncate
max_tokens: 128
mini_batch_size: 4
micro_batch_tokens: 512
max_steps: 1
optim: {warmup_steps: 0}
`)
	tokenRows(t, filepath.Join(dir, "rows.jsonl"), 4, 128)
	requirePlan(t, dir, "sft", "sft.yaml")
}
