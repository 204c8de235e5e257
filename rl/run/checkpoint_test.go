package run

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
)

func TestCheckpointRoundTripIsExact(t *testing.T) {
	r := open(t, t.TempDir(), options())
	checkpoint(t, r, 7, false)
	c, warnings, err := r.Latest()
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, int64(7), c.Step)
	require.Equal(t, awkward(7), c.Learner)
	require.Equal(t, adapterOf(awkward(7)).Pairs, c.Adapter.Pairs)
	require.JSONEq(t, `{"round":7,"text":"<&>"}`, string(c.Trainer))

	// Without an adapter and without trainer state.
	require.NoError(t, r.Checkpoint(Checkpoint{Step: 8, Learner: &lm.State{Step: 8}}))
	c, _, err = r.Latest()
	require.NoError(t, err)
	require.Equal(t, int64(8), c.Step)
	require.Nil(t, c.Adapter)
}

func TestTheLastTwoAndTheBestAreKept(t *testing.T) {
	r := open(t, t.TempDir(), options())
	require.Equal(t, int64(-1), r.BestStep())
	best, err := r.Best()
	require.NoError(t, err)
	require.Nil(t, best)
	for step := int64(1); step <= 6; step++ {
		checkpoint(t, r, step, step == 2 || step == 3)
	}
	require.Equal(t, []string{"best", "step-000003", "step-000005", "step-000006"}, folders(t, r))
	best, err = r.Best()
	require.NoError(t, err)
	require.Equal(t, int64(3), best.Step)
	require.True(t, best.Best)
	require.FileExists(t, r.Path(CheckpointsDir, "best", AdapterFile))
	checkpoint(t, r, 7, true)
	require.Equal(t, []string{"best", "step-000006", "step-000007"}, folders(t, r))
}

func TestACheckpointOfTheSameStepReplacesTheOld(t *testing.T) {
	r := open(t, t.TempDir(), options())
	checkpoint(t, r, 4, false)
	require.NoError(t, r.Checkpoint(Checkpoint{Step: 4, Learner: awkward(5), Trainer: json.RawMessage(`{"new":1}`)}))
	c, _, err := r.Latest()
	require.NoError(t, err)
	require.JSONEq(t, `{"new":1}`, string(c.Trainer))
	require.Equal(t, []string{"step-000004"}, folders(t, r))
}

func TestAKillBetweenTheRenamesLosesNothing(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, options())
	checkpoint(t, r, 4, false)
	require.NoError(t, os.Rename(r.Path(CheckpointsDir, "step-000004"), r.Path(CheckpointsDir, ".old-step-000004")))
	require.NoError(t, os.Mkdir(r.Path(CheckpointsDir, ".tmp-step-000004"), 0o777))
	require.NoError(t, os.WriteFile(r.Path(".config.yaml.tmp-00000001"), nil, 0o666))
	require.NoError(t, r.Close())
	r = open(t, dir, options())
	require.Equal(t, []string{"step-000004"}, folders(t, r))
	require.NoFileExists(t, r.Path(".config.yaml.tmp-00000001"))
	_, warnings, err := r.Latest()
	require.NoError(t, err)
	require.Empty(t, warnings)
}

func TestADamagedCheckpointIsPassedOverAloud(t *testing.T) {
	cut := func(t *testing.T, path string) {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, info.Size()/2))
	}
	flip := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		data[len(data)-5] ^= 1 // tensor data, or a digit of the state's hash
		require.NoError(t, os.WriteFile(path, data, 0o666))
	}
	remove := func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }
	for name, damage := range map[string]func(*testing.T, string){"cut": cut, "flip": flip, "remove": remove} {
		for _, file := range []string{stateFile, optimizerFile, AdapterFile} {
			t.Run(name+" "+file, func(t *testing.T) {
				r := open(t, t.TempDir(), options())
				for step := int64(1); step <= 2; step++ {
					require.NoError(t, r.Metrics.Log(step, nil))
					require.NoError(t, r.Sample(step))
					checkpoint(t, r, step, step == 2)
				}
				damage(t, r.Path(CheckpointsDir, "step-000002", file))
				c, warnings, err := r.Latest()
				require.NoError(t, err)
				require.Equal(t, int64(1), c.Step)
				require.Equal(t, awkward(1), c.Learner)
				require.Len(t, warnings, 2)
				require.Contains(t, warnings[0], "step-000002 is damaged: "+file)
				require.Contains(t, warnings[1], "going on from the checkpoint before: step 1")

				require.NoError(t, r.Rewind(c))
				require.Equal(t, []string{"step-000001"}, folders(t, r))
				recs, _, err := ReadMetrics(r.Path(MetricsFile))
				require.NoError(t, err)
				require.Len(t, recs, 1)
				samples, err := ReadSamples(r.Path(SamplesFile))
				require.NoError(t, err)
				require.Len(t, samples, 1)
			})
		}
	}
}

