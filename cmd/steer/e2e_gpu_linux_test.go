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
)

// emulatedGPU lets processes started in dir find the emulated GPU as they would a real one:
// the driver where the system's libraries are, the CUDA library below the working folder.
func emulatedGPU(t testing.TB, dir string) {
	t.Helper()
	for link, file := range map[string]string{"build/cuda/libsteer-cuda.so": "libsteer-cuda.so",
		"libcuda.so.1": "libcuda-fit.so"} {
		path, err := filepath.Abs(filepath.Join("../../build/cuda-emulation", file))
		require.NoError(t, err)
		if _, err := os.Stat(path); err != nil {
			t.Skip("the emulated GPU is not built: run make cuda-emulation")
		}
		link = filepath.Join(dir, link)
		require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o777))
		require.NoError(t, os.Symlink(path, link))
	}
	t.Setenv("LD_LIBRARY_PATH", dir)
}

// steer plan --device cuda, and what a stage on the GPU does with its plan.
func TestPlanOnAGPU(t *testing.T) {
	dir, job := planJob(t)
	emulatedGPU(t, dir)
	small := []string{"--job", "sft", job, "--device", "cuda", "--set", "max_tokens=40", "--set", "mini_batch_size=2",
		"--set", "micro_batch_tokens=64", "--set", "max_steps=1"}
	command := append([]string{"plan", "--no-calibration"}, small...)
	out, _ := mustSteer(t, dir, append(command, "--json")...)
	var f plan.Forecast
	require.NoError(t, json.Unmarshal([]byte(out), &f))
	require.Equal(t, "cuda:0", f.Device)
	require.Equal(t, "cuda:0", f.Memory)
	require.Equal(t, int64(4<<30), f.Free)
	p := f.Stages[0]
	require.Equal(t, f.Peak, p.Peak)
	require.Equal(t, f.HostPeak, p.HostPeak)
	sums := map[string]int64{}
	for _, b := range p.Buffers {
		sums[b.Memory] += b.Bytes
	}
	require.Equal(t, map[string]int64{"cuda:0": p.Peak, "host": p.HostPeak}, sums)

	table, _ := mustSteer(t, dir, command...) // one stage: every buffer of it
	t.Log("\n" + table)
	require.Contains(t, table, "cuda:0, emulated GPU, sm_90")
	require.Regexp(t, `4.3 GB of cuda:0, .* of the host's may be taken`, table)
	require.Regexp(t, `Peak .* of cuda:0, .* of the host's memory\.`, table)
	for _, line := range strings.Split(table, "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
	}

	// --memory bounds the GPU's memory.
	code, _, errs := steerIn(t, dir, append(command, "--memory", "1MB")...)
	require.Equal(t, exitFailure, code)
	require.Regexp(t, `needs .* \(\d+ bytes\) of cuda:0, 1.0 MB \(1000000 bytes\) are free: it does not fit`, errs)

	// The stage refuses, too; forced on a card that is too small it fails with what was missing.
	stage := append([]string{"sft", job, "-o", "out"}, small[3:]...)
	t.Setenv("STEER_EMULATED_GPU_BYTES", fmt.Sprint(p.Peak-p.Bytes(plan.BufferActivations)/2))
	code, _, errs = steerIn(t, dir, stage...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, errs, "of cuda:0")
	require.Contains(t, errs, "it does not fit")
	require.NoDirExists(t, filepath.Join(dir, "out"))
	code, _, errs = steerIn(t, dir, append(stage, "--force")...)
	require.Equal(t, exitFailure, code)
	require.Regexp(t, `out of memory .*no room for [^:]*: \d+ bytes; of the \d+ bytes of cuda:0 \d+ are free`, errs)

	// With room enough it runs within its plan.
	t.Setenv("STEER_EMULATED_GPU_BYTES", fmt.Sprint(p.Peak*105/100))
	_, errs = mustSteer(t, dir, append(stage, "--fresh")...)
	require.Contains(t, errs, "of cuda:0")
	require.NotContains(t, errs, "its plan said")
}

// The table of all stages fits a terminal, too.
func TestPlanTableOfAGPU(t *testing.T) {
	const gpu = "cuda:0"
	stage := func(name string) *plan.Stage {
		return &plan.Stage{Stage: name, Memory: gpu, Peak: 15_300_000_000, HostPeak: 2_100_000_000, Seconds: 5400,
			Free: 80e9, HostFree: 100e9, Fits: true, Buffers: []plan.Buffer{
				{Name: plan.BufferWeights, Memory: gpu, Bytes: 7_900_000_000},
				{Name: plan.BufferParams, Memory: gpu, Bytes: 250_000_000},
				{Name: plan.BufferActivations, Memory: gpu, Bytes: 4_200_000_000},
				{Name: plan.BufferContext, Memory: gpu, Bytes: 500_000_000},
				{Name: plan.BufferWorkspaces, Memory: gpu, Bytes: 150_000_000},
				{Name: plan.BufferKV, Memory: gpu, Bytes: 2_300_000_000},
				{Name: plan.BufferTables, Memory: plan.HostMemory, Bytes: 100_000_000},
				{Name: plan.BufferData, Memory: plan.HostMemory, Bytes: 2_000_000_000},
			}}
	}
	f := &plan.Forecast{Model: "m.gguf", Device: gpu, Kernel: "NVIDIA H100 80GB HBM3, sm_90", Memory: gpu, Free: 80e9,
		HostFree: 100e9, Peak: 15.3e9, HostPeak: 2.1e9, Fits: true,
		Seconds: 1e4, Rates: &plan.Rates{Train: 1}, Stages: []*plan.Stage{stage("ppo-harmlessness"), stage("eval")}}
	var b strings.Builder
	require.NoError(t, printForecast(&b, f, false))
	t.Log("\n" + b.String())
	require.Regexp(t, `stage +host +adapters +graph +decoding +PEAK +time`, b.String())
	require.Regexp(t, `ppo-harmlessness +2.1 GB +250 MB +4.2 GB +2.3 GB +15 GB +about 1.5 hours`, b.String())
	require.Contains(t, b.String(), "context and workspaces (up to 650 MB)")
	for _, line := range strings.Split(b.String(), "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
	}
}
