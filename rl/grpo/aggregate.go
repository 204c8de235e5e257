package grpo

// LossType names the formula of the policy's loss and how the losses of tokens become one number.
type LossType string

// The losses. With a mini-batch of S answers of n_s tokens, each a clipped surrogate of the ratio:
const (
	// GRPO averages each answer first, 1/(S n_s): a token of a long answer weighs less.
	GRPO LossType = "grpo"
	// BNPO weighs every token of the mini-batch the same, 1/Σ n_s.
	BNPO LossType = "bnpo"
	// DrGRPO divides by a constant, 1/(S max_new_tokens) (Liu et al. 2025, arXiv:2503.20783).
	DrGRPO LossType = "dr_grpo"
	// DAPO weighs every token of the iteration the same (Yu et al. 2025, arXiv:2503.14476).
	DAPO LossType = "dapo"
	// LUSPO sums each answer, 1/S: a long answer weighs more (arXiv:2602.05261).
	LUSPO LossType = "luspo"
	// CISPO weighs log-probabilities by the clipped ratio, which has no gradient (MiniMax 2025,
	// arXiv:2506.13585); tokens weigh as with dapo.
	CISPO LossType = "cispo"
	// SAPO takes a soft gate in place of the clipping (Gao et al. 2025, arXiv:2511.20347); tokens weigh as with grpo.
	SAPO LossType = "sapo"
	// VESPO weighs log-probabilities by a gamma density of the ratio of the whole answer
	// (arXiv:2602.10693); tokens weigh as with dapo.
	VESPO LossType = "vespo"
	// GMPO takes the geometric mean of the tokens' clipped ratios, one number an answer (Zhao et al.
	// 2025, arXiv:2507.20673).
	GMPO LossType = "gmpo"
)

// Values implements the enum check of the configuration reader.
func (LossType) Values() []string {
	return []string{string(GRPO), string(BNPO), string(DrGRPO), string(DAPO), string(LUSPO), string(CISPO),
		string(SAPO), string(VESPO), string(GMPO)}
}

// clips tells whether the loss clips the ratio to an interval around 1.
func (l LossType) clips() bool { return l != CISPO && l != SAPO && l != VESPO }

// Weights is what a token of each answer weighs in the loss of a mini-batch. lengths are the tokens that count of each
// answer, longest is max_new_tokens, perBatch the mean number of tokens of a mini-batch of the iteration.
func (l LossType) Weights(lengths []int, longest int, perBatch float64) []float64 {
	w := make([]float64, len(lengths))
	total := 0
	for _, n := range lengths {
		total += n
	}
	s := float64(len(lengths))
	for i, n := range lengths {
		switch l {
		case GRPO, SAPO, GMPO:
			w[i] = 1 / (s * float64(max(n, 1)))
		case BNPO:
			w[i] = 1 / float64(max(total, 1))
		case DrGRPO:
			w[i] = 1 / (s * float64(longest))
		case DAPO, CISPO, VESPO:
			w[i] = 1 / max(perBatch, 1)
		case LUSPO:
			w[i] = 1 / s
		}
	}
	return w
}

// SoftOverlong is DAPO's soft punishment of a long answer, 0 to -1: the last cache tokens before longest cost the
// more the longer the answer is.
//
//	0                              n ≤ longest - cache
//	(longest - cache - n) / cache  up to longest
//	-1                             beyond
func SoftOverlong(n, longest, cache int) float64 {
	switch over := n - (longest - cache); {
	case cache == 0 || over <= 0:
		return 0
	case n <= longest:
		return -float64(over) / float64(cache)
	}
	return -1
}
