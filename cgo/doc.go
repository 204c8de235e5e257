// Package cgo is the only place where Go meets C: one Go method for one C call of
// native/steer.h, no policy. Package ggml gives it life spans, threads and names.
//
// Nothing here is safe for concurrent use: every call must come from the engine
// thread of its device (ggml.Device sees to that). Pointers to Go memory are
// passed for the duration of a call only.
//
// The libraries it links are built by CMake into build/native (see the Makefile).
//
// It imports nothing of this module, and only package ggml, with ggml/transformer, imports it (app/speed, too,
// for ops and kernels by name).
package cgo
