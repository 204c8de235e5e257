package ppo

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/rollout"
)

type stepFile struct {
	Config struct {
		BatchSize     int     `json:"batch_size"`
		PPOEpochs     int     `json:"ppo_epochs"`
		LearningRate  float64 `json:"learning_rate"`
		InitKLCoef    float64 `json:"init_kl_coef"`
		Target        float64 `json:"target"`
		Horizon       float64 `json:"horizon"`
		Gamma         float64 `json:"gamma"`
		Lam           float64 `json:"lam"`
		Cliprange     float64 `json:"cliprange"`
		ClipRangeVal  float64 `json:"cliprange_value"`
		VfCoef        float64 `json:"vf_coef"`
		MiniBatchSize int     `json:"mini_batch_size"`
		Accumulate    int     `json:"gradient_accumulation_steps"`
	}
	Steps []struct {
		Queries, Responses [][]int32
		Scores             []float64
		KLCoefBefore       float64 `json:"kl_coef_before"`
		KLCoefAfter        float64 `json:"kl_coef_after"`
		Permutations       [][]int `json:"permutations_per_epoch"`
		Mask               [][]float64
		Logprobs           [][]float64
		RefLogprobs        [][]float64 `json:"ref_logprobs"`
		ValuesRaw          [][]float64 `json:"values_raw"`
		Rewards            [][]float64
		NonScoreReward     [][]float64 `json:"non_score_reward"`
		Advantages         [][]float64
		Returns            [][]float64
		Stats              map[string]any
	}
}

// trlConfig is the configuration that computes what trl 0.7.1 does for a golden step.
func (f *stepFile) trlConfig() Config {
	g := f.Config
	c := Thesis()
	c.RolloutBatchSize, c.MiniBatchSize, c.MicroBatchSize = g.BatchSize, g.MiniBatchSize*g.Accumulate, 1
	c.WhitenGroupSize = 0
	c.PPOEpochs = g.PPOEpochs
	c.Optim.LR = g.LearningRate
	c.KLCoef, c.KLTarget, c.KLHorizon = g.InitKLCoef, g.Target, g.Horizon
	c.Gamma, c.GAELambda = g.Gamma, g.Lam
	c.ClipRange, c.ValueClipRange, c.ValueCoef = g.Cliprange, g.ClipRangeVal, g.VfCoef
	return c
}

// scripted answers each sequence with given numbers, whatever the weights; it counts
// how the learner is used.
type scripted struct {
	logprobs, values map[string][]float32
	entropy          float32
	forward          [][]string // sequences of each pass with gradient
	updates          []lm.Update
	gradients        []lm.Gradient
	zeroed           int
	shift            func(key string) float32 // added to log-probabilities when a gradient is wanted
	watch            func(lm.Sequence, lm.Options)
}

func key(tokens []int32) string {
	var b []byte
	for _, id := range tokens {
		b = append(b, byte(id), byte(id>>8))
	}
	return string(b)
}

func (s *scripted) Forward(_ context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	out := &lm.Output{}
	var keys []string
	for _, seq := range batch {
		k := key(seq.Tokens)
		keys = append(keys, k)
		row := slices.Clone(s.logprobs[k])
		if opt.Gradient && s.shift != nil {
			for i := range row {
				row[i] += s.shift(k)
			}
		}
		if s.watch != nil {
			s.watch(seq, opt)
		}
		out.Logprobs = append(out.Logprobs, row)
		out.Entropy = append(out.Entropy, slices.Repeat([]float32{s.entropy}, len(seq.Targets)))
		if len(seq.Heads) > 0 {
			out.Heads = append(out.Heads, s.values[k])
		}
	}
	if opt.Gradient {
		s.forward = append(s.forward, keys)
	}
	return out, nil
}

func (s *scripted) Backward(g lm.Gradient) error {
	s.gradients = append(s.gradients, g)
	return nil
}

func (s *scripted) Update(u lm.Update) (float64, error) {
	s.updates = append(s.updates, u)
	return 1, nil
}

