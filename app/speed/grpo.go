package speed

import (
	"context"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/grpo"
	"steer/rl/rollout"
	"steer/rl/train"
)

// grpo measures whole GRPO iterations: Group responses of New tokens to each of Episodes prompts of Prompt tokens,
// scored by a reward adapter, log-probabilities under policy and reference, then Epochs passes of updates with one
// mini-batch each.
func (m *measurement) grpo(ctx context.Context) error {
	cfg, err := m.grpoConfig()
	if err != nil {
		return err
	}
	policy, err := m.lora(true, nil)
	if err != nil {
		return err
	}
	reward, err := m.lora(false, adapter.NewScoreHead(m.w.Model.Shape().Embd, m.Seed))
	if err != nil {
		return err
	}
	learner, err := m.step(policy, true)
	if err != nil {
		return err
	}
	reference, err := m.w.Step(nil, false, 0)
	if err != nil {
		return err
	}
	scorer, err := m.w.Step([]*ggml.Adapter{reward}, false, 0)
	if err != nil {
		return err
	}
	models := grpo.Models{Policy: learner, Reference: reference}
	generator, state := m.w.Generator(policy), grpo.State{}
	m.loaded()
	r := m.result
	r.Tokens = m.Episodes * m.Group * (m.Prompt + m.New)
	r.FLOP = m.grpoWork()
	return m.timedSteps(learner, func() error {
		episodes, scores, err := m.answers(ctx, generator, scorer, m.groups())
		if err != nil {
			return err
		}
		batch := &rollout.Batch{Iteration: state.Iteration, Episodes: episodes, Scores: scores,
			Rewards: [][]float64{scores}, Weights: []float64{1}}
		_, err = grpo.StepBatch(ctx, &cfg, models, &state, batch)
		return err
	})
}

// grpoConfig is the default preset at the measurement's sizes.
func (m *measurement) grpoConfig() (grpo.Config, error) {
	c, err := grpo.New(grpo.PresetDefault)
	if err != nil {
		return c, err
	}
	c.Seed, c.Iterations = m.Seed, int64(m.Warmup+m.Steps)
	c.Prompts, c.NumGenerations, c.Epochs, c.MaxNewTokens = m.Episodes, m.Group, m.Epochs, m.New
	c.MiniBatchSize, c.MicroBatchSize = m.Episodes*m.Group, episodesAtOnce(m.Episodes*m.Group)
	c.Optim.LR = update.LR
	c.Optim.LRSchedule = train.LRSchedule{Schedule: train.Constant}
	return c, c.Validate()
}

// groups asks each prompt several times.
func (m *measurement) groups() (out []lm.Request) {
	for _, r := range m.requests(m.Episodes, m.New) {
		for range m.Group {
			r.Seed = m.rng.Uint64()
			out = append(out, r)
		}
	}
	return out
}

// grpoWork counts the arithmetic of an iteration: sampling, reward, policy and reference log-probabilities, and the
// epochs of updates.
func (m *measurement) grpoWork() float64 {
	tokens, targets := m.Episodes*m.Group*(m.Prompt+m.New), m.Episodes*m.Group*m.New
	w := m.weights
	return 3*w.forward(tokens, targets) + w.forward(tokens, 0) + float64(m.Epochs)*w.train(tokens, targets, true)
}
