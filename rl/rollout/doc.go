// Package rollout is what the trainers that learn from samples share: a policy answers prompts, its
// answers are scored, something is learned from them, again and again.
//
// [Train] is the loop, in numbered steps (iterate.go). It samples ([Sampler]), scores ([Scorer]),
// watches (guards.go), measures held-out prompts (heldout.go), keeps the best policy (best.go) and
// writes metrics and samples. What is learned from a batch, and how, is an [Algorithm]: package
// rl/ppo is one, with a value head, rl/grpo another, with groups of answers. Estimators of the KL
// divergence stand in kl.go.
//
// Conventions. Token i of a response of n tokens stands at position len(prompt)+i of the sequence;
// its log-probability is predicted from one position earlier. Log-probabilities, KL and entropies
// are in nats.
//
// Life span: [Deps] are borrowed; Train closes nothing. A Train call may be interrupted and repeated
// on the same run folder: it goes on from the last checkpoint and computes the same bits as one that
// was never interrupted.
//
// Checkpoints, schedules and what else trainers share are package rl/train's, results rl/run's. It
// imports these, rl/data, rl/mixture, ggml/lm and internal; no trainer and no reward model.
package rollout
