// Package demo holds a tiny language model and small data sets inside the binary, so that the whole
// pipeline can be tried without downloading anything.
//
// The model (llama architecture, 1.9 million parameters, Q8_0) and every row of the data were made for this
// project by the scripts in generate/; MODEL_CARD.md says how. The data are in the official formats of the sets
// they stand in for (ETHICS, hh-rlhf, guanaco, Scruples, ToxiGen, Winograd), and in the folders a full data
// tree has, so that the demo takes the same code path as a real run.
//
//	paths, err := demo.Extract("runs/demo/input")
//	// paths.Model, paths.Guanaco.Train, paths.Deontology.Test, ...
//
// It may import internal alone. `steer demo` unpacks it and runs experiments/demo.yaml on it.
package demo
