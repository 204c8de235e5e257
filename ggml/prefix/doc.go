// Package prefix lays the sequences of a batch out so that what they have in common is
// there once: choices of one question, few-shot headers, answers to one prompt.
//
// Two sequences that begin alike have, in a causal network, the same hidden states as far
// as they are alike. Their tokens are a trie; a Tree cuts it into segments, each a run of
// tokens that the same sequences pass through, which goes on where its parent ends.
//
// It is pure Go: the engine computes on a Tree, and those who fill batches count with a Counter.
//
// It imports ggml/lm alone. Package ggml lays out batches that are only read with it; eval/query fills batches
// by its count.
package prefix
