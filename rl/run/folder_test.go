package run

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
)

type runConfig struct {
	LR       float64  `yaml:"lr"`
	MaxSteps int      `yaml:"max_steps"`
	Targets  []string `yaml:"targets"`
}

func options() Options {
	return Options{Stage: "sft", Name: "toy", Config: runConfig{LR: 1e-4, MaxSteps: 10, Targets: []string{"attn_q"}}}
}

func open(t *testing.T, dir string, opt Options) *Folder {
	t.Helper()
	r, err := Open(dir, opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// awkward holds f32 values that only an exact copy keeps.
func awkward(step int64) *lm.State {
	data := func(x float32) []float32 {
		minusZero := float32(math.Copysign(0, -1))
		return []float32{x + float32(step), -0.1, math.SmallestNonzeroFloat32, math.MaxFloat32, minusZero, 1e-30}
	}
	tensors := func(x float32) []lm.Tensor {
		return []lm.Tensor{
			{Name: "blk.0.attn_q.weight.lora_a", Shape: []int{3, 2}, Data: data(x)},
			{Name: "blk.0.attn_q.weight.lora_b", Shape: []int{2, 3}, Data: data(x + 1)},
		}
	}
	return &lm.State{Step: step, Params: tensors(0), M: tensors(10), V: tensors(20)}
}

func adapterOf(s *lm.State) *adapter.Adapter {
	return &adapter.Adapter{Arch: "llama", Alpha: 4, Pairs: []adapter.Pair{{
		Name: "blk.0.attn_q.weight", NIn: 3, NOut: 3, Rank: 2, A: s.Params[0].Data, B: s.Params[1].Data,
	}}}
}

func checkpoint(t *testing.T, r *Folder, step int64, best bool) {
	t.Helper()
	s := awkward(step)
	trainer, _ := json.Marshal(map[string]any{"round": step, "text": "<&>"})
	require.NoError(t, r.Checkpoint(Checkpoint{
		Step: step, Learner: s, Adapter: adapterOf(s), Trainer: trainer, Best: best,
	}))
}

func folders(t *testing.T, r *Folder) []string {
	entries, err := os.ReadDir(r.Path(CheckpointsDir))
	require.NoError(t, err)
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestSecondProcessIsToldThePid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	r := open(t, dir, options())
	_, err := Open(dir, options())
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, "by process "+strconv.Itoa(os.Getpid()))
	require.NoError(t, r.Close())
	open(t, dir, options())
}

func TestChangedConfigurationIsRefused(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, options())
	require.NoError(t, r.Finish(&SFT{}))
	require.True(t, r.Finished())
	require.NoError(t, r.Close())

	opt := options()
	opt.Config = runConfig{LR: 2e-4, MaxSteps: 20, Targets: []string{"attn_q", "attn_v"}}
	opt.MayChange = []string{"max_steps"}
	_, err := Open(dir, opt)
	require.ErrorIs(t, err, ErrConfigChanged)
	require.ErrorContains(t, err, "lr: 0.0001 -> 0.0002; targets[1]: (absent) -> attn_v")
	require.NotContains(t, err.Error(), "max_steps")

	opt.MayChange = []string{"max_steps", "lr", "targets"}
	r = open(t, dir, opt)
	require.False(t, r.Finished(), "its result belonged to the old terms")
	data, err := os.ReadFile(r.Path(ConfigFile))
	require.NoError(t, err)
	require.Equal(t, "lr: 0.0002\nmax_steps: 20\ntargets:\n  - attn_q\n  - attn_v\n", string(data))
}

func TestFreshForgetsTheRunAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, options())
	checkpoint(t, r, 3, true)
	require.NoError(t, r.Metrics.Log(3, nil))
	require.NoError(t, r.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o666))

	opt := options()
	opt.Config, opt.Name, opt.Fresh = runConfig{LR: 1}, "other", true
	r = open(t, dir, opt)
	c, warnings, err := r.Latest()
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Nil(t, c)
	recs, _, err := ReadMetrics(r.Path(MetricsFile))
	require.NoError(t, err)
	require.Empty(t, recs)
	require.FileExists(t, filepath.Join(dir, "notes.txt"))
}

func TestFolderOfAnotherRunIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, open(t, dir, options()).Close())
	opt := options()
	opt.Stage = "ppo"
	_, err := Open(dir, opt)
	require.ErrorContains(t, err,
		"holds a run of sft, not of ppo: choose another folder, or start over in this one (fresh)")

	opt = options()
	opt.Name = "other"
	r := open(t, dir, opt)
	require.Equal(t, "toy", r.Renamed(), "of the same configuration: its folder was renamed")
	require.NoError(t, r.Close())
	r = open(t, dir, opt)
	require.Empty(t, r.Renamed())
	require.NoError(t, r.Close())

	r = open(t, dir, options())
	checkpoint(t, r, 1, false)
	require.NoError(t, os.Remove(r.Path(ConfigFile)))
	require.NoError(t, r.Close())
	_, err = Open(dir, options())
	require.ErrorContains(t, err, "has checkpoints but no config.yaml")
}

