// Package judge lets a language model compare two answers under a text: a theory stated in words, a constitution
// (Bai et al. 2022, arXiv:2212.08073). The judgement is read off the log-probabilities of the letters A and B, so
// nothing is sampled (Lee et al. 2023, arXiv:2309.00267), and both orders are asked, since models prefer a place
// (Zheng et al. 2023, arXiv:2306.05685): what the place is worth is measured and said.
//
//   - pair.go: what is compared, and the pairs that several answers to a prompt make,
//   - question.go: how it is put, and as which tokens,
//   - judge.go: the asking, in bounded batches,
//   - judgement.go: what becomes of the numbers, and which of them decide,
//   - summary.go: how far a judge can be trusted.
//
// It may import the words of evaluation (eval, eval/query), conversations (rl/data), results (rl/run), statistics, and
// the contract with the engine (ggml/lm); no adapter and no device.
package judge
