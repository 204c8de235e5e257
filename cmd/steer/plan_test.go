package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/app/plan"
	"steer/ggml/gguf/gguftest"
	"steer/rl/run"
)

// planJob writes a small model, rows of token ids and the job of an SFT stage on them.
func planJob(t testing.TB) (dir, job string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, gguftest.WriteTinyLlama(filepath.Join(dir, "tiny.gguf"),
		gguftest.Shape{Layers: 4, Embd: 64, FF: 96, Heads: 4, KVHeads: 2, Vocab: 300, Ctx: 128}, 1, gguftest.Options{}))
	var rows strings.Builder
	for i := range 12 {
		ids := make([]string, 20+5*i)
		for j := range ids {
			ids[j] = fmt.Sprint((i*31 + j*7) % 300)
		}
		fmt.Fprintf(&rows, "{\"ids\": [%s]}\n", strings.Join(ids, ","))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(rows.String()), 0o666))
	job = filepath.Join(dir, "sft.yaml")
	require.NoError(t, os.WriteFile(job, []byte(`
model: tiny.gguf
engine: {threads: 1}
train: {path: rows.jsonl}
lora: {rank: 4, alpha: 8}
pack: none
max_tokens: 128
mini_batch_size: 4
micro_batch_tokens: 256
max_steps: 5
optim: {warmup_steps: 1}
`), 0o666))
	return dir, job
}

func forecastOf(t testing.TB, args ...string) *plan.Forecast {
	t.Helper()
	var f plan.Forecast
	require.NoError(t, json.Unmarshal([]byte(succeed(t, "", append([]string{"plan", "--json"}, args...)...)), &f))
	return &f
}

// What can be counted by hand.
func TestPlanCounts(t *testing.T) {
	_, job := planJob(t)
	f := forecastOf(t, "--no-calibration", "--job", "sft", job)
	require.Len(t, f.Stages, 1)
	require.Nil(t, f.Rates)
	p := f.Stages[0]
	// 4 layers of q, k, v, o, gate, up, down with rank 4.
	params := int64(4 * 4 * ((64 + 64) + 2*(64+32) + (64 + 64) + 2*(64+96) + (96 + 64)))
	require.Equal(t, 4*params, p.Bytes(plan.BufferParams))
	require.Equal(t, 4*params, p.Bytes(plan.BufferGradients))
	require.Equal(t, 8*params, p.Bytes(plan.BufferMoments))
	require.Zero(t, p.Bytes(plan.BufferKV))
	require.Equal(t, 75, p.Longest)
	require.LessOrEqual(t, p.LargestBatch, 256)
	require.Greater(t, p.LargestBatch, 128)
	require.Equal(t, int64(5), p.Tokens.Updates)
	// 12 rows of 20, 25, ... 75 tokens, 20 places of which 8 are of the second epoch.
	require.Greater(t, p.Tokens.Train, int64(570))
	require.Less(t, p.Tokens.Train, int64(2*570))
	var sum int64
	for _, b := range p.Buffers {
		sum += b.Bytes
	}
	require.Equal(t, p.Peak, sum)
	require.Equal(t, f.Peak, p.Peak)

	// More of anything takes more.
	activations := func(set ...string) int64 {
		args := []string{"--no-calibration", "--job", "sft", job}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		return forecastOf(t, args...).Stages[0].Bytes(plan.BufferActivations)
	}
	base := activations()
	require.Equal(t, base, p.Bytes(plan.BufferActivations))
	require.Less(t, activations("micro_batch_tokens=1"), base)
	require.Less(t, activations("max_tokens=40"), base)
	require.Greater(t, activations("lora.rank=64"), base)
	require.Greater(t, activations("engine.keep_activations=true"), base)
}

// A short trial gives rates, and with them times.
func TestPlanTimes(t *testing.T) {
	_, job := planJob(t)
	f := forecastOf(t, "--job", "sft", job)
	require.Greater(t, f.Rates.Train, 0.0)
	require.InEpsilon(t, float64(f.Stages[0].Tokens.Train)/f.Rates.Train, f.Seconds, 1e-9)
	out := succeed(t, "", "plan", "--job", "sft", job)
	require.Contains(t, out, "under a minute")
	require.Contains(t, out, "tokens a second")
	for seconds, want := range map[float64]string{
		3: "under a minute", 61: "about 1 minute", 250: "about 4 minutes", 1234: "about 21 minutes",
		3500: "about 1 hour",
		5400: "about 1.5 hours", 7300: "about 2 hours", 50000: "about 14 hours", 400000: "about 5 days",
	} {
		require.Equal(t, want, durationText(seconds))
	}
}

// What does not fit is refused, with what is needed, what is free and what would fit.
// A plan says how exact it is where the program itself is most of it, that the machine was busy
// when its times were measured, and what the model's file lacks.
func TestPlanSaysWhatItIsWorth(t *testing.T) {
	print := func(peak int64, others float64, warnings ...string) string {
		var out strings.Builder
		require.NoError(t, printForecast(&out, &plan.Forecast{
			Memory: plan.HostMemory, Device: "cpu", Fits: true, Peak: peak, Others: others,
			Rates: &plan.Rates{Train: 100}, Warnings: warnings,
			Stages: []*plan.Stage{{Stage: "sft", Memory: plan.HostMemory, Peak: peak, Fits: true}},
		}, false))
		return strings.Join(strings.Fields(out.String()), " ")
	}
	small, large := print(60e6, 0), print(900e6, 0)
	require.Contains(t, small, "Of a stage below 160 MB the plan is right to some 8 MB, not to 5 %")
	require.NotContains(t, large, "right to some")
	require.NotContains(t, large, "busy")
	require.Contains(t, print(900e6, .62),
		"busy other programs took 62 % of the CPUs meanwhile: speed and times are of a busy machine")
	require.Contains(t, print(900e6, 0, "the file names no EOS"), "warning: the file names no EOS")
}

