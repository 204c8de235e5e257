// Package speed measures the engine and the trainers on it: speed, counted arithmetic and
// peak memory of a training step, of scoring, of sampling and of a PPO iteration, on any
// GGUF file or on random weights in the shape of a known model.
//
// [Measure] runs one job in this process, [MeasureIn] has another do it: peak memory belongs to a
// process. Everything random comes from one seed.
//
// It may import the workspace, the engine down to cgo, and PPO, which it has run an iteration. Only
// "steer bench" imports it; how fast a stage will be is package plan's to say.
package speed
