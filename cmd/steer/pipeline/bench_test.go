package pipeline

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/ggml/gguf/gguftest"
	"steer/rl/train"
)

// noted opens a bench on a tiny model and returns what it says before it works.
func noted(t *testing.T, e Engine) string {
	t.Helper()
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(model, gguftest.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 2, KVHeads: 1, Vocab: 8, Ctx: 64}, 1, gguftest.Options{}))
	b, err := OpenBench(model, e)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	var out strings.Builder
	b.Notice(train.NewProgress(&out, false))
	return out.String()
}

// Nobody is left to find out alone that the engine is slower than it could be.
func TestNotices(t *testing.T) {
	e := DefaultEngine()
	e.Threads = 1
	require.NoError(t, ggml.ForceKernel("portable"))
	said := noted(t, e)
	require.NoError(t, ggml.ForceKernel(""))
	if runtime.GOARCH == "amd64" {
		require.Contains(t, said, "this CPU has no AVX2: the portable kernels compute, several times slower")
	}

	e.Threads = runtime.NumCPU() + 1
	require.Contains(t, noted(t, e), "they will wait for one another")

	e.Threads, e.Device = 1, ggml.Auto
	said = noted(t, e)
	if !strings.Contains(said, "computing on cuda:0") {
		require.Contains(t, said, "device auto is the CPU: ")
	}
}

func TestEngineDeviceIsChecked(t *testing.T) {
	e := DefaultEngine()
	e.Device = "gpu"
	_, err := OpenBench("none.gguf", e)
	require.ErrorContains(t, err, `engine.device: there is no device called "gpu"`)
}

func TestRatioToleranceOnAGPU(t *testing.T) {
	for _, c := range []struct {
		configured float64
		gpu        bool
		precision  ggml.Precision
		want       float64
	}{
		{1e-4, false, ggml.BF16, 1e-4}, {1e-4, true, ggml.F32, 1e-4}, {1e-4, true, ggml.BF16, gpuRatioTolerance},
		{0.7, true, ggml.BF16, 0.7}, {0, true, ggml.BF16, 0},
	} {
		require.Equal(t, c.want, ratioTolerance(c.configured, c.gpu, c.precision), c)
	}
}
