package grpo

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/mixture"
	"steer/rl/rollout"
	"steer/rl/rollout/rollouttest"
	"steer/rl/run"
	"steer/rl/train"
)

// quick is a configuration that learns on the toy in a second.
func quick(t *testing.T, p Preset) Config {
	c, err := New(p)
	require.NoError(t, err)
	c.Seed = 7
	c.Iterations = 8
	c.Prompts, c.NumGenerations, c.MiniBatchSize, c.MicroBatchSize = 4, 4, 8, 4
	if p == PresetREINFORCE {
		c.Prompts, c.NumGenerations = 16, 1
	}
	c.Optim.LR = 2e-2
	c.MaxNewTokens = 12
	c.OverlongCache = min(c.OverlongCache, 4)
	c.CheckpointEvery, c.SamplesEvery = 3, 2
	return c
}

// Every algorithm learns the toy's letter.
func TestRewardRises(t *testing.T) {
	for _, p := range (Preset("")).Values() {
		c := quick(t, Preset(p))
		c.Iterations = 60
		w := rollouttest.New()
		res, err := Train(t.Context(), c, Deps{Deps: w.Deps})
		require.NoError(t, err, p)
		t.Logf("%s: score %.3g to %.3g; held-out %+v", p, *res.ScoreFirst, *res.ScoreLast, *res.HeldoutLast)
		require.Equal(t, int64(60), res.Iterations, res.StoppedBecause)
		require.Greater(t, *res.HeldoutLast.Difference.Lo, 0.0, p)
		require.Greater(t, *res.ScoreLast, *res.ScoreFirst, p)
	}
}

func TestMicroBatchSizeDoesNotMatter(t *testing.T) {
	for _, p := range (Preset("")).Values() {
		var want *lm.State
		for _, micro := range []int{8, 4, 1} {
			c := quick(t, Preset(p))
			c.Iterations, c.MicroBatchSize, c.TopEntropyQuantile = 3, micro, 0.5
			w := rollouttest.New()
			_, err := Train(t.Context(), c, Deps{Deps: w.Deps})
			require.NoError(t, err)
			got, err := w.Toy.State()
			require.NoError(t, err)
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "%s, micro-batches of %d", p, micro)
		}
	}
}

// two is a scorer of two rewards: the letter, and against it length.
type two struct{ *rollouttest.Letter }

func (two) Names() []string { return []string{"letter", "short"} }

func (s two) Score(ctx context.Context, episodes []rollout.Episode) ([][]float64, error) {
	out, err := s.Letter.Score(ctx, episodes)
	if err != nil {
		return nil, err
	}
	short := make([]float64, len(episodes))
	for i, e := range episodes {
		short[i] = -float64(len(e.Response)) / 4
	}
	return append(out, short), nil
}

