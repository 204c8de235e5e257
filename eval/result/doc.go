// Package result holds what an evaluation writes and what a report reads: the [Evaluation] of
// result.json, its [Measurement]s (a benchmark under a protocol, of a model) and its [CrossReward]
// matrix, and a [Record] an item, so that every test can be redone without a model
// (docs/report.md).
//
// These are plain values. It may import low packages of internal and nothing of the evaluation,
// which stands above it.
package result
