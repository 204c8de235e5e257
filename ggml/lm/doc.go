// Package lm is the contract between the engine and everything that learns or
// measures: log-probabilities out, their gradient in.
//
// The engine (package ggml) implements these interfaces on a quantized model;
// trainers and benchmarks (rl/..., rewards, eval) are pure Go over them and are
// tested with small fakes. Nothing in here allocates native memory.
//
// Indices follow one convention everywhere: a position is an index into
// Sequence.Tokens, and the log-probability "of position i" is
// log p(Tokens[i] | Tokens[:i]), in nats.
//
// It imports nothing of this module. Below it is only the standard library; above it stand
// rl/data, which turns text into sequences, the trainers and the benchmarks.
package lm
