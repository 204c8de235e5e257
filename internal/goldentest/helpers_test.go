package goldentest

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/adapter/safetensors"
)

// TestMain checks that no test left a native object behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := ggml.Alive(); n != 0 && code == 0 {
		println("native objects still alive after all tests:", n)
		code = 1
	}
	os.Exit(code)
}

// open loads a model until the end of the test.
func open(t testing.TB, path string, threads int) *ggml.Model {
	t.Helper()
	dev, err := ggml.OpenDevice(ggml.DeviceOptions{Threads: threads})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close()) })
	m, err := ggml.LoadModel(dev, path, ggml.ModelOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func step(t testing.TB, m *ggml.Model, opt ggml.StepOptions) *ggml.Step {
	t.Helper()
	s, err := m.NewStep(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// tensors reads every tensor of safetensors files.
func tensors(t testing.TB, paths ...string) map[string][]float32 {
	t.Helper()
	all := map[string][]float32{}
	for _, path := range paths {
		f, err := safetensors.Open(path)
		require.NoError(t, err)
		for _, info := range f.Tensors() {
			x, err := f.Float32(info.Name)
			require.NoError(t, err)
			all[info.Name] = x
		}
		require.NoError(t, f.Close())
	}
	return all
}

// peft names an adapter's values as PEFT and TRL do, rows of q and k in their order.
func peft(t testing.TB, a *adapter.Adapter, shape adapter.Shape) map[string][]float32 {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "peft")
	require.NoError(t, adapter.ExportPEFT(a, dir, shape, "test"))
	return tensors(t, filepath.Join(dir, "adapter_model.safetensors"), filepath.Join(dir, "v_head.safetensors"))
}

// rms is the root mean square of a - b over all tensors of b; b nil means 0.
func rms(t testing.TB, a, b map[string][]float32) float64 {
	t.Helper()
	var sum float64
	n := 0
	for name, x := range a {
		y, ok := b[name]
		require.True(t, ok || b == nil, name)
		for i, v := range x {
			d := float64(v)
			if b != nil {
				d -= float64(y[i])
			}
			sum += d * d
		}
		n += len(x)
	}
	return math.Sqrt(sum / float64(n))
}
