package query

import (
	"context"
	"fmt"
	"math"

	"steer/eval"
	"steer/ggml/lm"
)

// BestOfClosedKL is the divergence of the best of n answers from the model that they are drawn from, in nats, where no
// answer is ever drawn twice: log n - (n-1)/n (Stiennon et al. 2020, arXiv:2009.01325, appendix G.3). Otherwise it is
// an upper bound (Beirami et al. 2024, arXiv:2401.01879, theorem 1).
func BestOfClosedKL(n int) float64 { return math.Log(float64(n)) - float64(n-1)/float64(n) }

// BestOfKL estimates the same from the answer that was the best, given its probability p under the model that
// it was drawn from (Beirami et al. 2024, section 5): with a probability that the best answer comes up again,
// the divergence is less than the closed form,
//
//	(1-p)^n (log n + (n-1) log(1-p) - (n-1)/n) + (1 - (1-p)^n) log((1 - (1-p)^n) / p)
//
// p → 0 gives the closed form, p = 1 gives 0.
func BestOfKL(n int, p float64) float64 {
	if p <= 0 {
		return BestOfClosedKL(n)
	}
	if p >= 1 {
		return 0
	}
	k := float64(n)
	log1 := math.Log1p(-p)
	none := math.Exp(k * log1) // that it is not among n more
	some := -math.Expm1(k * log1)
	return none*(math.Log(k)+(k-1)*log1-(k-1)/k) + some*(math.Log(some)-math.Log(p))
}

// BestOfKLs gives [BestOfKL] of every answer; model is the one they were drawn from, temperature that of sampling.
func BestOfKLs(
	ctx context.Context, model lm.Evaluator, n int, prompts []Prompt, answers *Answers, batchTokens int,
	temperature float32,
) ([]float64, error) {
	logp, err := answerLogprobs(ctx, model, prompts, answers.List, batchTokens, temperature)
	if err != nil {
		return nil, fmt.Errorf("eval: kl: policy %q: %w", answers.Policy, err)
	}
	out := make([]float64, len(logp))
	for i, row := range logp {
		sum := 0.0
		for _, x := range row {
			sum += float64(x)
		}
		if out[i] = BestOfKL(n, math.Exp(sum)); math.IsNaN(out[i]) {
			return nil, fmt.Errorf("eval: kl: policy %q, prompt %q: %w", answers.Policy, prompts[i].ID,
				eval.ErrNotFinite)
		}
	}
	return out, nil
}
