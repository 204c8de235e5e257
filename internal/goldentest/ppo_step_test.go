package goldentest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/internal/testfiles"
	"steer/rl/ppo"
)

// goldenStep is golden/ppo/step_S/step.json.gz: two PPOTrainer.step calls of trl 0.7.1.
type goldenStep struct {
	Config struct {
		BatchSize     int     `json:"batch_size"`
		PPOEpochs     int     `json:"ppo_epochs"`
		LearningRate  float64 `json:"learning_rate"`
		InitKLCoef    float64 `json:"init_kl_coef"`
		Target        float64
		Horizon       float64
		Gamma         float64
		Lam           float64
		Cliprange     float64
		ClipRangeVal  float64 `json:"cliprange_value"`
		VfCoef        float64 `json:"vf_coef"`
		MiniBatchSize int     `json:"mini_batch_size"`
		Accumulate    int     `json:"gradient_accumulation_steps"`
	}
	Steps []struct {
		Queries, Responses [][]int32
		Scores             []float64
		KLCoefAfter        float64   `json:"kl_coef_after"`
		Permutations       [][]int   `json:"permutations_per_epoch"`
		GradNorms          []float64 `json:"optimizer_step_grad_norms_as_seen_by_adam"`
		Mask               [][]float64
		Logprobs           [][]float64
		RefLogprobs        [][]float64 `json:"ref_logprobs"`
		ValuesRaw          [][]float64 `json:"values_raw"`
		Rewards            [][]float64
		Advantages         [][]float64
		Returns            [][]float64
		Stats              map[string]any
	}
}

func (g *goldenStep) config() ppo.Config {
	c := ppo.Thesis()
	c.RolloutBatchSize, c.MiniBatchSize, c.MicroBatchSize = g.Config.BatchSize,
		g.Config.MiniBatchSize*g.Config.Accumulate, 1
	c.WhitenGroupSize = 0
	c.PPOEpochs = g.Config.PPOEpochs
	c.Optim.LR = g.Config.LearningRate
	c.KLCoef, c.KLTarget, c.KLHorizon = g.Config.InitKLCoef, g.Config.Target, g.Config.Horizon
	c.Gamma, c.GAELambda = g.Config.Gamma, g.Config.Lam
	c.ClipRange, c.ValueClipRange, c.ValueCoef = g.Config.Cliprange, g.Config.ClipRangeVal, g.Config.VfCoef
	return c
}

// watched is a learner that keeps the gradients of its first update.
type watched struct {
	*ggml.Step
	first []lm.Tensor
}

func (w *watched) Update(u lm.Update) (float64, error) {
	if w.first == nil {
		grads, err := w.Gradients()
		if err != nil {
			return 0, err
		}
		w.first = grads
	}
	return w.Step.Update(u)
}

// masked picks the cells whose mask is 1: the response tokens.
func masked(x, mask [][]float64) (out []float64) {
	for i := range x {
		for t, m := range mask[i] {
			if m == 1 {
				out = append(out, x[i][t])
			}
		}
	}
	return out
}

