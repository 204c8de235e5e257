// Package eval holds the words that every room of the evaluation uses: what is measured, a
// [Subject] (a language model) or a [Reward] (a reward model), the [Settings] that move numbers,
// the [Progress] that is reported and the errors that inputs end in. It is pure Go: a model is
// what package lm says of it, and nothing here knows adapters or devices.
//
// It may import the contract with the engine (ggml/lm) and conversations (rl/data). Its rooms
// import it, from the top down:
//
//   - suite runs a configuration's benchmarks on all models, resumes them, and writes results;
//   - journal keeps every answer of a model on disk before the next is asked;
//   - benchmark holds the configuration, the list of benchmarks and a file for each;
//   - task reads the user's own task files;
//   - metrics makes numbers with intervals and flags of the records of items;
//   - query asks a model: log-likelihoods, choices, generated answers, rewards.
//
// Beside them compare tests models against one another, from records alone; evaltest holds the
// models that tests measure. What is written, measurements, the matrix and a record an item, is
// rl/run; statistics are internal/stats, the report is app/report.
package eval
