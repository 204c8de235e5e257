package workspace

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/rl/train"
)

// noted opens a workspace on a tiny model and returns what it says before it works.
func noted(t *testing.T, e EngineConfig) string {
	t.Helper()
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(model,
		gguftest.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 2, KVHeads: 1, Vocab: 8, Ctx: 64}, 1, gguftest.Options{}))
	w, err := Open(model, e)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	var out strings.Builder
	w.Notice(train.NewProgress(&out, false))
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
		require.Contains(t, said, "warning: this CPU has no AVX2: the portable kernels compute, several times slower")
	}

	e.Threads = runtime.NumCPU() + 1
	require.Regexp(t, `(?m)^warning: .*they will wait for one another`, noted(t, e))

	e.Threads, e.Device = 1, ggml.Auto
	said = noted(t, e)
	if !strings.Contains(said, "computing on cuda:0") {
		require.Contains(t, said, "device auto is the CPU: ")
	}
}

func TestEngineDeviceIsChecked(t *testing.T) {
	e := DefaultEngine()
	e.Device = "gpu"
	_, err := Open("none.gguf", e)
	require.ErrorContains(t, err, `engine.device: there is no device called "gpu"`)
}

// Policies stand on one SFT adapter: it is in memory once, however many stacks it is in.
func TestStacksShareAdapters(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(model,
		gguftest.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 2, KVHeads: 1, Vocab: 8, Ctx: 64}, 1, gguftest.Options{}))
	w, err := Open(model, DefaultEngine())
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	var paths []string
	for _, name := range []string{"sft.gguf", "policy.gguf"} {
		a, err := adapter.New(w.Model.Shape(), adapter.Targets(), 2, 4, false, 1)
		require.NoError(t, err)
		paths = append(paths, filepath.Join(dir, name))
		require.NoError(t, a.Save(paths[len(paths)-1]))
	}
	sft, _, err := w.LoadStack(paths[:1], "")
	require.NoError(t, err)
	policy, _, err := w.LoadStack(paths, "")
	require.NoError(t, err)
	require.Same(t, sft[0], policy[0])
	require.NotSame(t, policy[0], policy[1])

	twice, _, err := w.LoadStack([]string{paths[0], paths[0]}, "")
	require.NoError(t, err)
	require.NotSame(t, twice[0], twice[1], "twice in a stack counts twice")
}
