package query

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/eval"
	"steer/ggml/lm"
)

// answerLogprobs gives log p of every token of every answer under a model,
// [answer][token], nats, with the logits divided by temperature (0 means 1).
func answerLogprobs(
	ctx context.Context, model lm.Evaluator, prompts []Prompt, answers []Answer, batchTokens int, temperature float32,
) ([][]float32, error) {
	out := make([][]float32, len(answers))
	var seqs []lm.Sequence
	var index []int // answer of a sequence; empty answers have none
	for i, a := range answers {
		n := len(prompts[i].Tokens)
		if len(a.Tokens) == 0 {
			continue
		}
		if n == 0 {
			return nil, fmt.Errorf("prompt %q has no token", prompts[i].ID)
		}
		s := lm.Sequence{Tokens: slices.Concat(prompts[i].Tokens, a.Tokens), Targets: make([]int32, len(a.Tokens))}
		for t := range s.Targets {
			s.Targets[t] = int32(n + t)
		}
		seqs, index = append(seqs, s), append(index, i)
	}
	for _, batch := range Batches(seqs, batchTokens) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := make([]lm.Sequence, len(batch))
		for k, j := range batch {
			part[k] = seqs[j]
		}
		res, err := model.Forward(ctx, part, lm.Options{Temperature: temperature})
		if err != nil {
			return nil, err
		}
		if len(res.Logprobs) != len(part) {
			return nil, fmt.Errorf("evaluator answered %d rows to %d sequences", len(res.Logprobs), len(part))
		}
		for k, j := range batch {
			if len(res.Logprobs[k]) != len(part[k].Targets) {
				return nil, fmt.Errorf("evaluator answered %d log-probabilities to %d targets",
					len(res.Logprobs[k]), len(part[k].Targets))
			}
			out[index[j]] = res.Logprobs[k]
		}
	}
	return out, nil
}

// sequenceKL sums two estimates of KL(policy || reference) over a sample of the
// policy (Schulman, "Approximating KL divergence", 2020), in nats:
//
//	k1 = Σ_t (logp_t - ref_t)
//	k3 = Σ_t (exp(ref_t - logp_t) - 1 - (ref_t - logp_t))
func sequenceKL(logp, ref []float32) (k1, k3 float64) {
	for t := range logp {
		d := float64(ref[t]) - float64(logp[t])
		k1 -= d
		k3 += math.Expm1(d) - d
	}
	return k1, k3
}

// AnswerKL gives both estimates for every answer. temperature is that of sampling, so that
// the divergence is between the distributions that were sampled from; 0 means 1.
func AnswerKL(
	ctx context.Context, policy, reference lm.Evaluator, prompts []Prompt, answers *Answers, batchTokens int,
	temperature float32,
) (k1, k3 []float64, err error) {
	if len(prompts) != len(answers.List) {
		return nil, nil, fmt.Errorf("eval: kl: %d prompts, %d answers", len(prompts), len(answers.List))
	}
	logp, err := answerLogprobs(ctx, policy, prompts, answers.List, batchTokens, temperature)
	if err != nil {
		return nil, nil, fmt.Errorf("eval: kl: policy %q: %w", answers.Policy, err)
	}
	ref, err := answerLogprobs(ctx, reference, prompts, answers.List, batchTokens, temperature)
	if err != nil {
		return nil, nil, fmt.Errorf("eval: kl: reference: %w", err)
	}
	k1, k3 = make([]float64, len(logp)), make([]float64, len(logp))
	for i := range logp {
		k1[i], k3[i] = sequenceKL(logp[i], ref[i])
		if math.IsNaN(k1[i]+k3[i]) || math.IsInf(k1[i]+k3[i], 0) {
			return nil, nil, fmt.Errorf("eval: kl: policy %q, prompt %q: KL %g, k3 %g: %w",
				answers.Policy, prompts[i].ID, k1[i], k3[i], eval.ErrNotFinite)
		}
	}
	return k1, k3, nil
}
