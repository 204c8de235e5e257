// Package eval measures what training did: benchmarks for language models and for
// reward models, and the matrix of every policy's answers under every reward.
//
// It is pure Go over package lm: a [Subject] is an evaluator, a generator and a
// tokenizer, and knows nothing of adapters or devices. One file holds one
// benchmark; what they share is
//
//   - encode.go: texts to tokens as lm-evaluation-harness splits them,
//   - likelihood.go: log-likelihoods of many requests in bounded batches,
//   - choice.go: multiple choice on top of both,
//   - summary.go: metrics with intervals, flags and provenance,
//   - record.go: one record an item, so that every test can be redone later.
//
// Prompts are part of a benchmark's identity: each has a version that changes with
// its text and is written into the result, beside every option that moves numbers
// (BOS, delimiter, maximal length, data hash, limits). docs/eval.md quotes the
// prompts and describes the options.
//
// Input that cannot be measured is an error (no item, duplicate ids, labels outside
// the set, log-probabilities that are not numbers); input that can be measured but
// says little is flagged in the result (one class only, a constant prediction,
// truncated items).
package eval
