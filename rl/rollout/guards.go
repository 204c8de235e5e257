package rollout

import (
	"fmt"
	"math"
)

// guardState is what the guards remember between iterations.
type guardState struct {
	Started    bool    `json:"started"`
	Entropy    float64 `json:"entropy"`    // of a token, first iteration
	Repetition float64 `json:"repetition"` // share of repeated n-grams, first iteration
	// Iterations in a row in which an alarm held.
	LowEntropy  int `json:"low_entropy"`
	HighEntropy int `json:"high_entropy"`
	Repetitive  int `json:"repetitive"`
	EqualScores int `json:"equal_scores"`
}

// guardInputs are one iteration's numbers the guards look at.
type guardInputs struct {
	iteration  int64
	kl         float64 // mean of a response, k1
	entropy    float64 // mean of a token
	repetition float64 // mean share of repeated n-grams
	equal      bool    // all raw scores of the batch are one
	score      float64 // the first of them
}

// check returns the sentence that ends the run, or "".
func (h *guardState) check(c *Guards, v guardInputs) string {
	if !h.Started {
		h.Started, h.Entropy, h.Repetition = true, v.entropy, v.repetition
	}
	count := func(n *int, alarm bool) bool {
		if !alarm {
			*n = 0
			return false
		}
		*n++
		return *n >= c.AlarmPatience
	}
	low := count(&h.LowEntropy, c.MinEntropyRatio > 0 && v.entropy < c.MinEntropyRatio*h.Entropy)
	high := count(&h.HighEntropy, c.MaxEntropyRatio > 0 && h.Entropy > 0 && v.entropy > c.MaxEntropyRatio*h.Entropy)
	repetitive := count(&h.Repetitive, c.MaxRepetitionRise > 0 && v.repetition > h.Repetition+c.MaxRepetitionRise)
	equal := count(&h.EqualScores, c.MaxScore > 0 && v.equal)

	at := fmt.Sprintf("stopped after iteration %d: ", v.iteration)
	row := fmt.Sprintf(" for %d iterations in a row", c.AlarmPatience)
	switch {
	case c.MaxKL > 0 && v.kl > c.MaxKL:
		return at + fmt.Sprintf("the mean KL of a response to the reference is %.4g nats, above max_kl %g: "+
			"the policy has left the reference; raise kl_coef or lower optim.lr", v.kl, c.MaxKL)
	case equal:
		return at + fmt.Sprintf("every score of a batch is %.6g%s: the reward model tells no answer from another, "+
			"so there is nothing to learn from it; "+
			"look at its held-out accuracy, and whether its adapter is the one that was meant", v.score, row)
	case low:
		return at + fmt.Sprintf("the entropy of a token is %.4g nats, below min_entropy_ratio %g of the first "+
			"iteration's %.4g%s: "+
			"the policy gives one answer only; raise kl_coef or lower optim.lr", v.entropy, c.MinEntropyRatio,
			h.Entropy, row)
	case high:
		return at + fmt.Sprintf("the entropy of a token is %.4g nats, above max_entropy_ratio %g of the first "+
			"iteration's %.4g%s: "+
			"the policy dissolves into noise; lower optim.lr", v.entropy, c.MaxEntropyRatio, h.Entropy, row)
	case repetitive:
		return at + fmt.Sprintf("%.3g of the %d-grams of a response are repeats, more than max_repetition_rise %g "+
			"above the first iteration's %.3g%s: "+
			"the text collapses into loops that the reward model likes; raise kl_coef or train with another reward",
			v.repetition, c.RepetitionNgram, c.MaxRepetitionRise, h.Repetition, row)
	}
	return ""
}

// equalScores tells whether the scores of a batch are one, up to the rounding of a float32.
func equalScores(scores []float64) bool {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range scores {
		lo, hi = min(lo, s), max(hi, s)
	}
	return len(scores) > 1 && hi-lo <= 1e-6*max(1e-3, math.Abs(hi))
}
