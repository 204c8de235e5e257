// Package grpo steers a policy without a value head: several answers to each prompt are scored, and
// each learns from how it stands to the others. Group relative policy optimization (GRPO, Shao et
// al. 2024, arXiv:2402.03300) and its kin are settings of one trainer: Dr. GRPO, DAPO, GSPO, RLOO,
// REINFORCE++ and others ([Preset] names them, docs/grpo.md says in which keys they differ).
//
// Where two of them differ by a formula, the code differs by a function: how rewards become
// advantages (advantages.go), what a ratio of probabilities is and which loss is taken of it
// (loss.go), how the losses of tokens become one number (aggregate.go). These are pure functions.
// The updates stand in optimize.go and minibatch.go. The loop around them, sampling, scoring, guards
// and records are package rollout's, the same as PPO's.
//
// What is computed is what trl 1.16's GRPOTrainer and RLOOTrainer compute, checked against numbers
// made by them; sums over tokens are divided once, by the count of the whole mini-batch, so
// micro_batch_size changes memory and time but never the result.
//
// It imports rl/rollout and what lies below it; no other trainer. app/jobs makes a job of it.
package grpo
