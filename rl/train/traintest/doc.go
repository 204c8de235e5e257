// Package traintest holds a toy model for tests of the trainers: a few hundred
// parameters, gradients by hand in float64, AdamW as lm.Update defines it.
// It implements every interface of package lm, gives the same bits for the same
// calls on every machine of one architecture, and needs no native code.
//
//	toy := traintest.New(traintest.Config{Seed: 1})
//	res, err := sft.Train(ctx, cfg, sft.Deps{Learner: toy, ...})
//
// The model. With E, U frozen random matrices, t_i the token at position i:
//
//	x_i      = E[t_i] + mean(E[t_0..t_i])           [n_embd]
//	h_i      = tanh(W x_i + scale * B (A (d ∘ x_i)))  d: LoRA dropout mask
//	logits_i = U h_i / T                            predicts position i+1
//	head_i   = w·h_i + b
//
// A, B (one LoRA pair, named as a real one), w and b are trained; W is the identity
// until Freeze folds a trained pair into it.
//
// Only tests import it. It may import rl/train, ggml/lm, ggml/adapter and internal.
package traintest
