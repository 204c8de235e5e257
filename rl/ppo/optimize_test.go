package ppo

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/rollout"

	"steer/ggml/lm"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// shifting moves the log-probabilities of the passes that want a gradient.
type shifting struct {
	*traintest.Toy
	shift func(pass int) float32
	pass  int
}

func (s *shifting) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	out, err := s.Toy.Forward(ctx, batch, opt)
	if err == nil && opt.Gradient {
		s.pass++
		for _, row := range out.Logprobs {
			for i := range row {
				row[i] += s.shift(s.pass)
			}
		}
	}
	return out, err
}

func TestRatioGuard(t *testing.T) {
	w := newWorld(t)
	w.deps.Learner = &shifting{Toy: w.toy, shift: func(int) float32 { return 0.01 }}
	c := quick()
	_, err := Train(t.Context(), c, w.deps)
	require.ErrorIs(t, err, rollout.ErrRatio)
	var ratio *rollout.RatioError
	require.ErrorAs(t, err, &ratio)
	require.Equal(t, ratio.Tokens, ratio.Bad)
	require.Len(t, ratio.First, 8)
	require.ErrorContains(t, err, "iteration 1")
	require.ErrorContains(t, err, "ratio 1.01005")
	require.Zero(t, w.toy.Updates, "nothing was learned from it")

	// Within the tolerance, later than the first mini-batch, or with the check off, it is fine.
	half := func(pass int) float32 { return map[bool]float32{true: 0.3}[pass == 1] } // of the tokens, about
	for _, ok := range []struct {
		shift               func(pass int) float32
		tolerance, outliers float64
	}{
		{func(int) float32 { return 5e-5 }, 1e-4, 0},
		// 8 episodes in micro-batches of 4
		{func(pass int) float32 { return map[bool]float32{true: 0.3}[pass == 3] }, 1e-4, 0},
		{func(int) float32 { return 0.01 }, 0, 0},
		{half, 1e-4, 0.9},
	} {
		w := newWorld(t)
		w.deps.Learner = &shifting{Toy: w.toy, shift: ok.shift}
		c := quick()
		c.Iterations, c.RatioTolerance, c.RatioOutliers = 1, ok.tolerance, ok.outliers
		_, err := Train(t.Context(), c, w.deps)
		require.NoError(t, err)
	}

	// More of them than may be off are an error.
	w = newWorld(t)
	w.deps.Learner = &shifting{Toy: w.toy, shift: half}
	c.RatioTolerance, c.RatioOutliers = 1e-4, 0.1
	_, err = Train(t.Context(), c, w.deps)
	require.ErrorAs(t, err, &ratio)
	require.Greater(t, float64(ratio.Bad), 0.1*float64(ratio.Tokens))
	require.Less(t, ratio.Bad, ratio.Tokens)
	require.ErrorContains(t, err, "are off by more than 0.0001 (10 % may be), the worst is ")
}

// scene is a batch for StepBatch with a scripted policy whose second look at the
// tokens differs.
func scene(c *Config, shift func(episode int) float32) (*scripted, *scripted, Batch) {
	rng := rand.New(rand.NewPCG(9, 9))
	policy := &scripted{logprobs: map[string][]float32{}, values: map[string][]float32{}, entropy: 1}
	reference := &scripted{logprobs: map[string][]float32{}}
	var b Batch
	for i := range c.RolloutBatchSize {
		prompt, response := []int32{0, int32(i)}, []int32{7, 8, 9}[:1+i%3]
		b.Prompts, b.Responses = append(b.Prompts, prompt), append(b.Responses, response)
		b.Scores = append(b.Scores, rng.NormFloat64())
		k := key(append(append([]int32(nil), prompt...), response...))
		policy.logprobs[k] = narrow(randomRow(rng, len(response), 1))
		policy.values[k] = narrow(randomRow(rng, len(response), 1))
		reference.logprobs[k] = narrow(randomRow(rng, len(response), 1))
	}
	policy.shift = func(k string) float32 {
		for i := range b.Prompts {
			if k == key(append(append([]int32(nil), b.Prompts[i]...), b.Responses[i]...)) {
				return shift(i)
			}
		}
		return 0
	}
	return policy, reference, b
}