func TestNoIntactCheckpointIsAnError(t *testing.T) {
	r := open(t, t.TempDir(), options())
	checkpoint(t, r, 1, false)
	require.NoError(t, os.Truncate(r.Path(CheckpointsDir, "step-000001", optimizerFile), 9))
	_, warnings, err := r.Latest()
	require.ErrorContains(t, err, "no checkpoint is intact")
	require.Len(t, warnings, 1)
}

func TestACheckpointOfANewerProgramIsNotSkipped(t *testing.T) {
	r := open(t, t.TempDir(), options())
	checkpoint(t, r, 1, false)
	checkpoint(t, r, 2, false)
	path := r.Path(CheckpointsDir, "step-000002", stateFile)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	newer := strings.Replace(string(data), `"format": 1`, `"format": 2`, 1)
	require.NoError(t, os.WriteFile(path, []byte(newer), 0o666))
	_, _, err = r.Latest()
	require.ErrorContains(t, err, "format 2 of a newer program")
}

func TestRewindToTheStart(t *testing.T) {
	r := open(t, t.TempDir(), options())
	require.NoError(t, r.Metrics.Log(1, nil))
	require.NoError(t, r.Sample(1))
	require.NoError(t, r.Rewind(nil))
	require.NoError(t, r.Metrics.Log(2, nil))
	recs, _, err := ReadMetrics(r.Path(MetricsFile))
	require.NoError(t, err)
	require.Len(t, recs, 1)
	require.Equal(t, int64(2), recs[0].Step)
}

func TestCheckpointRefusesABadState(t *testing.T) {
	r := open(t, t.TempDir(), options())
	require.ErrorContains(t, r.Checkpoint(Checkpoint{Step: 1}), "no learner state")
	s := awkward(1)
	s.M[0].Shape = []int{9}
	require.ErrorContains(t, r.Checkpoint(Checkpoint{Step: 1, Learner: s}), "shape [9] holds 9 values, got 6")
	s = awkward(1)
	s.V = s.V[:1]
	require.ErrorContains(t, r.Checkpoint(Checkpoint{Step: 1, Learner: s}), "1 tensors in v/, want 2")
	s = awkward(1)
	s.Params[1].Name = s.Params[0].Name
	require.ErrorContains(t, r.Checkpoint(Checkpoint{Step: 1, Learner: s}), "two tensors of one name")
	require.Empty(t, folders(t, r), "nothing is left of a failed one")
}

// The file must be what other safetensors readers expect: row-major shapes, f32 data
// without gaps.
func TestStateFileIsSafetensors(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, writeState(&b, awkward(3)))
	data := b.Bytes()
	n := int(data[0]) | int(data[1])<<8
	require.Zero(t, (8+n)%8)
	var header map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data[8:8+n], &header))
	require.JSONEq(t, `{"format":"steer-optimizer-1","step":"3"}`, string(header["__metadata__"]))
	require.JSONEq(t, `{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}`,
		string(header["param/blk.0.attn_q.weight.lora_a"]))
	require.JSONEq(t, `{"dtype":"F32","shape":[3,2],"data_offsets":[120,144]}`,
		string(header["v/blk.0.attn_q.weight.lora_b"]))
	require.Len(t, data, 8+n+144)
}

func FuzzReadState(f *testing.F) {
	var b bytes.Buffer
	require.NoError(f, writeState(&b, awkward(3)))
	f.Add(b.Bytes())
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readState(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		require.NoError(t, writeState(&again, s))
	})
}

func TestBestLinkToNowhere(t *testing.T) {
	r := open(t, t.TempDir(), options())
	require.NoError(t, os.Symlink("elsewhere", filepath.Join(r.Path(CheckpointsDir), bestLink)))
	require.Equal(t, int64(-1), r.BestStep())
}
