package ppo

import (
	"context"
	"fmt"
	"math"
	"time"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/rollout"
)

// Models are the networks of a step.
type Models struct {
	// Policy gives log-probabilities and values in one pass, and learns.
	Policy lm.Learner
	// Reference gives the log-probabilities the KL is measured against.
	Reference lm.Evaluator
	// FullKL is needed for kl_penalty full only.
	FullKL lm.KLFunc
}

// State is what one step hands to the next, besides the weights.
type State struct {
	Iteration int64          `json:"iteration"` // finished
	Updates   int64          `json:"updates"`   // optimizer updates taken
	KLCoef    float64        `json:"kl_coef"`
	Scores    RunningMoments `json:"scores"`
}

// NewState is the state before the first iteration.
func NewState(c *Config) State { return State{KLCoef: c.KLCoef, Scores: NewRunningMoments()} }

// Batch is the input of a step.
type Batch struct {
	Prompts, Responses [][]int32 // [rollout_batch_size]
	Scores             []float64 // raw, [rollout_batch_size]
	// Permutation gives the order of the episodes in an epoch; consecutive
	// mini_batch_size of them form a mini-batch. nil: seeded from the configuration.
	Permutation func(epoch int) []int
}

// Trajectory is an episode with all that was computed of it before the first update;
// the slices are [n_response].
type Trajectory struct {
	Prompt, Response []int32
	Score            float64 // as used: scaled, normalised, clipped
	Logprobs, Ref    []float64
	Values           []float64
	KL               []float64 // by the configured estimator
	NonScore         []float64 // -kl_coef KL
	Rewards          []float64
	RawAdvantages    []float64 // before whitening
	Advantages       []float64
	Returns          []float64
}

// KLSum is the k1 estimate of the KL of the whole response, Σ logprob - ref.
func (t *Trajectory) KLSum() float64 {
	sum := 0.0
	for i := range t.Logprobs {
		sum += t.Logprobs[i] - t.Ref[i]
	}
	return sum
}

// Experience is a rollout batch ready to learn from.
type Experience struct {
	Trajectories []Trajectory
	// MeanKL is the mean of KLSum: trl's objective/kl.
	MeanKL      float64
	KLCoef      float64 // the rewards were made with it
	RawScores   []float64
	permutation func(epoch int) []int
	seconds     map[string]float64
}

// Prepare computes what the updates need (steps 4 to 6 of the loop): old and reference
// log-probabilities and values by the trainer's own forward passes, KL-shaped rewards,
// advantages. It merges the scores into st.Scores.
func Prepare(ctx context.Context, c *Config, m Models, st *State, b Batch) (*Experience, error) {
	if err := b.check(c); err != nil {
		return nil, err
	}
	exp := &Experience{
		Trajectories: make([]Trajectory, len(b.Prompts)),
		KLCoef:       st.KLCoef, RawScores: b.Scores,
		permutation: b.Permutation, seconds: map[string]float64{},
	}
	if exp.permutation == nil {
		iteration := uint64(st.Iteration)
		exp.permutation = func(epoch int) []int {
			return seed.Permutation(c.RolloutBatchSize, c.Seed, "ppo.minibatch", iteration, uint64(epoch))
		}
	}
	scores := ScoreScaling{Scale: c.ScaleScores, Norm: c.NormScores, Clip: c.ScoreClip}.Apply(&st.Scores, b.Scores)
	for i := range exp.Trajectories {
		t := &exp.Trajectories[i]
		t.Prompt, t.Response, t.Score = b.Prompts[i], b.Responses[i], scores[i]
	}

	// 4. Old log-probabilities and values, reference log-probabilities.
	if err := exp.timed("forward_pass", func() error { return exp.read(ctx, c, m, uint64(st.Iteration)) }); err != nil {
		return nil, err
	}
	// 5. KL-shaped rewards.
	if err := exp.timed("compute_rewards", func() error { return exp.reward(c) }); err != nil {
		return nil, err
	}
	// 6. Advantages, whitened; returns from the advantages before whitening.
	if err := exp.timed("compute_advantages", func() error { return exp.advantages(c) }); err != nil {
		return nil, err
	}
	return exp, nil
}

// timed notes how long a part of the step took.
func (e *Experience) timed(name string, do func() error) error {
	start := time.Now()
	err := do()
	e.seconds[name] = time.Since(start).Seconds()
	return err
}

