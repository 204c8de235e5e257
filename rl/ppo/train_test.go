package ppo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/rollout"
	"steer/rl/rollout/rollouttest"
	"steer/rl/run"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// world is a toy policy with everything around it.
type world struct {
	toy    *traintest.Toy
	scorer *rollouttest.Letter
	deps   Deps
}

func newWorld(*testing.T) *world {
	w := rollouttest.New()
	return &world{toy: w.Toy, scorer: w.Scorer, deps: Deps{Deps: w.Deps}}
}

// in opens a run folder for the world's next Train.
func (w *world) in(t *testing.T, dir string, c Config) *world {
	t.Helper()
	w.deps.Run = (&rollouttest.World{}).In(t, dir, "ppo", &c).Deps.Run
	return w
}

// quick is a configuration that learns on the toy in a second.
func quick() Config {
	c := Default()
	c.Seed = 7
	c.Iterations = 8
	c.RolloutBatchSize, c.MiniBatchSize, c.MicroBatchSize, c.PPOEpochs = 16, 8, 4, 2
	c.Optim.LR = 1e-2
	c.MaxNewTokens = 12
	c.CheckpointEvery = 3
	c.SamplesEvery = 2
	c.MissingEOSPenalty = 0.5
	return c
}

func TestRewardRisesAtBoundedKL(t *testing.T) {
	for _, preset := range (train.Preset("")).Values() {
		c, err := New(train.Preset(preset))
		require.NoError(t, err)
		q := quick()
		c.Seed, c.Optim.LR, c.MaxNewTokens = q.Seed, 2e-2, q.MaxNewTokens
		c.Iterations = 60
		c.RolloutBatchSize, c.MiniBatchSize, c.MicroBatchSize, c.PPOEpochs = 16, 16, 4, 4
		if c.LengthDraw != rollout.LengthFixed {
			c.MinNewTokens = 4
		}
		w := newWorld(t)
		res, err := Train(t.Context(), c, w.deps)
		require.NoError(t, err)
		t.Logf("%s: score %.3g to %.3g; held-out %+v", preset, *res.ScoreFirst, *res.ScoreLast, *res.HeldoutLast)
		require.Empty(t, res.StoppedBecause)
		require.Equal(t, int64(60), res.Iterations)
		require.Greater(t, *res.HeldoutLast.Difference.Lo, 0.0, "the held-out score rises, the interval excludes 0")
		require.Greater(t, *res.ScoreLast, *res.ScoreFirst)
		require.Zero(t, res.HeldoutFirst.Difference.Mean, "before training the policy is its own baseline")
		require.InDelta(t, 0, res.HeldoutFirst.KL.Mean, 1e-6)
		require.Less(t, res.HeldoutLast.KL.Mean, 15.0)
		require.Greater(t, res.HeldoutLast.KL.Mean, 0.0)
		require.GreaterOrEqual(t, res.Best.Objective, res.Best.Score-c.KLCoef*res.Best.KL-1)
	}
}

// files are the outputs that must not depend on interruptions.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{run.AdapterFile, run.BestFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		out[name] = data
	}
	return out
}

func TestResumeEqualsUnbroken(t *testing.T) {
	c := quick()
	c.KLControl = KLAdaptive
	c.ScaleScores = true
	c.HeldoutEvery = 3
	straight := t.TempDir()
	w := newWorld(t).in(t, straight, c)
	want, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	wantState, err := w.toy.State()
	require.NoError(t, err)

	broken := t.TempDir()
	kill := errors.New("killed")
	// Stops and kills at calls of the scorer: 1 is the held-out baseline, 2 the
	// held-out policy, then one a rollout and one a held-out measurement.
	for attempt, at := range []struct {
		call int
		kill bool
	}{{1, true}, {3, false}, {2, true}, {1, false}, {1, true}, {3, true}, {2, false}, {0, false}} {
		w := newWorld(t).in(t, broken, c)
		stopper := train.NewStopper()
		w.deps.Stopper = stopper
		w.scorer.Hook = func(call int) error {
			if call != at.call {
				return nil
			}
			if at.kill {
				return kill
			}
			stopper.Request()
			return nil
		}
		got, err := Train(t.Context(), c, w.deps)
		require.NoError(t, w.deps.Run.Close())
		switch {
		case at.call == 0:
			require.NoError(t, err)
			require.Equal(t, want, got)
			gotState, err := w.toy.State()
			require.NoError(t, err)
			require.Equal(t, wantState, gotState)
		case at.kill:
			require.ErrorIs(t, err, kill, "attempt %d", attempt)
		default:
			require.ErrorIs(t, err, train.ErrInterrupted, "attempt %d", attempt)
		}
	}
	a, b := files(t, straight), files(t, broken)
	for name := range a {
		require.True(t, bytes.Equal(a[name], b[name]), "%s differs", name)
	}
	require.Equal(t, rollouttest.Timeless(t, straight), rollouttest.Timeless(t, broken))
	x, err := run.ReadSamples(filepath.Join(straight, run.SamplesFile))
	require.NoError(t, err)
	y, err := run.ReadSamples(filepath.Join(broken, run.SamplesFile))
	require.NoError(t, err)
	require.Equal(t, x, y)
	require.Len(t, x, 4*c.SamplesCount)

	// A finished run is not trained further.
	w = newWorld(t).in(t, broken, c)
	again, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	require.Equal(t, want, again)
	require.Zero(t, w.toy.Updates)
}

func TestMicroBatchSizeDoesNotMatter(t *testing.T) {
	for _, mean := range []LossMean{MeanToken, MeanSequence, MeanGroup} {
		var want *lm.State
		for _, micro := range []int{8, 4, 1} {
			c := quick()
			if c.LossGroup = 2; mean == MeanGroup && micro == 1 {
				continue // a group lies within a micro-batch
			}
			c.Iterations, c.LossMean, c.MicroBatchSize = 3, mean, micro
			w := newWorld(t)
			_, err := Train(t.Context(), c, w.deps)
			require.NoError(t, err)
			got, err := w.toy.State()
			require.NoError(t, err)
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "%s, micro-batches of %d", mean, micro)
		}
	}
}
