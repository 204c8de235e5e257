// Package benchmark holds the benchmarks of language models and reward models, a file or a few
// for each, the [Config] that says which are run on what, and their list beneath it. What a [Spec]
// says of a benchmark is enough for eval/suite to run it: its data files, checks, loading,
// measuring.
//
// Prompts are part of a benchmark's identity: each has a version that changes with its text and is
// written into the result, beside every option that moves numbers (BOS, delimiter, maximal length,
// data hash, limits). docs/eval.md quotes the prompts and describes the options.
//
// It may import eval/query to ask models, eval/metrics to make numbers, eval/task for the user's
// own tasks, and the readers of rl/data. It writes no file and knows no journal: eval/suite does.
package benchmark
