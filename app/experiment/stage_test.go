package experiment

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/demo"
	"steer/ggml"
	"steer/rl/run"
	"steer/rl/train"
)

// A stage that names its own engine's settings runs with them, as its configuration says.
func TestStageRunsOnItsOwnEngine(t *testing.T) {
	assets, err := demo.Extract(t.TempDir())
	require.NoError(t, err)
	e := &Experiment{Out: t.TempDir()}
	e.SFT, err = jobs.NewSFT("")
	require.NoError(t, err)
	e.Model, e.SFT.Model = assets.Model, assets.Model
	e.Engine = e.SFT.Engine
	e.SFT.Engine.Threads, e.SFT.Engine.Precision = 1, ggml.F32
	e.SFT.Template = "guanaco"
	e.SFT.Train.Path, e.SFT.Train.Limit = assets.Guanaco.Train, 4
	e.SFT.MiniBatchSize, e.SFT.MaxTokens, e.SFT.MaxSteps, e.SFT.Optim.WarmupSteps = 2, 64, 1, 0
	require.NoError(t, e.SFT.Resolve("", nil))
	con := jobs.Console{Progress: train.Quiet{}, Stopper: train.NewStopper(), Out: io.Discard}
	dir := filepath.Join(e.Out, "sft")
	require.NoError(t, e.runStage(context.Background(), jobs.Named{Name: "sft", Job: &e.SFT}, con, dir, false, false))
	raw, err := os.ReadFile(filepath.Join(dir, run.ResultFile))
	require.NoError(t, err)
	var result struct{ Precision ggml.Precision }
	require.NoError(t, json.Unmarshal(raw, &result))
	require.Equal(t, ggml.F32, result.Precision)
}