// Two whole PPO steps on stories260K with the real engine, forward, backward and
// Adam, against trl 0.7.1's PPOTrainer (golden/ppo/step_S): log-probabilities and
// values 1e-4, statistics and gradient norms 1e-3, weights 5 % of the way they went.
func TestPPOSteps(t *testing.T) {
	const dir = "ppo/step_S/"
	var golden goldenStep
	testfiles.ReadGolden(t, dir+"step.json.gz", &golden)
	m := open(t, gguftest.Stories260K(t), 1)
	shape := m.Shape()
	host, err := adapter.ImportPEFT(testfiles.Golden(t, dir+"adapter_init"), shape)
	require.NoError(t, err)
	require.NotNil(t, host.Head, "the value head lies beside the adapter")
	l, err := m.NewAdapter(host, true)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	policy := &watched{Step: step(t, m, ggml.StepOptions{Adapters: []*ggml.Adapter{l}, Train: true,
		Precision: ggml.F32})}
	reference := step(t, m, ggml.StepOptions{Precision: ggml.F32}) // the adapter off

	c := golden.config()
	require.NoError(t, c.Validate())
	st := ppo.NewState(&c)
	before := peft(t, host, shape)
	for k, want := range golden.Steps {
		exp, report, err := ppo.StepBatch(t.Context(), &c, ppo.Models{Policy: policy, Reference: reference}, &st,
			ppo.Batch{
				Prompts: want.Queries, Responses: want.Responses, Scores: want.Scores,
				Permutation: func(epoch int) []int { return want.Permutations[epoch] },
			})
		require.NoError(t, err)

		var logprobs, ref, values, rewards, advantages, returns []float64
		for _, tr := range exp.Trajectories {
			logprobs, ref, values = append(logprobs, tr.Logprobs...), append(ref, tr.Ref...),
				append(values, tr.Values...)
			rewards, advantages, returns = append(rewards, tr.Rewards...), append(advantages, tr.Advantages...),
				append(returns, tr.Returns...)
		}
		for _, cmp := range []struct {
			name      string
			got, want []float64
			tol       float64
		}{
			{"log-probabilities", logprobs, masked(want.Logprobs, want.Mask), 1e-4},
			{"reference's", ref, masked(want.RefLogprobs, want.Mask), 1e-4},
			{"values", values, masked(want.ValuesRaw, want.Mask), 1e-4},
			{"rewards", rewards, masked(want.Rewards, want.Mask), 1e-4},
			{"advantages", advantages, masked(want.Advantages, want.Mask), 1e-3},
			{"returns", returns, masked(want.Returns, want.Mask), 1e-3},
		} {
			require.Len(t, cmp.got, len(cmp.want), cmp.name)
			largest := 0.0
			for i := range cmp.got {
				largest = max(largest, cmp.got[i]-cmp.want[i], cmp.want[i]-cmp.got[i])
			}
			t.Logf("step %d: %s: %d values, largest difference %.1g", k+1, cmp.name, len(cmp.got), largest)
			require.LessOrEqual(t, largest, cmp.tol, "step %d: %s", k+1, cmp.name)
		}
		compared := 0
		for name, v := range want.Stats {
			peer, isNumber := v.(float64)
			if !isNumber {
				continue // lists, and the variances of one token, "nan" at the peer
			}
			compared++
			own, has := report.Stats[name]
			require.True(t, has, name)
			require.InDelta(t, peer, own, 1e-3*max(1, peer, -peer), "step %d: %s", k+1, name)
		}
		require.InDelta(t, want.KLCoefAfter, st.KLCoef, 1e-6)
		require.Len(t, report.GradNorms, len(want.GradNorms))
		for i := range want.GradNorms {
			require.InEpsilon(t, want.GradNorms[i], report.GradNorms[i], 1e-3, "step %d, update %d", k+1, i)
		}
		t.Logf("step %d: %d statistics, gradient norms %.5f (%.5f)", k+1, compared, report.GradNorms, want.GradNorms)

		if k == 0 {
			a := host.Clone()
			require.NoError(t, a.SetParams(policy.first))
			got, grads := peft(t, a, shape), tensors(t, testfiles.Golden(t, dir+"grads_first_update.safetensors"))
			require.Len(t, got, len(grads))
			t.Logf("gradients of the first update: rms difference %.1g of %.2g", rms(t, got, grads), rms(t, grads, nil))
			require.LessOrEqual(t, rms(t, got, grads), 1e-3*rms(t, grads, nil))
		}
		files := []string{testfiles.Golden(t, dir+"weights_after_step1.safetensors")}
		if k == 1 {
			files = []string{testfiles.Golden(t, dir+"adapter_final/adapter_model.safetensors"),
				testfiles.Golden(t, dir+"adapter_final/v_head.safetensors")}
		}
		now, err := l.Host()
		require.NoError(t, err)
		weights := tensors(t, files...)
		difference, way := rms(t, peft(t, now, shape), weights), rms(t, weights, before)
		t.Logf("weights after step %d: rms difference %.2g of a way of %.2g", k+1, difference, way)
		require.LessOrEqual(t, difference, 0.05*way)
	}
}