func TestPlanRefuses(t *testing.T) {
	dir, job := planJob(t)
	code, out, errs := command(t, "", "plan", "--no-calibration", "--job", "sft", job, "--memory", "1MB")
	require.Equal(t, exitFailure, code)
	require.Contains(t, out, "does not fit")
	require.Regexp(t, `sft needs .* \(\d+ bytes\), 1.0 MB \(1000000 bytes\) are free: it does not fit`, errs)
	require.Contains(t, errs, "--force")
	require.Contains(t, errs, "No smaller batch helps")
	code, out, errs = command(t, "", "plan", "--no-calibration", "--job", "sft", job, "--memory", "1MB", "--force")
	require.Zero(t, code, errs)
	require.Contains(t, out, "does not fit")

	// Just too little: smaller batches are suggested, and they do fit.
	args := []string{"--no-calibration", "--job", "sft", job, "--set", "micro_batch_tokens=4096", "--set",
		"mini_batch_size=96", "--set", "max_steps=2"}
	whole := forecastOf(t, args...).Stages[0]
	limit := fmt.Sprint(whole.Peak - whole.Bytes(plan.BufferActivations)/2)
	code, _, errs = command(t, "", append([]string{"plan", "--memory", limit}, args...)...)
	require.Equal(t, exitFailure, code)
	require.Regexp(t, `With --set micro_batch_tokens=\d+ it needs`, errs)

	// The stage itself refuses too, before anything is written.
	folder := filepath.Join(dir, "out")
	code, out, errs = command(t, "", "sft", job, "-o", folder, "--memory", "1MB")
	require.Equal(t, exitFailure, code)
	require.Empty(t, out)
	require.Contains(t, errs, "it does not fit")
	require.NoDirExists(t, folder)
	code, _, errs = command(t, "", "sft", job, "-o", folder, "--memory", "1MB", "--force")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "run because of --force")
	require.FileExists(t, filepath.Join(folder, run.ResultFile))
}

func TestPlanFailures(t *testing.T) {
	dir, job := planJob(t)
	none := filepath.Join(dir, "none.yaml")
	for _, f := range []failure{
		{args: []string{"plan", "--memory", "0", job}, code: exitUsage, says: []string{"more than nothing"}},
		{args: []string{"plan", "--memory", "24 apples", job}, code: exitUsage, says: []string{"a size such as"}},
		{args: []string{"plan", "--memory", "-3GB", job}, code: exitUsage, says: []string{"a size such as"}},
		{args: []string{"plan", "--device", "tpu", job}, code: exitUsage,
			says: []string{`--device: there is no device called "tpu": want cpu, cuda, cuda:N`}},
		{args: []string{"plan", "--job", "pretraining", job}, code: exitUsage,
			says: []string{"--job: want one of sft, reward, ppo, grpo, dpo, judge, eval"}},
		{args: []string{"plan", none}, code: exitFailure, says: []string{"no such file"}},
		{args: []string{"plan"}, code: exitUsage, says: []string{"accepts 1 arg"}},
		{args: []string{"plan", job}, code: exitUsage, says: []string{"--job"}},
		{args: []string{"plan", "--job", "sft", job, "--set", "train.path=gone.jsonl"}, code: exitFailure,
			says: []string{"gone.jsonl"}},
		{args: []string{"plan", "--job", "sft", job, "--set", "model=gone.gguf"}, code: exitFailure,
			says: []string{"gone.gguf"}},
		{args: []string{"plan", "--job", "sft", job, "--set", "max_tokens=1"}, code: exitUsage,
			says: []string{"max_tokens"}},
		{args: []string{"sft", job, "--memory", "0"}, code: exitUsage, says: []string{"more than nothing"}},
	} {
		f.name = strings.Join(f.args, " ")
		f.run(t)
	}
	// Sequences longer than the context are cut as the stage cuts them.
	f := forecastOf(t, "--no-calibration", "--job", "sft", job, "--set", "max_tokens=4000", "--set", "pack=run_on",
		"--set", "overlong=truncate")
	require.Equal(t, 128, f.Stages[0].Longest)
}

// An experiment is planned before any of its stages has run: adapters that are not
// there yet are taken as configured. The table fits a terminal.
func TestPlanOfAnExperiment(t *testing.T) {
	assets := demoModel(t)
	raw, err := os.ReadFile("../../experiments/demo.yaml")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "demo.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(raw), "../demo/assets", assets.Dir)), 0o666))
	args := []string{"plan", "--no-calibration", file, "--set", "sft.epochs=1", "--set", "ppo.iterations=2"}
	out := succeed(t, "", args...)
	t.Log("\n" + out)
	for _, stage := range []string{"sft", "reward-virtue", "ppo-harmlessness", "eval", "Peak"} {
		require.Contains(t, out, stage)
	}
	for _, details := range []bool{false, true} {
		if details {
			out = succeed(t, "", append(args, "--details")...)
			t.Log("\n" + out)
		}
		for _, line := range strings.Split(out, "\n") {
			require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
		}
	}
}
