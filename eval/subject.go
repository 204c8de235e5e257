package eval

import (
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
	KL lm.KLFunc
	// BestOf: an answer is the best of so many that the model gives. It has no log-probabilities of its own, so no
	// benchmark measures it but answers under reward models; Evaluator is that of the model. 0: it is no such policy.
	BestOf int
}