// A run with all that has a state, stopped and killed here and there, ends in the same bits.
func TestResumeEqualsUnbroken(t *testing.T) {
	c := quick(t, PresetDAPO)
	c.HeldoutEvery = 3
	c.Mixture = mixture.Config{Constraints: map[string]mixture.Constraint{"short": {AtLeast: new(float64)}}}
	world := func(dir string) *rollouttest.World {
		w := rollouttest.New().In(t, dir, "grpo", &c)
		w.Deps.Scorer = two{w.Scorer}
		return w
	}
	straight := t.TempDir()
	w := world(straight)
	want, err := Train(t.Context(), c, Deps{Deps: w.Deps})
	require.NoError(t, err)
	wantState, err := w.Toy.State()
	require.NoError(t, err)
	require.Len(t, want.Constraints, 1)

	broken := t.TempDir()
	kill := errors.New("killed")
	for attempt, at := range []struct {
		call int
		kill bool
	}{{1, true}, {3, false}, {2, true}, {1, false}, {1, true}, {4, true}, {2, false}, {0, false}} {
		w := world(broken)
		stopper := train.NewStopper()
		w.Deps.Stopper = stopper
		w.Scorer.Hook = func(call int) error {
			if call != at.call {
				return nil
			}
			if at.kill {
				return kill
			}
			stopper.Request()
			return nil
		}
		got, err := Train(t.Context(), c, Deps{Deps: w.Deps})
		require.NoError(t, w.Deps.Run.Close())
		switch {
		case at.call == 0:
			require.NoError(t, err)
			require.Equal(t, want, got)
			gotState, err := w.Toy.State()
			require.NoError(t, err)
			require.Equal(t, wantState, gotState)
		case at.kill:
			require.ErrorIs(t, err, kill, "attempt %d", attempt)
		default:
			require.ErrorIs(t, err, train.ErrInterrupted, "attempt %d", attempt)
		}
	}
	for _, name := range []string{run.AdapterFile, run.BestFile} {
		a, err := os.ReadFile(filepath.Join(straight, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(broken, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b), "%s differs", name)
	}
	require.Equal(t, rollouttest.Timeless(t, straight), rollouttest.Timeless(t, broken))
	metrics := rollouttest.Timeless(t, straight)
	last := metrics[len(metrics)-1].Values
	for _, name := range []string{"rewards/letter/mean", "constraint/short/lambda", "constraint/short/mean",
		"sampling/rounds", "heldout/reward/short"} {
		require.Contains(t, last, name)
	}
	require.Greater(t, last["constraint/short/lambda"], 0.0, "the answers are too long")
}

// A reward that fails in the middle of a run leaves a checkpoint of what was done by then.
func TestFailedRewardLeavesACheckpoint(t *testing.T) {
	c := quick(t, PresetDefault)
	c.CheckpointEvery = 0
	dir := t.TempDir()
	w := rollouttest.New().In(t, dir, "grpo", &c)
	w.Deps.Heldout = nil
	gone := errors.New("the program has died")
	w.Scorer.Hook = func(call int) error {
		if call == 6 {
			return gone
		}
		return nil
	}
	_, err := Train(t.Context(), c, Deps{Deps: w.Deps})
	require.ErrorIs(t, err, gone)
	saved, _, err := w.Deps.Run.Latest()
	require.NoError(t, err)
	require.NotNil(t, saved)
	require.Equal(t, 5*c.updatesPerIteration(), saved.Step, "five iterations were through")
}

// Groups without spread are replaced while there are rounds left.
func TestDynamicSampling(t *testing.T) {
	c := quick(t, PresetDefault)
	c.Iterations, c.DynamicSampling, c.MissingEOSPenalty = 1, 2, 0
	dir := t.TempDir()
	w := rollouttest.New().In(t, dir, "grpo", &c)
	w.Deps.Heldout = nil
	calls := 0
	w.Deps.Scorer = scorerFunc(func(episodes []rollout.Episode) []float64 {
		calls++
		out := make([]float64, len(episodes))
		for i := range out {
			if calls > 1 || i/c.NumGenerations == 2 { // the first round has one group of use
				out[i] = float64(i % 3)
			}
		}
		return out
	})
	_, err := Train(t.Context(), c, Deps{Deps: w.Deps})
	require.NoError(t, err)
	require.Equal(t, 2, calls)
	v := rollouttest.Timeless(t, dir)[0].Values
	require.Equal(t, 2.0, v["sampling/rounds"])
	require.Equal(t, 3.0, v["sampling/dropped_groups"])
	require.Zero(t, v["frac_reward_zero_std"])
}

// An answer that no reward judges learns nothing, and does not disturb its group.
func TestUnjudgedAnswers(t *testing.T) {
	c := quick(t, PresetDefault)
	c.Iterations = 2
	w := rollouttest.New()
	w.Deps.Heldout = nil
	w.Deps.Scorer = sometimes{two{w.Scorer}}
	_, err := Train(t.Context(), c, Deps{Deps: w.Deps})
	require.NoError(t, err)
}

// sometimes judges every other episode by neither reward.
type sometimes struct{ two }

func (s sometimes) Score(ctx context.Context, episodes []rollout.Episode) ([][]float64, error) {
	out, err := s.two.Score(ctx, episodes)
	for _, row := range out {
		for i := range row {
			if i%2 == 1 {
				row[i] = math.NaN()
			}
		}
	}
	return out, err
}

type scorerFunc func([]rollout.Episode) []float64

func (scorerFunc) Names() []string { return []string{"f"} }

func (f scorerFunc) Score(_ context.Context, e []rollout.Episode) ([][]float64, error) {
	return [][]float64{f(e)}, nil
}

// The bonus keeps the entropy up.
func TestEntropyBonus(t *testing.T) {
	entropy := map[float64]float64{}
	for _, coef := range []float64{0, 0.5} {
		c := quick(t, PresetDefault)
		c.Iterations, c.EntropyCoef, c.MaxEntropyRatio = 30, coef, 0
		dir := t.TempDir()
		w := rollouttest.New().In(t, dir, "grpo", &c)
		w.Deps.Heldout = nil
		_, err := Train(t.Context(), c, Deps{Deps: w.Deps})
		require.NoError(t, err)
		metrics := rollouttest.Timeless(t, dir)
		entropy[coef] = metrics[len(metrics)-1].Values["entropy"]
	}
	require.Greater(t, entropy[0.5], entropy[0]+0.1)
}
