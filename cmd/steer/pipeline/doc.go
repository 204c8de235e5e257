// Package pipeline wires the engine to the trainers and benchmarks: it opens the
// model and the adapters a stage needs, reads its data, runs it in its run folder
// and writes its result. It holds no algorithm.
//
// A stage's resolved configuration carries the SHA-256 of every file that goes in
// (model, adapters, data). Whether a finished stage can be skipped, and whether an
// unfinished one may be resumed, is then one comparison of configurations.
package pipeline
