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

	"steer/app/inspect"
	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/internal/filehash"
)

func TestAdapterInspect(t *testing.T) {
	m := demoModel(t)
	sum, err := filehash.Sum(m.Model)
	require.NoError(t, err)
	s := shapeFor(t, m.Model)
	path := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
		a.Head.Mean, a.Head.Std = 0.25, 2
		a.Meta = map[string]string{adapter.MetaBase: sum, "role": "reward\x1b"}
	})
	var d inspect.Adapter
	require.NoError(t,
		json.Unmarshal([]byte(succeed(t, "", "adapter", "inspect", path, "--model", m.Model, "--json")), &d))
	require.Equal(t, []int{2}, d.Ranks)
	require.Equal(t, []float32{2}, d.Scales)
	require.Equal(t, []string{"attn_q", "attn_v", "ffn_down"}, d.Targets)
	require.Len(t, d.Layers, s.Layers)
	// Each pair has rank*(n_in + n_out) values; the head one for each feature.
	require.Equal(t, int64(s.Layers*2*((s.Embd+s.Heads*s.HeadDim)+(s.Embd+s.KVHeads*s.HeadDim)+(s.FF+s.Embd))+s.Embd),
		d.Parameters)
	require.Equal(t, &inspect.Head{Width: s.Embd, Normalised: true, Mean: 0.25, Std: 2}, d.Head)
	require.False(t, d.Untrained)
	require.True(t, *d.Base.Same)

	out := succeed(t, "", "adapter", "inspect", path, "-m", m.Model)
	for _, l := range strings.Split(out, "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(l), 80, l)
	}
	require.Contains(t, strings.Join(strings.Fields(out), " "), "fits; the very file it was trained on")
	for _, want := range []string{"rank        2\n", "alpha       4\n", "scale       2\n",
		fmt.Sprintf("0-%d (%d)", s.Layers-1, s.Layers), "no bias, score = (raw - 0.25) / 2", `role = reward\x1b`} {
		require.Contains(t, out, want)
	}
}

func TestAdapterInspectOtherForms(t *testing.T) {
	m := demoModel(t)
	embd := shapeFor(t, m.Model).Embd
	bias := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.RsLoRA = true
		a.Head = &adapter.Head{Weight: make([]float32, embd), HasBias: true, Bias: 0.5}
		a.Meta = map[string]string{adapter.MetaBase: strings.Repeat("0", 64)}
	})
	out := succeed(t, "", "adapter", "inspect", bias)
	require.Contains(t, out, "4, rank-stabilized")
	require.Contains(t, out, "2.828427") // 4/√2
	require.Contains(t, out, "bias 0.5, scores not normalised")
	require.Contains(t, strings.Join(strings.Fields(succeed(t, "", "adapter", "inspect", bias, "-m", m.Model)), " "),
		"is not the file it was trained on")

	fresh := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		for i := range a.Pairs {
			clear(a.Pairs[i].B)
		}
	})
	require.Contains(t, succeed(t, "", "adapter", "inspect", fresh), "every B is zero: untrained")

	onlyHead := newAdapter(t, m.Model,
		func(a *adapter.Adapter) { a.Pairs, a.Head = nil, adapter.NewValueHead(embd, 1) })
	require.Contains(t, succeed(t, "", "adapter", "inspect", onlyHead),
		fmt.Sprintf("parameters  %d in 0 pairs and a scalar head", embd+1))
}

func TestLayersText(t *testing.T) {
	for want, layers := range map[string][]int{
		"0-3 (4)": {0, 1, 2, 3}, "5 (1)": {5}, "0, 2-3, 7 (4)": {0, 2, 3, 7}, "0-1 (2)": {0, 1},
	} {
		require.Equal(t, want, layersText(layers))
	}
}

