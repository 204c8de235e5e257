// Package evaltest holds models for tests of the evaluation whose answers can be told by hand: a
// tokenizer of bytes, a bigram evaluator, generators and rewarders that are functions, and small
// data files.
//
// It may import eval and the contract with the engine; only tests import it.
package evaltest
