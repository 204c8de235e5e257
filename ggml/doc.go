// Package ggml is the engine: it loads a quantized Llama-architecture model once and
// evaluates, trains and samples it under stacks of LoRA adapters.
//
// Life spans form a tree; each owner is closed after what it owns:
//
//	Device            one compute device and its engine thread
//	  Model           weights and tokenizer, read-only for their whole life
//	    Adapter       live LoRA pairs (and scalar head): parameters, gradients, moments
//	    Step          a stack of adapters evaluated and trained (lm.Learner)
//	    Session       the same stack decoding text (lm.Generator)
//
// A Step and a Session built on the same Adapter share its tensors: after Update
// the next token is drawn from the new weights. Nothing is merged or copied.
//
// Threads: native code runs on the device's one locked OS thread; methods of one
// device may be called from any goroutine and queue up behind one another.
//
// Errors: native failures come back as Go errors; lm.ErrContextFull,
// lm.ErrBadToken, lm.ErrNoGradient, lm.ErrOutOfMemory can be told apart with
// errors.Is. Closing a parent before its children is an error that names them.
//
// It may import the packages below ggml, package cgo and those of internal. Trainers and benchmarks know it as
// lm.Learner, lm.Evaluator and lm.Generator; the packages of app open devices and models.
package ggml
