package ggml

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

func TestDeviceNames(t *testing.T) {
	for _, name := range []DeviceName{"", "cpu", "cuda", "cuda:0", "cuda:12", "auto"} {
		require.NoError(t, name.Check(), name)
	}
	for _, name := range []DeviceName{"gpu", "CPU", "cuda:", "cuda:-1", "cuda:01", "cuda:x", "cuda:1000", "cuda 1",
		"cpu:0"} {
		_, err := OpenDevice(DeviceOptions{Name: name})
		require.ErrorContains(t, err, `there is no device called "`+string(name)+
			`": want cpu, cuda, cuda:N (the GPU number N) or auto`)
	}
}

func TestCPUDevice(t *testing.T) {
	for _, name := range []DeviceName{"", CPU} {
		d, err := OpenDevice(DeviceOptions{Name: name, Threads: 1})
		require.NoError(t, err)
		require.Equal(t, "cpu", d.Name())
		require.False(t, d.OnGPU())
		require.Empty(t, d.Fallback())
		require.NoError(t, d.Close())
	}
}

// What stands in the way of a GPU is an error that says what to do.
func TestCUDAIsRefused(t *testing.T) {
	library, fit := emulation(t, "libsteer-cuda.so"), emulation(t, "libcuda-fit.so")
	nowhere := filepath.Join(t.TempDir(), "libnothing.so")
	for _, c := range []struct {
		name     string
		device   DeviceName
		cuda     CUDAOptions
		contains []string
	}{
		{"no driver", CUDA, CUDAOptions{library, nowhere, false}, []string{"device cuda: no NVIDIA driver: ",
			"libnothing.so", "install driver 580 or newer, or use device cpu"}},
		{"not a driver", CUDA, CUDAOptions{library, library, false},
			[]string{"is not NVIDIA's driver: it has no cuInit"}},
		{"an old driver", CUDA, CUDAOptions{library, emulation(t, "libcuda-old.so"), false},
			[]string{"too old: it supports CUDA 12.4, 13.0 is needed", "580"}},
		{"no GPU", CUDA, CUDAOptions{library, emulation(t, "libcuda-empty.so"), false},
			[]string{"finds no GPU", "CUDA_VISIBLE_DEVICES"}},
		{"a broken driver", CUDA, CUDAOptions{library, emulation(t, "libcuda-broken.so"), false},
			[]string{"does not start: error 999 (emulated failure)"}},
		{"no library", CUDA, CUDAOptions{nowhere, fit, false},
			[]string{"the CUDA library is not built: run `make cuda`", nowhere}},
		{"a library that is none", CUDA, CUDAOptions{fit, fit, false},
			[]string{"libcuda-fit.so is not this program's CUDA library: it has no steer_cuda_entry"}},
		{"a library that does not load", CUDA, CUDAOptions{"cuda_device_test.go", fit, false},
			[]string{"the CUDA library does not load: ./cuda_device_test.go: invalid ELF header"}},
		{"a library of another version", CUDA, CUDAOptions{emulation(t, "libsteer-cuda-other.so"), fit, false},
			[]string{"is of another version (interface 5, ggml v9.9.9", "run `make cuda` again"}},
		{"no such GPU", "cuda:7", CUDAOptions{library, fit, false}, []string{"there is no device cuda:7; there are " +
			"cuda:0 (emulated GPU), cuda:1 (emulated GPU with 64 KiB)"}},
		{"an architecture there is no code for", "cuda:2", CUDAOptions{library, fit, false},
			[]string{"cuda:2 (emulated GPU of an old kind) is of architecture 75, the CUDA library has code for 80 " +
				"86 89 90 120: run `make cuda CUDA_ARCH=75`"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := DeviceOptions{Name: c.device, Threads: 1, CUDA: c.cuda}
			_, err := OpenDevice(opt)
			t.Log(err)
			for _, want := range c.contains {
				require.ErrorContains(t, err, want)
			}
			if c.device != CUDA {
				return
			}
			opt.Name = Auto
			d, err := OpenDevice(opt)
			require.NoError(t, err)
			require.Equal(t, "cpu", d.Name())
			require.Contains(t, d.Fallback(), c.contains[len(c.contains)-1], "the reason is not lost")
			require.NoError(t, d.Close())
		})
	}
}

