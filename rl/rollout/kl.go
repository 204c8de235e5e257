package rollout

import "math"

// KLPenalty names the estimator of KL(policy || reference) at one token.
type KLPenalty string

// The estimators. With d = log π(y) - log π_ref(y) at the sampled token y:
const (
	// KLK1 is d: unbiased, may be negative. trl calls it "kl".
	KLK1 KLPenalty = "kl"
	// KLAbs is |d|.
	KLAbs KLPenalty = "abs"
	// KLMSE is d²/2 (k2 of Schulman's note on approximating KL).
	KLMSE KLPenalty = "mse"
	// KLK3 is exp(-d) - 1 + d: unbiased and never negative.
	KLK3 KLPenalty = "k3"
	// KLFull is the exact sum over the vocabulary, Σ_v π(v) (log π(v) - log π_ref(v)).
	KLFull KLPenalty = "full"
)

// Values implements the enum check of the configuration reader.
func (KLPenalty) Values() []string {
	return []string{string(KLK1), string(KLAbs), string(KLMSE), string(KLK3), string(KLFull)}
}

// TokenKL estimates the KL divergence at one sampled token from its log-probability
// under policy and reference. It panics on KLFull, which needs whole distributions:
// see [FullKL].
func TokenKL(p KLPenalty, logprob, ref float64) float64 {
	d := logprob - ref
	switch p {
	case KLK1:
		return d
	case KLAbs:
		return math.Abs(d)
	case KLMSE:
		return 0.5 * d * d
	case KLK3:
		return math.Expm1(-d) + d
	}
	panic("rollout: TokenKL: no estimator from two log-probabilities is called " + string(p))
}

// SequenceKL applies [TokenKL] to every token of a response, [n_response].
func SequenceKL(p KLPenalty, logprobs, ref []float64) []float64 {
	kl := make([]float64, len(logprobs))
	for i := range kl {
		kl[i] = TokenKL(p, logprobs[i], ref[i])
	}
	return kl
}

// FullKL is Σ_v exp(p_v) (p_v - q_v) for two normalised log-probability vectors, [n_vocab].
func FullKL(p, q []float64) float64 {
	sum := 0.0
	for v := range p {
		if !math.IsInf(p[v], -1) {
			sum += math.Exp(p[v]) * (p[v] - q[v])
		}
	}
	return sum
}
