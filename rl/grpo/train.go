package grpo

import (
	"context"
	"errors"
	"fmt"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// Deps is what a run works with. Nothing in it is closed by Train.
type Deps struct {
	rollout.Deps
	// Weights are those of the scorer's rewards; nil for 1 each.
	Weights []float64
}

// Train runs to the last iteration, or on from the newest checkpoint of deps.Run; see [rollout.Train].
func Train(ctx context.Context, cfg Config, deps Deps) (run.PolicySummary, error) {
	check := train.NewChecks("grpo")
	deps.Check(check, &cfg.Sampling)
	if err := errors.Join(cfg.Validate(), check.Err()); err != nil {
		return run.PolicySummary{}, err
	}
	deps.Default("grpo")
	for _, doubt := range cfg.Optim.Doubts(cfg.Iterations*cfg.updatesPerIteration(), "raise iterations or epochs") {
		deps.Note("%s", doubt)
	}
	return rollout.Train(ctx, cfg.settings(deps.Weights), deps.Deps, &algorithm{
		cfg: &cfg, policy: deps.Learner, reference: deps.Reference,
	})
}

// settings are those of the loop.
func (c *Config) settings(weights []float64) rollout.Settings {
	return rollout.Settings{
		Name: "grpo", Seed: c.Seed, Iterations: c.Iterations, Batch: c.answers(), Group: c.NumGenerations,
		UpdatesPerIteration: c.updatesPerIteration(), MicroBatch: c.MicroBatchSize,
		Resample: rollout.Resample{Rounds: c.DynamicSampling},
		Penalty: func(e *rollout.Episode) float64 {
			return -SoftOverlong(len(e.Response), c.MaxNewTokens, c.OverlongCache)
		},
		Sampling: &c.Sampling, Guards: &c.Guards, Record: &c.Record, Rewards: c.Mixture, Weights: weights,
	}
}

// Models are what an iteration computes with.
type Models struct {
	Policy    lm.Learner
	Reference lm.Evaluator
}

// StepBatch is one iteration on given answers and scores, whole groups in a row: what the trainer does of it once
// answers are sampled, without records. It moves st on.
func StepBatch(ctx context.Context, c *Config, m Models, st *State, b *rollout.Batch) (rollout.Report, error) {
	a := &algorithm{cfg: c, policy: m.Policy, reference: m.Reference, st: *st}
	if _, err := a.Prepare(ctx, b); err != nil {
		return rollout.Report{}, fmt.Errorf("grpo: iteration %d: %w", st.Iteration+1, err)
	}
	report, err := a.Optimize(ctx)
	if err != nil {
		return report, fmt.Errorf("grpo: iteration %d: %w", st.Iteration+1, err)
	}
	*st = a.st
	return report, nil
}

// State is what one iteration hands to the next, besides the weights.
type State struct {
	Iteration int64 `json:"iteration"` // finished
	Updates   int64 `json:"updates"`   // optimizer updates taken
}

// algorithm is GRPO as [rollout.Algorithm].
type algorithm struct {
	cfg       *Config
	policy    lm.Learner
	reference lm.Evaluator
	st        State
	exp       *experience
}

// State implements [rollout.Algorithm].
func (a *algorithm) State() any { return &a.st }

// experience is a batch ready to learn from.
type experience struct {
	*rollout.Batch
	old, ref   [][]float64 // log-probabilities, [answer][token]
	entropy    [][]float64 // of the distributions that tokens were drawn from; nil unless they are needed
	advantages [][]float64 // [answer][token]
	flat       []bool
	kl         []float64 // of each answer, k1
}

// Prepare implements [rollout.Algorithm].
func (a *algorithm) Prepare(ctx context.Context, b *rollout.Batch) (p rollout.Prepared, err error) {
	e := &experience{Batch: b}
	if err := e.read(ctx, a); err != nil {
		return p, err
	}
	e.compare(a.cfg)
	a.exp = e
	return rollout.Prepared{KL: e.kl, KLCoef: a.cfg.Beta}, nil
}

// read runs the answers through policy and reference as they are before the first update.
func (e *experience) read(ctx context.Context, a *algorithm) error {
	c := a.cfg
	seqs := make([]lm.Sequence, len(e.Episodes))
	for i, ep := range e.Episodes {
		seqs[i] = rollout.Sequence(ep.Tokens, ep.Response)
		seqs[i].DropoutSeed = seed.Derive(c.Seed, "grpo.dropout", uint64(a.st.Iteration), 0, uint64(i))
	}
	opt := lm.Options{Temperature: c.PassTemperature()}
	ref, err := rollout.Forward(ctx, a.reference, seqs, opt, c.MicroBatchSize)
	if err != nil {
		return fmt.Errorf("reference log-probabilities: %w", err)
	}
	opt.Dropout, opt.Entropy = c.Dropout, c.TopEntropyQuantile < 1
	old, err := rollout.Forward(ctx, a.policy, seqs, opt, c.MicroBatchSize)
	if err != nil {
		return fmt.Errorf("policy log-probabilities: %w", err)
	}
	for i := range seqs {
		e.old = append(e.old, rollout.Widen(old.Logprobs[i]))
		e.ref = append(e.ref, rollout.Widen(ref.Logprobs[i]))
		kl := 0.0
		for _, d := range rollout.SequenceKL(rollout.KLK1, e.old[i], e.ref[i]) {
			kl += d
		}
		e.kl = append(e.kl, kl)
		if opt.Entropy {
			e.entropy = append(e.entropy, rollout.Widen(old.Entropy[i]))
		}
	}
	return nil
}

// compare gives every token its advantage.
func (e *experience) compare(c *Config) {
	scores := append([]float64(nil), e.Scores...)
	if c.KLIn == KLInReward {
		for i := range scores {
			scores[i] -= c.Beta * e.kl[i]
		}
	}
	var adv []float64
	adv, e.flat = c.Advantages(scores, e.Rewards, e.Weights, c.NumGenerations)
	if c.KLIn == KLInTokenReward {
		kl := make([][]float64, len(adv))
		for i := range kl {
			kl[i] = rollout.SequenceKL(rollout.KLK1, e.old[i], e.ref[i])
		}
		e.advantages = Returns(adv, kl, c.Beta, c.NormalizeAdvantages)
		return
	}
	for i, x := range adv {
		row := make([]float64, len(e.old[i]))
		for t := range row {
			row[t] = x
		}
		e.advantages = append(e.advantages, row)
	}
}
