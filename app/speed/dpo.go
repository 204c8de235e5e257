package speed

import (
	"context"

	"steer/rl/data"
	"steer/rl/dpo"
	"steer/rl/train"
)

// dpo measures steps of DPO on Episodes pairs: two answers of New tokens each to a prompt of Prompt tokens.
func (m *measurement) dpo(ctx context.Context) error {
	cfg, err := m.dpoConfig()
	if err != nil {
		return err
	}
	policy, err := m.lora(true, nil)
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
	items, _, err := dpo.NewEncoder(cfg, nil, m.w.Tok).Items(m.pairs())
	if err != nil {
		return err
	}
	if err := cfg.Refer(ctx, reference, items); err != nil {
		return err
	}
	m.loaded()
	r := m.result
	r.Tokens = 2 * m.Episodes * (m.Prompt + m.New)
	r.FLOP = m.weights.train(r.Tokens, 2*m.Episodes*m.New, true)
	round, steps := int64(0), int64(m.Warmup+m.Steps)
	return m.timedSteps(learner, func() error {
		_, err := cfg.StepBatch(ctx, learner, items, round, steps)
		round++
		return err
	})
}

// dpoConfig is the default preset at the measurement's sizes. Adapters are random, so that the policy is not its
// reference at first.
func (m *measurement) dpoConfig() (dpo.Config, error) {
	c, err := dpo.New(dpo.PresetDefault)
	if err != nil {
		return c, err
	}
	c.Seed, c.RatioTolerance, c.MaxLength = m.Seed, 0, m.Prompt+m.New
	c.MiniBatchSize = m.Episodes
	c.Optim.LR = update.LR
	c.Optim.LRSchedule = train.LRSchedule{Schedule: train.Constant}
	return c, c.Validate()
}

// pairs are random.
func (m *measurement) pairs() []data.Pair {
	out := make([]data.Pair, m.Episodes)
	for i := range out {
		prompt := m.ids(m.Prompt)
		side := func() []int32 { return append(prompt[:m.Prompt:m.Prompt], m.ids(m.New)...) }
		out[i] = data.Pair{ChosenIDs: side(), RejectedIDs: side()}
	}
	return out
}