// read runs the responses through policy and reference as they are before the first update, and
// estimates the KL of each token.
func (e *Experience) read(ctx context.Context, c *Config, m Models, iteration uint64) error {
	seqs := make([]lm.Sequence, len(e.Trajectories))
	refSeqs := make([]lm.Sequence, len(seqs)) // without values
	for i, t := range e.Trajectories {
		refSeqs[i] = rollout.Sequence(t.Prompt, t.Response)
		seqs[i] = withValues(refSeqs[i])
		seqs[i].DropoutSeed = seed.Derive(c.Seed, "ppo.dropout", iteration, 0, uint64(i))
		refSeqs[i].DropoutSeed = seqs[i].DropoutSeed
	}
	opt := lm.Options{Temperature: c.PassTemperature()}
	ref, err := rollout.Forward(ctx, m.Reference, refSeqs, opt, c.MicroBatchSize)
	if err != nil {
		return fmt.Errorf("reference log-probabilities: %w", err)
	}
	var full [][]float32
	if c.KLPenalty == rollout.KLFull {
		if full, err = m.fullKL(ctx, refSeqs, opt); err != nil {
			return err
		}
	}
	opt.Dropout = c.Dropout
	old, err := rollout.Forward(ctx, m.Policy, seqs, opt, c.MicroBatchSize)
	if err != nil {
		return fmt.Errorf("policy log-probabilities: %w", err)
	}
	for i := range e.Trajectories {
		t := &e.Trajectories[i]
		t.Logprobs, t.Ref, t.Values = rollout.Widen(old.Logprobs[i]), rollout.Widen(ref.Logprobs[i]),
			rollout.Widen(old.Heads[i])
		if full != nil {
			t.KL = rollout.Widen(full[i])
		} else {
			t.KL = rollout.SequenceKL(c.KLPenalty, t.Logprobs, t.Ref)
		}
		e.MeanKL += t.KLSum()
	}
	e.MeanKL /= float64(len(seqs))
	return nil
}

// reward gives each token its reward.
func (e *Experience) reward(c *Config) (err error) {
	rewards := make([][]float64, len(e.Trajectories))
	for i := range e.Trajectories {
		t := &e.Trajectories[i]
		rewards[i], t.NonScore = Rewards(t.KL, t.Score, e.KLCoef)
	}
	if c.WhitenRewards {
		if rewards, err = whitenGroups(rewards, c.WhitenGroupSize, true); err != nil {
			return fmt.Errorf("rewards: %w", err)
		}
	}
	for i := range rewards {
		e.Trajectories[i].Rewards = rewards[i]
	}
	return nil
}

// advantages gives each token its advantage and its return.
func (e *Experience) advantages(c *Config) error {
	raw := make([][]float64, len(e.Trajectories))
	for i := range e.Trajectories {
		t := &e.Trajectories[i]
		t.RawAdvantages, t.Returns = GAE(t.Rewards, t.Values, c.Gamma, c.GAELambda)
		raw[i] = t.RawAdvantages
	}
	white, err := whitenGroups(raw, c.WhitenGroupSize, false)
	if err != nil {
		return fmt.Errorf("advantages: %w", err)
	}
	for i := range white {
		e.Trajectories[i].Advantages = white[i]
	}
	return nil
}

func (b *Batch) check(c *Config) error {
	n := c.RolloutBatchSize
	if len(b.Prompts) != n || len(b.Responses) != n || len(b.Scores) != n {
		return fmt.Errorf("batch of %d prompts, %d responses, %d scores: want rollout_batch_size %d of each",
			len(b.Prompts), len(b.Responses), len(b.Scores), n)
	}
	for i := range n {
		switch {
		case len(b.Prompts[i]) == 0:
			return fmt.Errorf("episode %d: the prompt has no token: want at least one (the value of the first "+
				"response token is read there)", i)
		case len(b.Responses[i]) == 0:
			return fmt.Errorf("episode %d: the response has no token: want at least one", i)
		case math.IsNaN(b.Scores[i]) || math.IsInf(b.Scores[i], 0):
			return fmt.Errorf("episode %d: the score is %v: want a finite number; look at the reward model",
				i, b.Scores[i])
		}
	}
	return nil
}

func (m *Models) fullKL(ctx context.Context, seqs []lm.Sequence, opt lm.Options) ([][]float32, error) {
	if m.FullKL == nil {
		return nil, errNoFullKL
	}
	kl, err := m.FullKL(ctx, seqs, opt)
	if err != nil {
		return nil, fmt.Errorf("full KL: %w", err)
	}
	return kl, rollout.CheckRows("full KL", kl, seqs, func(s lm.Sequence) int { return len(s.Targets) })
}

// withValues reads the value of the state before each token, one position before the token itself.
func withValues(s lm.Sequence) lm.Sequence {
	s.Heads = make([]int32, len(s.Targets))
	for i, at := range s.Targets {
		s.Heads[i] = at - 1
	}
	return s
}
