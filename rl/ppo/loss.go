package ppo

import "math"

// LossMean says how the losses of tokens become one number.
type LossMean string

// The means, over a mini-batch of S responses of n_s tokens.
const (
	// MeanToken weighs every token the same, 1/Σ n_s.
	MeanToken LossMean = "token"
	// MeanSequence averages each response first, 1/(S n_s): what trl computes with
	// mini_batch_size 1 and gradient accumulation. Short answers count more a token.
	MeanSequence LossMean = "sequence"
	// MeanGroup averages the tokens of each run of loss_group responses first, and then these
	// means: what trl computes with that mini_batch_size and gradient accumulation. A group of one
	// is MeanSequence, a group of all is MeanToken.
	MeanGroup LossMean = "group"
)

// Values implements the enum check of the configuration reader.
func (LossMean) Values() []string {
	return []string{string(MeanToken), string(MeanSequence), string(MeanGroup)}
}

// rows is how many of n responses one mean is taken over; group is loss_group.
func (m LossMean) rows(n, group int) int {
	switch m {
	case MeanSequence:
		return 1
	case MeanGroup:
		return group
	}
	return n
}

// Weights returns the weight of each token of each sequence in the mean; Σ n_s w_s = 1. group is
// the responses of a group of MeanGroup, which divides their number.
func (m LossMean) Weights(lengths []int, group int) []float64 {
	w := make([]float64, 0, len(lengths))
	size := m.rows(len(lengths), group)
	for at := 0; at < len(lengths); at += size {
		total := 0
		for _, n := range lengths[at : at+size] {
			total += n
		}
		for range size {
			w = append(w, float64(size)/(float64(len(lengths))*float64(total)))
		}
	}
	return w
}

// PolicyTerms are sums over the tokens of one response; the caller divides.
type PolicyTerms struct {
	Loss     float64
	Clipped  float64 // tokens whose clipped branch is the larger loss
	Ratio    float64
	ApproxKL float64 // (new - old)² / 2, k2
	PolicyKL float64 // old - new
	// MaxRatio is the largest ratio.
	MaxRatio float64
	// Grad is dLoss/dlogprob_new of each token, [n_response].
	Grad []float64
}

// PolicyLoss is the clipped surrogate (Schulman et al. 2017, eq. 7) of one response:
//
//	ratio  = exp(new - old)
//	loss_t = max(-A ratio, -A clip(ratio, 1-clip, 1+clip))
//	d loss_t / d new_t = -A ratio where the first branch is the larger or equal, else 0
//
// All slices are [n_response].
func PolicyLoss(newLogprobs, old, advantages []float64, clip float64) PolicyTerms {
	p := PolicyTerms{Grad: make([]float64, len(newLogprobs)), MaxRatio: math.Inf(-1)}
	for t, lp := range newLogprobs {
		diff := lp - old[t]
		ratio := math.Exp(diff)
		plain := -advantages[t] * ratio
		clipped := -advantages[t] * min(max(ratio, 1-clip), 1+clip)
		if clipped > plain {
			p.Loss += clipped
			p.Clipped++
		} else {
			p.Loss += plain
			p.Grad[t] = plain // d exp(new-old)/d new = ratio
		}
		p.Ratio += ratio
		p.MaxRatio = max(p.MaxRatio, ratio)
		p.ApproxKL += 0.5 * diff * diff
		p.PolicyKL -= diff
	}
	return p
}

// ValueTerms are sums over the tokens of one response; the caller divides.
type ValueTerms struct {
	Loss    float64 // with the 1/2
	Clipped float64 // tokens whose clipped branch is the larger loss
	Error   float64 // (v - R)²
	Value   float64 // v
	// Grad is dLoss/dv of each token, [n_response].
	Grad []float64
}

// ValueLoss is the clipped squared error of one response, as trl 0.7.1's loss:
//
//	vc     = clip(v, old-clip, old+clip)
//	loss_t = max((v - R)², (vc - R)²) / 2
//	d loss_t / d v_t = v - R where the first branch is the larger or equal, else 0
//
// All slices are [n_response].
func ValueLoss(values, old, returns []float64, clip float64) ValueTerms {
	p := ValueTerms{Grad: make([]float64, len(values))}
	for t, v := range values {
		err := v - returns[t]
		clippedErr := min(max(v, old[t]-clip), old[t]+clip) - returns[t]
		plain, clipped := err*err, clippedErr*clippedErr
		if clipped > plain {
			p.Loss += 0.5 * clipped
			p.Clipped++
		} else {
			p.Loss += 0.5 * plain
			p.Grad[t] = err
		}
		p.Error += plain
		p.Value += v
	}
	return p
}

// RatioTooLarge is trl's ratio_threshold: where the mean ratio of a mini-batch is
// above it, its loss and gradient count as zero. threshold 0 switches it off.
func RatioTooLarge(meanRatio, threshold float64) bool {
	return threshold > 0 && meanRatio > threshold
}
