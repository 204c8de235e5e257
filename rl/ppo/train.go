package ppo

import (
	"context"
	"errors"

	"steer/rl/rollout"
	"steer/rl/run"
)

// Train runs PPO to its last iteration, or on from the newest checkpoint of deps.Run; see
// [rollout.Train].
func Train(ctx context.Context, cfg Config, deps Deps) (run.PolicySummary, error) {
	if err := errors.Join(cfg.Validate(), deps.validate(&cfg)); err != nil {
		return run.PolicySummary{}, err
	}
	deps.Default("ppo")
	for _, doubt := range cfg.Optim.Doubts(cfg.Iterations*cfg.updatesPerIteration(), "raise iterations or ppo_epochs") {
		deps.Note("%s", doubt)
	}
	return rollout.Train(ctx, cfg.settings(deps.Weights), deps.Deps, &algorithm{
		cfg: &cfg, st: NewState(&cfg),
		models: Models{Policy: deps.Learner, Reference: deps.Reference, FullKL: deps.FullKL},
	})
}

// settings are those of the loop.
func (c *Config) settings(weights []float64) rollout.Settings {
	return rollout.Settings{
		Name: "ppo", Seed: c.Seed, Iterations: c.Iterations, Batch: c.RolloutBatchSize, Group: 1,
		UpdatesPerIteration: c.updatesPerIteration(), MicroBatch: c.MicroBatchSize,
		Sampling: &c.Sampling, Guards: &c.Guards, Record: &c.Record, Rewards: c.Mixture, Weights: weights,
	}
}

// algorithm is PPO as [rollout.Algorithm].
type algorithm struct {
	cfg    *Config
	models Models
	st     State
	exp    *Experience
}

// Prepare implements [rollout.Algorithm].
func (a *algorithm) Prepare(ctx context.Context, b *rollout.Batch) (p rollout.Prepared, err error) {
	if err := b.Judged(); err != nil {
		return p, err
	}
	batch := Batch{Scores: b.Scores}
	for _, e := range b.Episodes {
		batch.Prompts = append(batch.Prompts, e.Tokens)
		batch.Responses = append(batch.Responses, e.Response)
	}
	if a.exp, err = Prepare(ctx, a.cfg, a.models, &a.st, batch); err != nil {
		return p, err
	}
	p.KLCoef = a.exp.KLCoef
	for i := range a.exp.Trajectories {
		p.KL = append(p.KL, a.exp.Trajectories[i].KLSum())
	}
	return p, nil
}

// Optimize implements [rollout.Algorithm].
func (a *algorithm) Optimize(ctx context.Context) (rollout.Report, error) {
	r, err := Optimize(ctx, a.cfg, a.models, &a.st, a.exp)
	if err != nil {
		return rollout.Report{}, err
	}
	return rollout.Report{
		Stats: r.Stats, Loss: r.Stats["ppo/loss/total"], Entropy: r.Stats["ppo/policy/entropy"], Epochs: r.Epochs,
		Updates: a.st.Updates, KLCoef: r.KLCoef,
	}, nil
}

// State implements [rollout.Algorithm].
func (a *algorithm) State() any { return &a.st }
