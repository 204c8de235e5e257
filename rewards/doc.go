// Package rewards trains reward models: one scalar for a text, higher where a moral
// theory prefers it.
//
// The theories are data (Theories): where their files are, how rows become pairs of
// a chosen and a rejected text, how a pair is put before the model. There is one
// trainer for all of them, Train, which minimises the pairwise logistic loss of
// Bradley and Terry over a LoRA adapter and a scalar head, then measures pair
// accuracy on held-out pairs and normalises the score to mean 0 and standard
// deviation 1 on reference answers. Scorer applies the result.
//
//	set, err := rewards.Load(cfg)                 // pairs of train and held-out part
//	enc, err := rewards.NewEncoder(cfg, tok)      // text to tokens, the form of cfg
//	res, err := rewards.Train(ctx, cfg, set, rewards.Deps{Tokenizer: tok, ...})
//
// The score of a text is read at its last token. The loss is blind to a constant
// added to all scores, so a score alone has no sign: 0 is the mean of the reference
// answers and nothing else.
//
// The loop, the order of pairs and the settings of batches are package rl/train's, readers and
// templates rl/data's, results rl/run's. It imports these, ggml/lm, ggml/adapter and internal; no
// other trainer. app/jobs makes jobs of it, and of its Scorer what PPO and evaluations ask.
package rewards
