package ppo

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/run"
	"steer/rl/train"
)

// The best adapter is the policy that made the best batch, weight for weight.
func TestBestAdapterIsThePolicyOfTheBestBatch(t *testing.T) {
	c := quick()
	c.Iterations = 10
	c.Seed = 8
	c.Optim.LRSchedule = train.LRSchedule{Schedule: train.Constant}
	dir := t.TempDir()
	w := newWorld(t).in(t, dir, c)
	res, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	records, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	best := run.BestPolicy{Iteration: -1}
	for _, r := range records[1:] {
		v := r.Values
		objective := v["env/reward_mean"] - v["objective/kl_coef"]*v["objective/kl"]
		if best.Iteration < 0 || objective > best.Objective {
			best = run.BestPolicy{
				Iteration: int64(v["iteration"]) - 1, Objective: objective, Score: v["env/reward_mean"],
				KL: v["objective/kl"],
			}
		}
	}
	require.InDelta(t, best.Objective, res.Best.Objective, 1e-12)
	best.Objective = res.Best.Objective
	require.Equal(t, best, *res.Best)
	require.Greater(t, best.Iteration, int64(0))
	require.Less(t, best.Iteration, c.Iterations-1, "a case in which the last policy is not the best")

	short := c
	short.Iterations = best.Iteration
	shortDir := t.TempDir()
	w = newWorld(t).in(t, shortDir, short)
	_, err = Train(t.Context(), short, w.deps)
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(shortDir, run.AdapterFile))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(dir, run.BestFile))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// recorder keeps the requests of every call.
type recorder struct {
	lm.Generator
	calls [][]lm.Request
}

func (r *recorder) Generate(ctx context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	r.calls = append(r.calls, reqs)
	return r.Generator.Generate(ctx, reqs, s)
}

func TestHeldoutAndRolloutStreams(t *testing.T) {
	c := quick()
	c.Iterations, c.HeldoutEvery = 3, 1
	w := newWorld(t)
	r := &recorder{Generator: w.toy}
	w.deps.Generator = r
	_, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	var heldout [][]lm.Request
	seeds := map[uint64]bool{}
	rollouts := 0
	for _, reqs := range r.calls {
		if len(reqs) == len(w.deps.Heldout) {
			heldout = append(heldout, reqs)
			continue
		}
		rollouts++
		for _, q := range reqs {
			seeds[q.Seed] = true
		}
	}
	require.Len(t, heldout, 2+3)
	for _, h := range heldout {
		require.Equal(t, heldout[0], h, "paired: the same prompts with the same streams")
	}
	require.Equal(t, 3, rollouts)
	require.Len(t, seeds, 3*c.RolloutBatchSize, "no rollout repeats a stream")
}

func TestWhitenGroupsInPrepare(t *testing.T) {
	c := sceneConfig()
	c.WhitenRewards, c.WhitenGroupSize = true, 3
	policy, reference, b := scene(&c, func(int) float32 { return 0 })
	st := NewState(&c)
	exp, err := Prepare(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
	require.NoError(t, err)
	for at := 0; at < 6; at += 3 {
		var rewards, before, advantages [][]float64
		for _, tr := range exp.Trajectories[at : at+3] {
			r, _ := Rewards(tr.KL, tr.Score, c.KLCoef)
			before = append(before, r)
			rewards, advantages = append(rewards, tr.Rewards), append(advantages, tr.Advantages)
		}
		want, _ := Moments(before)
		mean, variance := Moments(rewards)
		require.InDelta(t, want, mean, 1e-12, "rewards keep the mean of their group")
		require.InDelta(t, 1, variance, 1e-6)
		mean, variance = Moments(advantages)
		require.InDelta(t, 0, mean, 1e-12)
		require.InDelta(t, 1, variance, 1e-6)
	}
}

func TestStepStatistics(t *testing.T) {
	c := sceneConfig()
	c.ScoreClip = 0.5
	policy, reference, b := scene(&c, func(int) float32 { return 0 })
	m := Models{Policy: policy, Reference: reference}
	st := NewState(&c)
	ahead, err := Prepare(t.Context(), &c, m, &st, b)
	require.NoError(t, err)
	c.KLControl, c.KLTarget, c.KLHorizon = KLAdaptive, 0.9*ahead.MeanKL, 100 // inside the clip of the controller
	exp, report, err := StepBatch(t.Context(), &c, m, &st, b)
	require.NoError(t, err)
	var returns, values [][]float64
	kl, tokens, squares := 0.0, 0.0, 0.0
	for _, tr := range exp.Trajectories {
		require.LessOrEqual(t, tr.Score, 0.5)
		require.GreaterOrEqual(t, tr.Score, -0.5)
		returns, values = append(returns, tr.Returns), append(values, tr.Values)
		kl += tr.KLSum() / 6
		for i := range tr.Values { // the scripted values do not move
			squares += (tr.Values[i] - tr.Returns[i]) * (tr.Values[i] - tr.Returns[i])
			tokens++
		}
	}
	_, variance := Moments(returns)
	s := report.Stats
	require.InDelta(t, 1-squares/tokens/variance, s["ppo/val/var_explained"], 1e-9)
	require.InDelta(t, kl, s["objective/kl"], 1e-12)
	require.InDelta(t, c.KLCoef*(1+(1/0.9-1)*6/100), st.KLCoef, 1e-12)
	require.Equal(t, c.KLCoef, s["objective/kl_coef"], "the one the rewards were made with")
	mean, _ := Moments(values)
	require.InDelta(t, mean, s["ppo/val/mean"], 1e-12)
	require.InDelta(t, 1, s["ppo/policy/entropy"], 1e-12)
	require.InDelta(t, 1, s["ppo/policy/ratio"], 1e-12)
	require.Equal(t, 3.0, s["ppo/updates"])
}

func TestMissingEOSPenalty(t *testing.T) {
	scores := map[float64]float64{}
	ended := 0
	for _, penalty := range []float64{0, 2} {
		c := quick()
		c.Iterations, c.MissingEOSPenalty = 1, penalty
		w := newWorld(t)
		w.deps.Heldout = nil
		res, err := Train(t.Context(), c, w.deps)
		require.NoError(t, err)
		scores[penalty] = *res.ScoreFirst
		ended = w.scorer.Ended
	}
	c := quick()
	missing := 1 - float64(ended)/float64(c.RolloutBatchSize)
	require.Greater(t, missing, 0.1)
	require.InDelta(t, scores[0]-2*missing, scores[2], 1e-9)
}