func TestAutoTakesTheGPU(t *testing.T) {
	opt := emulatedGPU(t)
	opt.Name = Auto
	d, err := OpenDevice(opt)
	require.NoError(t, err)
	require.Equal(t, "cuda:0", d.Name())
	require.True(t, d.OnGPU())
	require.Empty(t, d.Fallback())
	require.Equal(t, "emulated GPU, sm_90", d.Kernel())
	require.NoError(t, d.Close())
}

// A model that does not fit says what it needs and what is there; the device lives on.
func TestGPUWithTooLittleMemory(t *testing.T) {
	opt := emulatedGPU(t)
	opt.Name = "cuda:1"
	d, err := OpenDevice(opt)
	require.NoError(t, err)
	_, err = LoadModel(d, tiny(t, tinyShape, gguftest.Options{}), ModelOptions{})
	t.Log(err)
	require.ErrorIs(t, err, lm.ErrOutOfMemory)
	require.ErrorContains(t, err, "do not fit on cuda:1, where 0 of 0 MB are free")

	small := gguftest.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 2, KVHeads: 1, Vocab: 8, Ctx: 64}
	m, err := LoadModel(d, tiny(t, small, gguftest.Options{}), ModelOptions{})
	require.NoError(t, err)
	s := step(t, m, StepOptions{Precision: F32})
	_, err = s.Forward(t.Context(), raggedBatch(1, small.Vocab, false, 60, 60, 60, 60, 60, 60), lm.Options{})
	t.Log(err)
	require.ErrorIs(t, err, lm.ErrOutOfMemory, "activations")
	forward(t, s, raggedBatch(1, small.Vocab, false, 5), lm.Options{})
	require.NoError(t, s.Close())
	require.NoError(t, m.Close())
	require.NoError(t, d.Close())
}

// The same program computes on CPU and GPU side by side; what belongs to one is
// refused by the other.
func TestDevicesSideBySide(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{})
	cpu, gpu := openTiny(t, path), openOn(t, emulatedGPU(t), path)
	a := live(t, cpu, randomAdapter(t, cpu, []string{"attn_q"}, 1, false), false)
	_, err := gpu.NewStep(StepOptions{Adapters: []*Adapter{a}})
	require.ErrorContains(t, err, "belongs to another model")
	require.True(t, gpu.Info().Tied)
	require.True(t, cpu.Info().Tied)
	require.False(t, strings.Contains(cpu.dev.Kernel(), "emulated"))
}

// The real library (make cuda) loads where there is no driver, finds no device, and the
// CPU goes on.
func TestCUDALibraryWithoutDriver(t *testing.T) {
	library := cudaLibrary(t)
	if _, err := os.Stat(library); err != nil {
		t.Skip("the CUDA library is not built: run make cuda")
	}
	if driver, _ := filepath.Glob("/dev/nvidia[0-9]*"); len(driver) > 0 {
		t.Skip("there is a GPU")
	}
	opt := DeviceOptions{Name: CUDA, Threads: 1, CUDA: CUDAOptions{Library: library,
		Driver: emulation(t, "libcuda-fit.so")}}
	_, err := OpenDevice(opt)
	if err != nil && strings.Contains(err.Error(), "is of another version") {
		t.Skip("the CUDA library is of another version: run make cuda")
	}
	t.Log(err)
	require.ErrorContains(t, err, "there is no device cuda:0; there is none: ")
	require.ErrorContains(t, err, "failed to initialize CUDA")
	opt.Name = Auto
	m := openOn(t, opt, tiny(t, tinyShape, gguftest.Options{}))
	require.Equal(t, "cpu", m.dev.Name())
	forward(t, step(t, m, StepOptions{}), raggedBatch(1, tinyShape.Vocab, false, 5), lm.Options{})
}

// A wrong architecture is refused, with the right ones, before anything is fetched or built.
func TestCUDAArchitectures(t *testing.T) {
	arch := func(list string) (string, error) {
		out, err := exec.Command("../cmake/cuda_arch.sh", list).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	out, err := arch("80;86;120")
	require.NoError(t, err)
	require.Equal(t, "80-real;86-real;120-real", out)
	for list, want := range map[string]string{
		"42": `no architecture "42"`, "80;sm_90": `no architecture "sm_90"`, "9.0": `no architecture "9.0"`,
		"": "CUDA_ARCH is empty",
	} {
		out, err := arch(list)
		require.Error(t, err, list)
		require.Contains(t, out, want)
		require.Contains(t, out, "75 80 86 87 88 89 90 100 103 110 120 121")
	}
}
