package ppo

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// A guard ends a run with a checkpoint, an adapter and a sentence; the same command
// again gives the same result without training.
func TestAlarmsStopTheRun(t *testing.T) {
	for name, spoil := range map[string]func(c *Config){
		"max_kl":            func(c *Config) { c.MaxKL = 0.05 },
		"max_entropy_ratio": func(c *Config) { c.MaxEntropyRatio, c.AlarmPatience = 1.01, 1 },
		"min_entropy_ratio": func(c *Config) {
			c.MinEntropyRatio, c.AlarmPatience, c.KLCoef, c.Optim.LR = 0.95, 1, 0,
				0.3
		},
		"max_repetition_rise": func(c *Config) {
			c.MaxRepetitionRise, c.AlarmPatience, c.RepetitionNgram = 0.01, 1, 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := quick()
			c.Iterations = 30
			c.CheckpointEvery = 0
			c.MaxKL, c.MinEntropyRatio, c.MaxEntropyRatio, c.MaxRepetitionRise = 0, 0, 0, 0
			c.MaxScore = 0 // the toy's first answers all miss the letter
			spoil(&c)
			dir := t.TempDir()
			w := newWorld(t).in(t, dir, c)
			res, err := Train(t.Context(), c, w.deps)
			require.NoError(t, err)
			require.Contains(t, res.StoppedBecause, name)
			require.Less(t, res.Iterations, c.Iterations)
			require.NotNil(t, res.HeldoutLast)
			require.Equal(t, res.Iterations, res.HeldoutLast.Iteration)
			require.FileExists(t, filepath.Join(dir, run.AdapterFile))
			saved, _, err := w.deps.Run.Latest()
			require.NoError(t, err)
			require.Equal(t, res.Iterations*c.updatesPerIteration(), saved.Step)
			require.NoError(t, w.deps.Run.Close())

			w = newWorld(t).in(t, dir, c)
			again, err := Train(t.Context(), c, w.deps)
			require.NoError(t, err)
			require.Equal(t, res, again)
			require.Zero(t, w.toy.Updates)
		})
	}
}

type notes struct {
	train.Quiet
	lines []string
}

func (n *notes) Note(text string) { n.lines = append(n.lines, text) }

// offReference claims every token to be much likelier than the policy does.
type offReference struct{ lm.Evaluator }

func (o offReference) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	out, err := o.Evaluator.Forward(ctx, batch, opt)
	if err == nil {
		for _, row := range out.Logprobs {
			for i := range row {
				row[i]++
			}
		}
	}
	return out, err
}

func TestNegativeKLWarning(t *testing.T) {
	c := quick()
	c.Iterations, c.MaxScore = 1, 0 // the toy's first answers all miss the letter
	w := newWorld(t)
	n := &notes{}
	w.deps.Progress, w.deps.Reference = n, offReference{w.deps.Reference}
	_, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	warnings := slices.DeleteFunc(n.lines, func(l string) bool { return !strings.Contains(l, "warning") })
	require.Len(t, warnings, 2)
	require.Contains(t, warnings[0], "the run has 4 updates: with fewer than 10 hardly anything is learned: raise "+
		"iterations")
	require.Contains(t, warnings[1], "should not be negative")
}

// constant is a reward model that is broken: it says the same of everything.
type constant float64

func (c constant) Score(_ context.Context, episodes []rollout.Episode) ([][]float64, error) {
	out := make([]float64, len(episodes))
	for i := range out {
		out[i] = float64(c)
	}
	return [][]float64{out}, nil
}

func (constant) Names() []string { return []string{"constant"} }

// A reward model that tells no answer from another is warned of at once, and stops the run.
func TestEqualScoresStopTheRun(t *testing.T) {
	for _, value := range []constant{0, 0.5, -3} {
		c := quick()
		c.AlarmPatience = 3
		w := newWorld(t)
		n := &notes{}
		w.deps.Progress, w.deps.Scorer = n, value
		res, err := Train(t.Context(), c, w.deps)
		require.NoError(t, err)
		warnings := slices.DeleteFunc(n.lines,
			func(l string) bool { return !strings.HasPrefix(l, "warning: ppo: all 16 scores") })
		require.Len(t, warnings, 1)
		require.Contains(t, warnings[0], "of the first batch are ")
		require.Contains(t, warnings[0], "tells no answer from another")
		require.Equal(t, int64(3), res.Iterations)
		require.Contains(t, res.StoppedBecause, "for 3 iterations in a row")
		require.Contains(t, res.StoppedBecause, "every score of a batch is ")

		c.MaxScore = 0
		w = newWorld(t)
		w.deps.Scorer = value
		res, err = Train(t.Context(), c, w.deps)
		require.NoError(t, err)
		require.NotContains(t, res.StoppedBecause, "every score")
	}
}

// Scores that no working reward model gives are an error before anything is learned.
func TestAbsurdScoresAreAnError(t *testing.T) {
	for _, value := range []constant{1e29, -1001} {
		c := quick()
		w := newWorld(t)
		w.deps.Scorer = value
		_, err := Train(t.Context(), c, w.deps)
		require.ErrorIs(t, err, rollout.ErrScores)
		require.ErrorContains(t, err, "max_score 1000")
		require.Zero(t, w.toy.Updates)
	}
}