// The time of every sitting is kept: as of the last checkpoint where the process was killed, to
// its end where the run was closed.
func TestSittings(t *testing.T) {
	dir := t.TempDir()
	at := time.Unix(0, 0)
	advance := func(r *Folder, seconds int) {
		r.clock.now = func() time.Time { return at }
		r.clock.began = at
		at = at.Add(time.Duration(seconds) * time.Second)
	}
	r := open(t, dir, options())
	advance(r, 5)
	checkpoint(t, r, 1, false)
	at = at.Add(time.Minute)
	require.Equal(t, []float64{65}, r.Sittings())
	killed, err := os.ReadFile(r.Path(InfoFile)) // what a process that is killed here leaves
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, InfoFile), killed, 0o666))

	r = open(t, dir, options())
	advance(r, 7)
	require.Equal(t, []float64{5, 7}, r.Sittings())
	require.NoError(t, r.Close())
	r = open(t, dir, options())
	advance(r, 1)
	require.Equal(t, []float64{5, 7, 1}, r.Sittings())
	require.Equal(t, 2, r.Resumed())
	require.NoError(t, r.Close())

	// Opened before by a program that kept no times.
	require.NoError(t, os.WriteFile(filepath.Join(dir, InfoFile),
		[]byte(`{"stage": "sft", "name": "toy", "opened": ["a", "b"]}`), 0o666))
	r = open(t, dir, options())
	advance(r, 3)
	require.Equal(t, []float64{0, 0, 3}, r.Sittings())
}

func TestUnwritableFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o666))
	_, err := Open(filepath.Join(dir, "file", "run"), options())
	require.ErrorContains(t, err, "cannot be made")
	if os.Geteuid() == 0 {
		t.Log("running as root: the permission bits of a folder are not checked")
		return
	}
	locked := filepath.Join(dir, "ro")
	require.NoError(t, os.MkdirAll(filepath.Join(locked, CheckpointsDir), 0o777))
	require.NoError(t, os.Chmod(locked, 0o555))
	_, err = Open(locked, options())
	require.ErrorContains(t, err, "not writable")
}

func TestMetricsKeepEveryDigit(t *testing.T) {
	r := open(t, t.TempDir(), options())
	r.Metrics.now = func() time.Time { return time.Unix(0, 5).UTC() }
	want := map[string]float64{
		"loss": 1.0 / 3, "big": 1e300, "neg": -0.1, "nan": math.NaN(), "inf": math.Inf(-1), "a\"b": 2,
	}
	require.NoError(t, r.Metrics.Log(7, want))
	require.NoError(t, r.Metrics.Log(8, nil))
	data, err := os.ReadFile(r.Path(MetricsFile))
	require.NoError(t, err)
	require.Equal(t, `{"step":7,"time":"1970-01-01T00:00:00.000000005Z","a\"b":2,"big":1e+300,"inf":null,`+
		`"loss":0.3333333333333333,"nan":null,"neg":-0.1,"notes":{"inf":"-Inf","nan":"NaN"}}`+"\n"+
		`{"step":8,"time":"1970-01-01T00:00:00.000000005Z"}`+"\n", string(data))
	require.NoError(t, os.WriteFile(r.Path(MetricsFile), append(data, []byte(`{"step":9,"ti`)...), 0o666))
	recs, cut, err := ReadMetrics(r.Path(MetricsFile))
	require.NoError(t, err)
	require.True(t, cut)
	require.Len(t, recs, 2)
	require.Equal(t, int64(7), recs[0].Step)
	require.True(t, math.IsNaN(recs[0].Values["nan"]))
	delete(recs[0].Values, "nan")
	delete(want, "nan")
	require.Equal(t, want, recs[0].Values)
	require.ErrorContains(t, r.Metrics.Log(9, map[string]float64{"step": 1}), "not free")

	require.NoError(t, os.WriteFile(r.Path(MetricsFile), []byte("{\"step\":1}\n{]\n"), 0o666))
	_, _, err = ReadMetrics(r.Path(MetricsFile))
	require.ErrorContains(t, err, "line 2")
}

func TestSamplesSurviveATornFrame(t *testing.T) {
	r := open(t, t.TempDir(), options())
	require.NoError(t, r.Sample(map[string]int{"i": 1}, map[string]string{"t": "<ä>"}))
	whole := r.samples.size
	require.NoError(t, r.Sample(map[string]int{"i": 3}))
	require.NoError(t, r.Sample())
	got, err := ReadSamples(r.Path(SamplesFile))
	require.NoError(t, err)
	require.Equal(t, []json.RawMessage{[]byte(`{"i":1}`), []byte(`{"t":"<ä>"}`), []byte(`{"i":3}`)}, got)
	for cut := r.samples.size - 1; cut >= whole; cut-- {
		require.NoError(t, os.Truncate(r.Path(SamplesFile), cut))
		got, err = ReadSamples(r.Path(SamplesFile))
		require.NoError(t, err, "cut at %d", cut)
		require.Len(t, got, 2)
	}
}
