// Package ppo steers a policy with a score by proximal policy optimization
// (Schulman et al. 2017, arXiv:1707.06347) with a KL-shaped reward per token
// (Ziegler et al. 2019, arXiv:1909.08593).
//
// It has two halves. The maths is pure functions over ragged float64 slices, the
// outer index a sequence, the inner one a response token: KL estimators (kl.go),
// rewards per token (rewards.go), generalized advantage estimation (gae.go),
// whitening (whiten.go), the clipped losses with their gradients (loss.go, combine.go), the KL
// controllers (controller.go), score scaling (scores.go). The loop ([Train]) orders
// them in numbered steps over package lm and knows nothing of the engine: an iteration is
// iterate.go, its rollout rollout.go and scoring.go, its preparation experience.go and forward.go,
// its updates optimize.go and minibatch.go.
//
// What is computed is what trl 0.7.1's PPOTrainer computes, checked against numbers
// made by it; where the default preset departs from it, docs/ppo.md says so and why.
// Unlike trl, sums over tokens are divided once, by the count of the whole
// mini-batch, so micro_batch_size changes memory and time but never the result.
//
// Conventions. Token i of a response of n tokens stands at position len(prompt)+i of
// the sequence. Its log-probability is predicted from, and its value read at, position
// len(prompt)+i-1: the value of the state before the token. Log-probabilities, KL
// and entropies are in nats.
//
// Life span: [Deps] are borrowed; Train closes nothing. A Train call may be
// interrupted and repeated on the same run folder: it goes on from the last
// checkpoint and computes the same bits as one that was never interrupted.
//
// Checkpoints, schedules and what else trainers share are package rl/train's, conversations
// rl/data's, results rl/run's. It imports these, ggml/lm, ggml/adapter and internal; no other
// trainer: a reward model is a [Scorer] to it. app/jobs makes a job of it.
package ppo
