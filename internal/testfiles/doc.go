// Package testfiles finds what tests read besides their own code: the golden numbers, the real
// model and the real data. A missing golden number fails, since it is part of the repository; a
// model or a data file that is not here skips, in one sentence that says how to get it.
//
// It imports nothing of this module, and only tests import it. ggml/gguf/gguftest, which makes tiny models,
// finds with it what these are made of.
package testfiles