func sceneConfig() Config {
	c := quick()
	c.RolloutBatchSize, c.MiniBatchSize, c.MicroBatchSize, c.PPOEpochs = 6, 6, 2, 3
	c.RatioTolerance = 0
	return c
}

func TestRatioThreshold(t *testing.T) {
	wild := func(episode int) float32 { return map[bool]float32{true: 9}[episode == 4] } // e^9 = 8103
	for _, mean := range []LossMean{MeanToken, MeanSequence, MeanGroup} {
		c := sceneConfig()
		c.LossMean, c.EarlyStop = mean, false
		policy, reference, b := scene(&c, wild)
		st := NewState(&c)
		_, report, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
		require.NoError(t, err)
		require.Equal(t, c.PPOEpochs, report.Skipped)
		if mean == MeanToken { // the whole mini-batch goes, and no step is taken
			require.Empty(t, policy.updates)
			require.Zero(t, report.Stats["ppo/loss/total"])
			require.Zero(t, st.Updates)
			require.Equal(t, 2*c.PPOEpochs, policy.zeroed, "what was accumulated is dropped")
			continue
		}
		// Only the sequence goes; the others keep their share of the mean.
		require.Len(t, policy.updates, c.PPOEpochs)
		zero := 0
		for _, g := range policy.gradients {
			for i := range g.Logprobs {
				sum := 0.0
				for _, x := range append(append([]float32(nil), g.Logprobs[i]...), g.Heads[i]...) {
					sum += math.Abs(float64(x))
				}
				if sum == 0 {
					zero++
				}
			}
		}
		require.Equal(t, c.PPOEpochs, zero)
	}

	// As trl: the optimizer steps although everything was skipped.
	c := sceneConfig()
	c.UpdateWhenSkipped = true
	policy, reference, b := scene(&c, wild)
	st := NewState(&c)
	_, _, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
	require.NoError(t, err)
	require.NotEmpty(t, policy.updates)

	// A ratio beyond float32 is skipped as well, and an error with the threshold off.
	c = sceneConfig()
	huge := func(int) float32 { return 1e4 }
	policy, reference, b = scene(&c, huge)
	st = NewState(&c)
	_, report, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
	require.NoError(t, err)
	require.NotZero(t, report.Skipped)
	for _, g := range policy.gradients {
		_, bad := notFinite(g.Logprobs...)
		require.False(t, bad, "no infinity reaches the engine")
	}
	c.RatioThreshold = 0
	policy, reference, b = scene(&c, huge)
	st = NewState(&c)
	_, _, err = StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
	require.ErrorIs(t, err, train.ErrDiverged)
}

func TestEarlyStop(t *testing.T) {
	for _, on := range []bool{true, false} {
		c := sceneConfig()
		c.EarlyStop, c.PolicyKLTarget = on, 0.1
		policy, reference, b := scene(&c, func(int) float32 { return -0.2 }) // policykl 0.2 > 0.15
		st := NewState(&c)
		_, report, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
		require.NoError(t, err)
		want := c.PPOEpochs
		if on {
			want = 1
		}
		require.Equal(t, want, report.Epochs)
		require.Len(t, policy.updates, want)
		require.InDelta(t, 0.2, report.Stats["ppo/policy/policykl"], 1e-6)
		require.InDelta(t, math.Exp(-0.2), report.FirstRatio, 1e-6)
	}
}

func TestLearningRateFollowsIterationsNotUpdates(t *testing.T) {
	c := sceneConfig()
	c.Iterations, c.EarlyStop, c.PolicyKLTarget = 4, true, 0.1
	st := NewState(&c)
	for i := range 4 {
		policy, reference, b := scene(&c, func(int) float32 { return -0.2 })
		_, _, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
		require.NoError(t, err)
		require.Len(t, policy.updates, 1)
		require.InEpsilon(t, c.Optim.LR*(1-float64(i)/4), policy.updates[0].LR, 1e-12)
	}
}