func (s *scripted) ZeroGrad() error             { s.zeroed++; return nil }
func (s *scripted) State() (*lm.State, error)   { return &lm.State{}, nil }
func (s *scripted) SetState(st *lm.State) error { return nil }

var _ lm.Learner = (*scripted)(nil)

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// Two whole steps of trl's PPOTrainer, given the log-probabilities and values it saw:
// everything up to the updates, the order of the mini-batches, the KL coefficient and
// the statistics of the batch. (With the engine's log-probabilities the updates are
// compared too, in the engine's tests.)
func TestTRLStep(t *testing.T) {
	var f stepFile
	readGolden(t, &f, "step_S", "step.json.gz")
	require.Len(t, f.Steps, 2)
	c := f.trlConfig()
	require.NoError(t, c.Validate())
	st := NewState(&c)
	for _, step := range f.Steps {
		old, ref, values := pick(step.Logprobs, step.Mask), pick(step.RefLogprobs, step.Mask),
			pick(step.ValuesRaw, step.Mask)
		policy := &scripted{logprobs: map[string][]float32{}, values: map[string][]float32{}, entropy: 0.5}
		reference := &scripted{logprobs: map[string][]float32{}}
		keys := make([]string, len(step.Queries))
		for i := range step.Queries {
			seq := withValues(rollout.Sequence(step.Queries[i], step.Responses[i]))
			keys[i] = key(seq.Tokens)
			// Column t of the peer is the prediction of token t+1: the mask starts at
			// the last prompt token, where the value is read.
			require.Equal(t, 1.0, step.Mask[i][seq.Heads[0]])
			require.Equal(t, 0.0, append([]float64{0}, step.Mask[i]...)[seq.Heads[0]])
			policy.logprobs[keys[i]], reference.logprobs[keys[i]] = narrow(old[i]), narrow(ref[i])
			policy.values[keys[i]] = narrow(values[i])
		}
		require.InDelta(t, step.KLCoefBefore, st.KLCoef, 1e-12)
		exp, report, err := StepBatch(t.Context(), &c, Models{Policy: policy, Reference: reference}, &st, Batch{
			Prompts: step.Queries, Responses: step.Responses, Scores: step.Scores,
			Permutation: func(epoch int) []int { return step.Permutations[epoch] },
		})
		require.NoError(t, err)
		var rewards, nonScore, advantages, returns [][]float64
		for _, tr := range exp.Trajectories {
			rewards, nonScore = append(rewards, tr.Rewards), append(nonScore, tr.NonScore)
			advantages, returns = append(advantages, tr.Advantages), append(returns, tr.Returns)
		}
		nearRows(t, pick(step.Rewards, step.Mask), rewards, "rewards")
		nearRows(t, pick(step.NonScoreReward, step.Mask), nonScore, "non-score rewards")
		nearRows(t, pick(step.Advantages, step.Mask), advantages, "advantages")
		nearRows(t, pick(step.Returns, step.Mask), returns, "returns")
		require.InDelta(t, step.KLCoefAfter, st.KLCoef, 1e-9)
		for _, name := range []string{
			"objective/kl", "objective/kl_coef", "objective/entropy", "ppo/mean_non_score_reward", "ppo/mean_scores",
			"ppo/std_scores",
			"tokens/queries_len_mean", "tokens/queries_len_std", "tokens/responses_len_mean",
			"tokens/responses_len_std",
			"ppo/policy/advantages_mean", "ppo/returns/mean", "ppo/val/mean", "ppo/learning_rate",
		} {
			near(t, step.Stats[name].(float64), report.Stats[name], name)
		}
		// One update an epoch, one sequence a pass, in the peer's order.
		require.Len(t, policy.updates, c.PPOEpochs)
		at := 0
		for _, order := range step.Permutations {
			for _, i := range order {
				require.Equal(t, []string{keys[i]}, policy.forward[at])
				at++
			}
		}
		require.Len(t, policy.forward, at)
		for _, u := range policy.updates {
			require.Equal(t, lm.Update{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, u)
		}
	}
	require.Equal(t, int64(2), st.Iteration)
	require.Equal(t, int64(8), st.Updates)
}
