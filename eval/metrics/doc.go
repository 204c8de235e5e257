// Package metrics makes the numbers of a measurement of the records of its items: accuracies,
// the measures of two and of more classes, paired differences, cross-entropies against votes, each
// with its interval, and the flags that warn of input that says little (one class only, a constant
// prediction, truncated items).
//
// A [Summary] is a measurement in the making; its methods add to it. What serves one benchmark
// alone stands in that benchmark's file. It may import eval, rl/run and internal/stats, where
// the statistics are; eval/benchmark uses it.
package metrics