// Export and import give the adapter back, byte for byte.
func TestAdapterRoundTripThroughPEFT(t *testing.T) {
	m := demoModel(t)
	path := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
		a.Head.Mean, a.Head.Std = 0.1, 3
		a.Meta = map[string]string{"role": "reward"}
	})
	dir, back := filepath.Join(t.TempDir(), "peft"), filepath.Join(t.TempDir(), "back.gguf")
	require.Contains(t, succeed(t, "", "adapter", "export", path, "-m", m.Model, "-o", dir, "--base-name", "me/base"),
		"rank 2")
	config, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	require.NoError(t, err)
	require.Contains(t, string(config), `"me/base"`)
	succeed(t, "", "adapter", "import", dir, "-m", m.Model, "-o", back)
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	got, err := os.ReadFile(back)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, succeed(t, "", "adapter", "inspect", dir, "-m", m.Model), "PEFT folder")

	for _, f := range []failure{
		{name: "import over a file", args: []string{"adapter", "import", dir, "-m", m.Model, "-o", back}, code: 1,
			says: []string{back, "exists already", "--force"}},
		{name: "export over a folder", args: []string{"adapter", "export", path, "-m", m.Model, "-o", dir}, code: 1,
			says: []string{dir, "exists already", "--force"}},
	} {
		f.run(t)
	}
	succeed(t, "", "adapter", "import", dir, "-m", m.Model, "-o", back, "--force")
	succeed(t, "", "adapter", "export", path, "-m", m.Model, "-o", dir, "--force")
}

func TestAdapterFailures(t *testing.T) {
	m := demoModel(t)
	good := newAdapter(t, m.Model, nil)
	other := tinyModel(t, gguftest.Options{})
	peft := filepath.Join(t.TempDir(), "peft")
	succeed(t, "", "adapter", "export", good, "-m", m.Model, "-o", peft)
	for _, f := range []failure{
		{name: "missing", args: []string{"adapter", "inspect", "nowhere.gguf"}, code: 1,
			says: []string{"nowhere.gguf"}},
		{name: "a model", args: []string{"adapter", "inspect", m.Model}, code: 1, says: []string{`got "model"`}},
		{name: "cut short", args: []string{"adapter", "inspect", cutShort(t, good)}, code: 1,
			says: []string{"cut.gguf", "cut short"}},
		{name: "another base", args: []string{"adapter", "inspect", good, "-m", other}, code: 1,
			says: []string{"n_embd", "64", "does not fit"}},
		{name: "PEFT of another base", args: []string{"adapter", "inspect", peft, "-m", other}, code: 1,
			says: []string{"does not fit"}},
		{name: "PEFT without base", args: []string{"adapter", "inspect", peft}, code: 2, says: []string{"--model"}},
		{name: "empty folder", args: []string{"adapter", "inspect", t.TempDir(), "-m", m.Model}, code: 1,
			says: []string{"adapter_config.json"}},
		{name: "base is an adapter", args: []string{"adapter", "inspect", good, "-m", good}, code: 1,
			says: []string{"this is an adapter, not a model"}},
		{name: "base is missing", args: []string{"adapter", "inspect", good, "-m", "nowhere.gguf"}, code: 1,
			says: []string{"nowhere.gguf"}},
		{name: "import without base", args: []string{"adapter", "import", peft, "-o", "x"}, code: 2,
			says: []string{"--model"}},
		{name: "import without output", args: []string{"adapter", "import", peft, "-m", m.Model}, code: 2,
			says: []string{"--out"}},
		{name: "import of a GGUF", args: []string{"adapter", "import", good, "-m", m.Model, "-o",
			filepath.Join(t.TempDir(), "x")}, code: 1, says: []string{"needs no import"}},
		{name: "unwritable", args: []string{"adapter", "import", peft, "-m", m.Model, "-o", "/proc/nowhere/x.gguf"},
			code: 1, says: []string{"/proc/nowhere"}},
		{name: "export to a folder of another base", args: []string{"adapter", "export", good, "-m", other, "-o",
			filepath.Join(t.TempDir(), "x")}, code: 1, says: []string{"does not fit"}},
	} {
		f.run(t)
	}
}
