package speed

import (
	"context"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/ppo"
	"steer/rl/train"
)

// ppo measures whole PPO iterations: Episodes responses of New tokens to prompts of Prompt
// tokens, scored by a reward adapter, log-probabilities under policy and reference,
// values, then Epochs passes of updates with one mini-batch each.
func (m *measurement) ppo(ctx context.Context) error {
	cfg, err := m.ppoConfig()
	if err != nil {
		return err
	}
	n := m.w.Model.Shape().Embd
	policy, err := m.lora(true, adapter.NewValueHead(n, m.Seed))
	if err != nil {
		return err
	}
	reward, err := m.lora(false, adapter.NewScoreHead(n, m.Seed))
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
	models := ppo.Models{Policy: learner, Reference: reference}
	generator, state := m.w.Generator(policy), ppo.NewState(&cfg)
	m.loaded()
	r := m.result
	r.Tokens = m.Episodes * (m.Prompt + m.New)
	r.FLOP = m.ppoWork()
	return m.timedSteps(learner, func() error {
		batch, err := m.episodes(ctx, generator, scorer)
		if err != nil {
			return err
		}
		_, _, err = ppo.StepBatch(ctx, &cfg, models, &state, batch)
		return err
	})
}

// ppoConfig is the default preset without the guards that end a run early: on random
// prompts nothing is learned that they could watch.
func (m *measurement) ppoConfig() (ppo.Config, error) {
	c, err := ppo.New(train.PresetDefault)
	if err != nil {
		return c, err
	}
	c.Seed = m.Seed
	c.Iterations = int64(m.Warmup + m.Steps)
	c.RolloutBatchSize, c.MiniBatchSize, c.MicroBatchSize = m.Episodes, m.Episodes, episodesAtOnce(m.Episodes)
	c.PPOEpochs, c.MaxNewTokens = m.Epochs, m.New
	c.Optim.LR = update.LR
	c.Optim.LRSchedule = train.LRSchedule{Schedule: train.Constant}
	c.EarlyStop, c.RatioThreshold, c.MissingEOSPenalty = false, 0, 0
	c.MaxKL, c.MinEntropyRatio, c.MaxEntropyRatio, c.MaxRepetitionRise, c.MaxScore = 0, 0, 0, 0, 0
	return c, c.Validate()
}

// episodesAtOnce is the largest divisor of n up to 4.
func episodesAtOnce(n int) int {
	for d := 4; d > 1; d-- {
		if n%d == 0 {
			return d
		}
	}
	return 1
}

// episodes samples responses with the live policy and scores them.
func (m *measurement) episodes(ctx context.Context, g lm.Generator, scorer lm.Evaluator) (ppo.Batch, error) {
	var b ppo.Batch
	episodes, scores, err := m.answers(ctx, g, scorer, m.requests(m.Episodes, m.New))
	for _, e := range episodes {
		b.Prompts, b.Responses = append(b.Prompts, e.Tokens), append(b.Responses, e.Response)
	}
	b.Scores = scores
	return b, err
}

// ppoWork counts the arithmetic of an iteration: sampling, reward, policy and reference
// log-probabilities, and the epochs of updates.
func (m *measurement) ppoWork() float64 {
	tokens, targets := m.Episodes*(m.Prompt+m.New), m.Episodes*m.New
	w := m.weights
	return 3*w.forward(tokens, targets) + w.forward(tokens, 0) + float64(m.Epochs)*w.train(tokens, targets, true)
}
