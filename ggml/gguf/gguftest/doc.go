// Package gguftest writes small models for tests: a random Llama of any shape, with
// defects on demand, and the stories260K checkpoint of llama2.c as GGUF.
//
// Only tests import it; it may import ggml/gguf and internal/testfiles.
package gguftest
