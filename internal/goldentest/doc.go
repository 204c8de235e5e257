// Package goldentest has no code of its own: its tests put the engine (package ggml) and trainers, or the
// engine and benchmarks, together and compare them with what trusted peers computed.
// It may import any package, and none imports it.
package goldentest
