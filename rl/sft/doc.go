// Package sft is supervised fine-tuning: it lowers the mean negative log-likelihood of
// the counted tokens of examples,
//
//	L = -1/N * sum over counted positions i of log p(t_i | t_<i)
//
// with N the number of counted tokens of the whole mini-batch, so that neither the
// split into micro-batches nor the lengths of the sequences weigh in. It is pure Go
// over lm.Learner.
//
//	cfg := sft.Default()
//	examples, counts, err := ... // data.Tokenize with cfg.Tokenize(template)
//	res, err := sft.Train(ctx, cfg, sft.Deps{Deps: train.Deps{Learner: l, Run: run}, Train: examples})
//
// The preset "thesis" follows trl 0.7.1's SFTTrainer with ConstantLengthDataset as the
// published runs used it; docs/sft.md lists each difference from "default".
//
// The loop, the order of examples and the settings of batches are package rl/train's, examples and
// their packing rl/data's, results rl/run's. It imports these, ggml/lm and internal; no other
// trainer. app/jobs makes a job of it.
package sft
