package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/ggml/lm"
	"steer/rl/train"
)

// notes keeps what a stage says.
type notes struct {
	train.Quiet
	said []string
}

func (n *notes) Note(text string) { n.said = append(n.said, text) }

// gpuSFT is a small job on the emulated GPU.
func gpuSFT(t testing.TB) *SFT {
	t.Helper()
	library := func(name string) string {
		path, err := filepath.Abs(filepath.Join("../../../build/cuda-emulation", name))
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

func console(n *notes, limit MemoryLimit) Console {
	return Console{Progress: n, Stopper: train.NewStopper(), Out: io.Discard, Memory: limit}
}

// A stage on a GPU is planned in the GPU's memory and in the host's, obtains the former before
// it computes, and stays within 5 % of it.
func TestPlanOfAStageOnAGPU(t *testing.T) {
	j := gpuSFT(t)
	b := openDemo(t, j)
	n := &notes{}
	ctx := context.Background()
	p, err := Guard(ctx, b, j, "sft", console(n, MemoryLimit{}))
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
	for _, name := range []string{BufferWeights, BufferParams, BufferGradients, BufferMoments, BufferActivations, BufferScratch, BufferEmbedding, BufferProgram, BufferData} {
		require.Greater(t, p.Bytes(name), int64(0), name)
	}
	require.Greater(t, p.OtherPeak, p.Peak)
	require.Regexp(t, `^sft: needs .* of cuda:0, 4.3 GB are free; .* of the host's memory, .* are free$`, n.said[0])

	require.NoError(t, j.Run(ctx, b, console(n, MemoryLimit{}), "sft", t.TempDir(), false))
	p.Compare(b, console(n, MemoryLimit{}))
	require.NotContains(t, strings.Join(n.said, "\n"), "its plan said")
	mem, err := b.DeviceMemory()
	require.NoError(t, err)
	t.Logf("planned %d, took %d", p.Peak, mem.Most)
	require.InEpsilon(t, mem.Most, p.Peak, planTolerance)

	p.Peak = mem.Most * 9 / 10
	p.Compare(b, console(n, MemoryLimit{}))
	require.Regexp(t, `warning: sft took .* of cuda:0, its plan said .*`, n.said[len(n.said)-1])
}

// What does not fit on the card is refused with what is needed, what is free and what would
// fit; forced, it fails before it has computed anything.
func TestGPUStageThatDoesNotFit(t *testing.T) {
	j := gpuSFT(t)
	j.MicroBatchTokens = 4096
	j.Train.Limit, j.MiniBatchSize = 40, 40
	ctx := context.Background()
	b := openDemo(t, j)
	whole, err := NewPlanner(b).Plan(ctx, j, "sft")
	require.NoError(t, err)
	require.NoError(t, b.Close())
	card := whole.Peak - whole.Bytes(BufferActivations)/2
	t.Setenv("STEER_EMULATED_GPU_BYTES", fmt.Sprint(card))

	b = openDemo(t, j)
	n := &notes{}
	_, err = Guard(ctx, b, j, "sft", console(n, MemoryLimit{}))
	t.Log(err)
	require.ErrorIs(t, err, ErrDoesNotFit)
	require.Regexp(t, fmt.Sprintf(`sft needs .* \(%d bytes\) of cuda:0, .* \(%d bytes\) are free: it does not fit`, whole.Peak, card), err)
	require.Regexp(t, `With --set micro_batch_tokens=\d+ it needs .* --force`, err)

	dir := filepath.Join(t.TempDir(), "out")
	forced := console(n, MemoryLimit{Force: true})
	p, err := Guard(ctx, b, j, "sft", forced)
	require.NoError(t, err)
	defer p.Compare(b, forced)
	require.Contains(t, strings.Join(n.said, "\n"), "run because of --force")
	err = j.Run(ctx, b, forced, "sft", dir, false)
	t.Log(err)
	require.ErrorIs(t, err, lm.ErrOutOfMemory)
	require.ErrorContains(t, err, "reserving memory: out of memory")
}

// --memory bounds the GPU's memory; the host's is bounded by what is free of it.
func TestLimitsOnAGPU(t *testing.T) {
	b := openDemo(t, gpuSFT(t))
	memory, host, err := limits(b, MemoryLimit{Bytes: 123})
	require.NoError(t, err)
	require.Equal(t, int64(123), memory)
	require.Greater(t, host, int64(123))
	p := &StagePlan{Stage: "x", Memory: "cuda:0", Peak: 5, HostPeak: 70}
	for _, c := range []struct {
		free, hostFree int64
		says           string
	}{
		{0, 0, ""}, {5, 70, ""}, {4, 0, "x needs 5 bytes (5 bytes) of cuda:0, 4 bytes (4 bytes) are free: it does not fit"},
		{9, 60, "x needs 70 bytes (70 bytes) of the host's memory, 60 bytes (60 bytes) are free: it does not fit"},
		{4, 60, "x needs 5 bytes (5 bytes) of cuda:0, 4 bytes (4 bytes) are free; 70 bytes (70 bytes) of the host's memory, 60 bytes (60 bytes) are free: it does not fit"},
	} {
		p.Free, p.HostFree, p.Fits = c.free, c.hostFree, p.fits(c.free, c.hostFree)
		if c.says == "" {
			require.NoError(t, p.Refusal())
		} else {
			require.ErrorContains(t, p.Refusal(), c.says)
		}
	}
}
