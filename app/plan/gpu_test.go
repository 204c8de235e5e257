package plan

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/app/workspace/workspacetest"
	"steer/ggml"
	"steer/ggml/lm"
	"steer/internal/machine"
	"steer/rl/train"
)

// notes keeps what a stage says.
// gpuSFT is a small job on the emulated GPU.
func gpuSFT(t testing.TB) *jobs.SFT {
	t.Helper()
	library := func(name string) string {
		path, err := filepath.Abs(filepath.Join("../../build/cuda-emulation", name))
		require.NoError(t, err)
		if _, err := os.Stat(path); err != nil {
			t.Skip("the emulated GPU is not built: run make cuda-emulation")
		}
		return path
	}
	j, _ := demoSFT(t)
	j.Engine.Device = ggml.CUDA
	j.Engine.CUDA = ggml.CUDAOptions{Library: library("libsteer-cuda.so"), Driver: library("libcuda-fit.so")}
	j.Train.Limit, j.Eval.Limit = 4, 1
	j.MaxTokens, j.MiniBatchSize, j.MicroBatchTokens, j.MaxSteps = 48, 4, 96, 1
	j.Optim.WarmupSteps = 0
	return j
}

func console(n *workspacetest.Notes, limit machine.MemoryLimit) jobs.Console {
	return jobs.Console{Progress: n, Stopper: train.NewStopper(), Out: io.Discard, Memory: limit}
}

// A stage on a GPU is planned in the GPU's memory and in the host's, obtains the former before
// it computes, and stays within 5 % of it.
func TestPlanOfAStageOnAGPU(t *testing.T) {
	j := gpuSFT(t)
	w := workspacetest.Open(t, j.Base)
	n := &workspacetest.Notes{}
	ctx := context.Background()
	p, err := Guard(ctx, w, j, "sft", console(n, machine.MemoryLimit{}))
	require.NoError(t, err)
	require.Equal(t, "cuda:0", p.Memory)
	sums := map[string]int64{}
	for _, x := range p.Buffers {
		sums[x.Memory] += x.Bytes
		t.Logf("%s: %s %d (%s)", x.Memory, x.Name, x.Bytes, x.What)
	}
	require.Equal(t, map[string]int64{"cuda:0": p.Peak, HostMemory: p.HostPeak}, sums)
	require.Equal(t, int64(4<<30), p.Free, "of the card")
	require.Greater(t, p.HostFree, p.HostPeak)
	for _, name := range []string{BufferWeights, BufferParams, BufferGradients, BufferMoments, BufferActivations,
		BufferScratch, BufferEmbedding, BufferProgram, BufferData} {
		require.Greater(t, p.Bytes(name), int64(0), name)
	}
	require.Greater(t, p.OtherPeak, p.Peak)
	require.Regexp(t, `^sft: needs .* of cuda:0, 4.3 GB are free; .* of the host's memory, .* are free$`, n.Said[0])

	require.NoError(t, j.Run(ctx, w, console(n, machine.MemoryLimit{}), "sft", t.TempDir(), false))
	p.Compare(w, console(n, machine.MemoryLimit{}))
	require.NotContains(t, strings.Join(n.Said, "\n"), "its plan said")
	mem, err := w.DeviceMemory()
	require.NoError(t, err)
	t.Logf("planned %d, took %d", p.Peak, mem.Most)
	require.InEpsilon(t, mem.Most, p.Peak, planTolerance)

	p.Peak = mem.Most * 9 / 10
	p.Compare(w, console(n, machine.MemoryLimit{}))
	require.Regexp(t, `warning: sft took .* of cuda:0, its plan said .*`, n.Said[len(n.Said)-1])
}

// What does not fit on the card is refused with what is needed, what is free and what would
// fit; forced, it fails before it has computed anything.
func TestGPUStageThatDoesNotFit(t *testing.T) {
	j := gpuSFT(t)
	j.MicroBatchTokens = 4096
	j.Train.Limit, j.MiniBatchSize = 40, 40
	ctx := context.Background()
	w := workspacetest.Open(t, j.Base)
	whole, err := NewPlanner(w).Plan(ctx, j, "sft")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	card := whole.Peak - whole.Bytes(BufferActivations)/2
	t.Setenv("STEER_EMULATED_GPU_BYTES", fmt.Sprint(card))

	w = workspacetest.Open(t, j.Base)
	n := &workspacetest.Notes{}
	_, err = Guard(ctx, w, j, "sft", console(n, machine.MemoryLimit{}))
	t.Log(err)
	require.ErrorIs(t, err, ErrDoesNotFit)
	require.Regexp(t, fmt.Sprintf(`sft needs .* \(%d bytes\) of cuda:0, .* \(%d bytes\) are free: it does not fit`,
		whole.Peak, card), err)
	require.Regexp(t, `With --set micro_batch_tokens=\d+ it needs .* --force`, err)

	dir := filepath.Join(t.TempDir(), "out")
	forced := console(n, machine.MemoryLimit{Force: true})
	p, err := Guard(ctx, w, j, "sft", forced)
	require.NoError(t, err)
	defer p.Compare(w, forced)
	require.Contains(t, strings.Join(n.Said, "\n"), "run because of --force")
	err = j.Run(ctx, w, forced, "sft", dir, false)
	t.Log(err)
	require.ErrorIs(t, err, lm.ErrOutOfMemory)
	require.ErrorContains(t, err, "reserving memory: out of memory")
}

// --memory bounds the GPU's memory; the host's is bounded by what is free of it.
func TestLimitsOnAGPU(t *testing.T) {
	w := workspacetest.Open(t, gpuSFT(t).Base)
	memory, host, err := limits(w, machine.MemoryLimit{Bytes: 123})
	require.NoError(t, err)
	require.Equal(t, int64(123), memory)
	require.Greater(t, host, int64(123))
	p := &Stage{Stage: "x", Memory: "cuda:0", Peak: 5, HostPeak: 70}
	for _, c := range []struct {
		free, hostFree int64
		says           string
	}{
		{0, 0, ""}, {5, 70, ""},
		{4, 0, "x needs 5 bytes (5 bytes) of cuda:0, 4 bytes (4 bytes) are free: it does not fit"},
		{9, 60, "x needs 70 bytes (70 bytes) of the host's memory, 60 bytes (60 bytes) are free: it does not fit"},
		{4, 60, "x needs 5 bytes (5 bytes) of cuda:0, 4 bytes (4 bytes) are free; 70 bytes (70 bytes) of the host's " +
			"memory, 60 bytes (60 bytes) are free: it does not fit"},
	} {
		p.Free, p.HostFree, p.Fits = c.free, c.hostFree, p.fits(c.free, c.hostFree)
		if c.says == "" {
			require.NoError(t, p.Refusal())
		} else {
			require.ErrorContains(t, p.Refusal(), c.says)
		}
	}
}