func TestStepRefusesBadInput(t *testing.T) {
	zero := func(int) float32 { return 0 }
	for _, bad := range []struct {
		name, want string
		spoil      func(c *Config, policy, reference *scripted, b *Batch)
	}{
		{"short batch", "want rollout_batch_size 6",
			func(_ *Config, _, _ *scripted, b *Batch) { b.Scores = b.Scores[:5] }},
		{"empty prompt", "episode 2: the prompt has no token",
			func(_ *Config, _, _ *scripted, b *Batch) { b.Prompts[2] = nil }},
		{"empty response", "episode 3: the response has no token",
			func(_ *Config, _, _ *scripted, b *Batch) { b.Responses[3] = nil }},
		{"NaN score", "episode 1: the score is NaN",
			func(_ *Config, _, _ *scripted, b *Batch) { b.Scores[1] = math.NaN() }},
		{"permutation", "want each of 0..5 once", func(_ *Config, _, _ *scripted, b *Batch) {
			b.Permutation = func(int) []int { return []int{0, 1, 2, 3, 4, 4} }
		}},
		{"NaN log-probability", "log-probability of response token 0", func(_ *Config, p, _ *scripted, b *Batch) {
			p.logprobs[key([]int32{0, 0, 7})] = []float32{float32(math.NaN())}
		}},
		{"missing reference", "reference log-probabilities: log-probability: sequence 0: want 1 numbers, got 0",
			func(_ *Config, _, r *scripted, b *Batch) {
				r.logprobs = nil
			}},
		{"missing values", "value: sequence 0", func(_ *Config, p, _ *scripted, b *Batch) { p.values = nil }},
		{"full KL", "kl_penalty full needs",
			func(c *Config, _, _ *scripted, b *Batch) { c.KLPenalty = rollout.KLFull }},
	} {
		c := sceneConfig()
		policy, reference, b := scene(&c, zero)
		bad.spoil(&c, policy, reference, &b)
		st := NewState(&c)
		_, _, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
		require.ErrorContains(t, err, bad.want, bad.name)
		require.True(t, strings.HasPrefix(err.Error(), "ppo: iteration 1: "), err.Error())
	}
}

func TestFullKLIsUsed(t *testing.T) {
	c := sceneConfig()
	c.KLPenalty = rollout.KLFull
	policy, reference, b := scene(&c, func(int) float32 { return 0 })
	st := NewState(&c)
	full := func(_ context.Context, batch []lm.Sequence, opt lm.Options) ([][]float32, error) {
		out := make([][]float32, len(batch))
		for i, s := range batch {
			for k := range s.Targets {
				out[i] = append(out[i], float32(10*i+k))
			}
		}
		return out, nil
	}
	exp, err := Prepare(t.Context(), &c, Models{Policy: policy, Reference: reference, FullKL: full}, &st, b)
	require.NoError(t, err)
	require.Equal(t, []float64{20, 21, 22}, exp.Trajectories[2].KL)
	require.InDelta(t, -c.KLCoef*21, exp.Trajectories[2].Rewards[1], 1e-12)
}

func TestDropoutSeedsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	c := sceneConfig()
	c.Dropout = true
	policy, reference, b := scene(&c, func(int) float32 { return 0 })
	policy.watch = func(seq lm.Sequence, opt lm.Options) {
		require.True(t, opt.Dropout)
		require.False(t, seen[seq.DropoutSeed], "every pass has masks of its own")
		seen[seq.DropoutSeed] = true
	}
	reference.watch = func(_ lm.Sequence, opt lm.Options) { require.False(t, opt.Dropout) }
	st := NewState(&c)
	_, _, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
	require.NoError(t, err)
	require.Len(t, seen, c.RolloutBatchSize*(1+c.PPOEpochs))
}

func TestLogprobTemperature(t *testing.T) {
	for mode, want := range map[rollout.LogprobTemperature]float32{rollout.LogprobAtSampling: 0.7,
		rollout.LogprobAtOne: 1} {
		c := sceneConfig()
		c.Temperature, c.LogprobTemperature = 0.7, mode
		policy, reference, b := scene(&c, func(int) float32 { return 0 })
		check := func(_ lm.Sequence, opt lm.Options) { require.Equal(t, want, opt.Temperature) }
		policy.watch, reference.watch = check, check
		st := NewState(&c)
		_, _, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, b)
		require.NoError(t, err)
	}
}
