// Package query asks a model, as lm-evaluation-harness asks it where it has a say:
//
//   - encode.go: texts to tokens,
//   - likelihood.go: log-likelihoods of many requests, in bounded batches (batches.go),
//   - choice.go: multiple choice on top of both,
//   - answers.go: generated answers, the same random numbers for every policy,
//   - divergence.go: how far a policy's answers are from a reference,
//   - rewards.go: scores of a reward model.
//
// Input that cannot be measured is an error: no item, duplicate ids, labels outside the set,
// log-probabilities that are not numbers.
//
// It may import eval, rl/run, the contract with the engine (ggml/lm) and the layout of its
// batches (ggml/prefix). What is asked is a benchmark's business: eval/benchmark.
package query
