// Package modelfile reads the header of a model's GGUF file and judges, before any weight is
// loaded, whether the engine can train on it. Loading a model and describing one ask the same
// function, so that both say the same.
//
// It may import ggml/gguf, which reads the file, ggml/family, which makes a network of it,
// ggml/adapter, whose Shape says what adapters fit, and ggml/lm.
// Package ggml asks it before it loads a model; app/inspect prints what it found.
package modelfile
