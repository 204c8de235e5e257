package eval

import (
	"context"

	"steer/ggml/lm"
)

// Subject is a model under test: a base with a stack of adapters, as seen through
// package lm. Evaluator serves log-likelihood protocols, Generator those that
// generate; a benchmark that misses the one it needs says so.
type Subject struct {
	Name string
	// ID is what the answers depend on: hashes of weights and adapters, precision. A
	// measurement of a subject without one is not resumable.
	ID        string
	Evaluator lm.Evaluator
	Generator lm.Generator
	Tokenizer lm.Tokenizer
	// KL is the divergence of this model from the reference of the benchmark kl; nil for
	// the reference itself, or where there is none.
	KL KLFunc
}

// KLFunc gives KL(model || reference) summed over the vocabulary at each target of each
// sequence, nats.
type KLFunc func(ctx context.Context, batch []lm.Sequence, opt lm.Options) ([][]float32, error)
