package ppo

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/rollout"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// endless is a vocabulary without an end token.
type endless struct{ traintest.Letters }

func (endless) EOS() int32 { return -1 }

func TestDepsAreChecked(t *testing.T) {
	for want, spoil := range map[string]func(c *Config, d *Deps){
		"policy, reference, generator": func(_ *Config, d *Deps) { d.Reference = nil },
		"no prompts to train on":       func(_ *Config, d *Deps) { d.Prompts = nil },
		"1 held-out prompt":            func(_ *Config, d *Deps) { d.Heldout = d.Heldout[:1] },
		`prompt 1 ("empty"): no token`: func(_ *Config,
			d *Deps) {
			d.Prompts[1] = rollout.Prompt{Text: "empty"}
		},
		"missing_eos_penalty 0.5, but this vocabula": func(_ *Config, d *Deps) { d.Tokenizer = endless{} },
		"kl_penalty full needs the whole":            func(c *Config, _ *Deps) { c.KLPenalty = rollout.KLFull },
		"ppo: iterations: want at least 1":           func(c *Config, _ *Deps) { c.Iterations = 0 },
	} {
		c := quick()
		w := newWorld(t)
		spoil(&c, &w.deps)
		_, err := Train(t.Context(), c, w.deps)
		require.ErrorContains(t, err, want)
		require.Zero(t, w.toy.Forwards, "refused before any work")
	}
	c := quick()
	c.Iterations = 1
	w := newWorld(t)
	w.deps.Tokenizer, w.deps.StopTokens = endless{}, []int32{1}
	_, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
}

type scorerFunc func([]rollout.Episode) ([]float64, error)

func (f scorerFunc) Score(_ context.Context, e []rollout.Episode) ([][]float64, error) {
	x, err := f(e)
	return [][]float64{x}, err
}

func (scorerFunc) Names() []string { return []string{"f"} }

func TestScorerIsChecked(t *testing.T) {
	broken := errors.New("reward model is gone")
	for want, f := range map[string]scorerFunc{
		"16 episodes gave 2 scores": func([]rollout.Episode) ([]float64, error) { return make([]float64, 2), nil },
		"the score of episode 3 is NaN": func(e []rollout.Episode) ([]float64, error) {
			s := make([]float64, len(e))
			s[3] = math.NaN()
			return s, nil
		},
		"scoring: reward model is gone": func([]rollout.Episode) ([]float64, error) { return nil, broken },
	} {
		w := newWorld(t)
		w.deps.Scorer, w.deps.Heldout = f, nil
		_, err := Train(t.Context(), quick(), w.deps)
		require.ErrorContains(t, err, "ppo: iteration 1: scoring: ")
		require.ErrorContains(t, err, want)
	}
}

func TestScorerSeesTheEpisode(t *testing.T) {
	w := newWorld(t)
	w.deps.Heldout = nil
	c := quick()
	c.Iterations = 1
	w.deps.Scorer = scorerFunc(func(episodes []rollout.Episode) ([]float64, error) {
		for _, e := range episodes {
			require.Equal(t, traintest.Letters{}.Decode(e.Tokens, true), e.Text)
			require.Equal(t, traintest.Letters{}.Decode(e.Response, false), e.ResponseText)
			require.NotEmpty(t, e.Response)
			require.Equal(t, e.Response[len(e.Response)-1] == 1, e.Ended)
		}
		return make([]float64, len(episodes)), nil
	})
	_, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
}

func TestDivergenceIsAnError(t *testing.T) {
	w := newWorld(t)
	w.toy.NaNAtStep = 3
	_, err := Train(t.Context(), quick(), w.deps)
	require.ErrorIs(t, err, train.ErrDiverged)
	require.ErrorContains(t, err, "log-probability of response token 0")
	require.Equal(t, int64(2), w.toy.Updates, "the bad update was not taken")
}

func TestBaselineGenerator(t *testing.T) {
	w := newWorld(t)
	c := quick()
	c.Iterations = 1
	answers := make([]lm.Generation, len(w.deps.Heldout))
	for i := range answers {
		answers[i] = lm.Generation{Tokens: []int32{5, 5}, Finish: lm.FinishLength} // full score, 8
	}
	w.deps.Baseline = &canned{answers: answers}
	res, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	require.InDelta(t, res.HeldoutFirst.Score.Mean-8, res.HeldoutFirst.Difference.Mean, 1e-6)
	require.Equal(t, len(answers), res.HeldoutFirst.Difference.N)
	require.Less(t, *res.HeldoutFirst.Difference.Hi, 0.0)
}

func TestHeldoutPromptsMayNotChange(t *testing.T) {
	dir := t.TempDir()
	c := quick()
	c.Iterations, c.CheckpointEvery = 2, 1
	w := newWorld(t).in(t, dir, c)
	w.deps.Stopper = train.NewStopper()
	w.scorer.Hook = func(call int) error {
		if call == 3 {
			w.deps.Stopper.Request()
		}
		return nil
	}
	_, err := Train(t.Context(), c, w.deps)
	require.ErrorIs(t, err, train.ErrInterrupted)
	require.NoError(t, w.deps.Run.Close())
	w = newWorld(t).in(t, dir, c)
	w.deps.Heldout = w.deps.Heldout[:5]
	_, err = Train(t.Context(), c, w.deps)
	require.ErrorContains(t, err, "started with other held-out prompts")
}

// canned gives back fixed responses.
type canned struct{ answers []lm.Generation }

func (g *canned) Generate(context.Context, []lm.Request, lm.Sampling) ([]lm.Generation, error) {
	return slices.Clone(g.answers), nil
}
