// Package speed measures the engine and the trainers on it: speed, counted arithmetic and
// peak memory of a training step, of scoring, of sampling and of a PPO iteration, on any
// GGUF file or on random weights in the shape of a known model.
//
// [Measure] runs one job in this process; since peak memory belongs to a process, the
// command runs each job in a process of its own. Everything random comes from one seed.
package speed
