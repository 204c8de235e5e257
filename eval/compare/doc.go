// Package compare tests classifiers against one another from the records of single
// items (items/*.jsonl.zst of an evaluation), without a model.
//
// All models of a benchmark are measured on the same items with the same bootstrap
// resamples: those that the evaluation drew itself (its seed is in its results), so
// intervals agree with it digit for digit. A refusal counts as wrong; what was answered
// is reported beside it as coverage, and once more on the items that every model
// answered.
//
//	items, err := compare.ReadItems("runs/demo/eval/items/scruples.loglik.sft.jsonl.zst")
//	family, err := compare.Classifiers(compare.Benchmark{
//		Name: "scruples", Protocol: "loglik", Metric: compare.MCC,
//		Runs: [][]compare.Input{{{Model: "sft", Items: items}, ...}},
//	}, compare.DefaultOptions())
//
// Several runs of one experiment with other seeds make one family: its intervals then
// come from a two-level bootstrap over runs and items, corrected for the small number of
// runs.
//
// It may import records (rl/run) and statistics (internal/stats); app/report uses it.
package compare
