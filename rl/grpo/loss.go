package grpo

import "math"

// Level names what a ratio of probabilities is taken of.
type Level string

// The levels. With the tokens' d_t = log π(y_t) - log π_old(y_t):
const (
	// LevelToken: each token has its own ratio, exp d_t.
	LevelToken Level = "token"
	// LevelSequence: one ratio an answer, exp of the mean of d_t (GSPO, Zheng et al. 2025, arXiv:2507.18071).
	LevelSequence Level = "sequence"
	// LevelSequenceSum: one ratio an answer, that of its probability, exp Σ d_t (RLOO).
	LevelSequenceSum Level = "sequence_sum"
)

// Values implements the enum check of the configuration reader.
func (Level) Values() []string {
	return []string{string(LevelToken), string(LevelSequence), string(LevelSequenceSum)}
}

// Answer is an answer as its loss sees it; slices are [n_response].
type Answer struct {
	New, Old, Ref []float64 // log-probabilities
	Advantages    []float64 // equal where a ratio is the answer's
	// Left leaves tokens out of the policy's loss, not of the KL; nil leaves out none.
	Left []bool
	// Masked: the whole answer does not count.
	Masked bool
}

// Terms are sums over the tokens of an answer; the caller weighs them.
type Terms struct {
	Loss float64
	// Grad is dLoss/dlogprob of each token, [n_response].
	Grad []float64
	// Low and High count ratios below and above the clipping's interval where the advantage makes it bite; an answer
	// with one ratio counts once. CISPO has High alone.
	Low, High, Ratios float64
	Ratio, MaxRatio   float64 // sum over Ratios, the largest
	KL                float64 // k3, as it counts in the loss
}

// Terms computes the loss of one answer, token by token:
//
//	r    = ratio (see [Level])
//	grpo, bnpo, dr_grpo, dapo, luspo: -min(min(r, delta) A, clip(r, 1 - low, 1 + high) A)
//	cispo: -min(r, high) A log π         (the ratio has no gradient)
//	sapo:  -4/τ σ(τ (r - 1)) A            (τ by the sign of A)
//	vespo: -φ A log π, φ = exp(λ + k log W - λ W), W = exp Σ d_t (no gradient; k, λ by the sign of A)
//	gmpo:  -exp(mean of clipped d_t) A, one number an answer
//	plus beta k3 (times r with use_bias_correction_kl), k3 = exp(ref - new) - (ref - new) - 1
func (l *Loss) Terms(a Answer, beta float64) Terms {
	n := len(a.New)
	t := Terms{Grad: make([]float64, n), MaxRatio: math.Inf(-1)}
	if a.Masked || n == 0 {
		t.MaxRatio = 1
		return t
	}
	diff := make([]float64, n)
	for i := range diff {
		diff[i] = a.New[i] - a.Old[i]
	}
	ratio := l.ratios(diff)
	keep := l.kept(a, diff)
	switch l.LossType {
	case GMPO:
		l.geometric(&t, a, diff)
	case CISPO:
		l.cispo(&t, a, ratio, keep)
	case VESPO:
		l.vespo(&t, a, diff, keep)
	case SAPO:
		l.sapo(&t, a, ratio, keep)
	default:
		l.surrogate(&t, a, ratio, keep)
	}
	l.count(&t, a, ratio)
	if beta != 0 {
		l.addKL(&t, a, ratio, beta)
	}
	return t
}

// ratioOf holds an answer's ratio of each token and how log-probabilities move it.
type ratioOf struct {
	values []float64
	// one: all tokens share a ratio; share is what each log-probability adds to its logarithm.
	one   bool
	share float64
}

// ratios of an answer by level.
func (l *Loss) ratios(diff []float64) ratioOf {
	r := ratioOf{values: make([]float64, len(diff)), one: l.Level != LevelToken, share: 1}
	sum := 0.0
	for i, d := range diff {
		r.values[i] = math.Exp(d)
		sum += d
	}
	if !r.one {
		return r
	}
	if l.Level == LevelSequence {
		r.share = 1 / float64(len(diff))
	}
	c := math.Exp(sum * r.share)
	for i := range r.values {
		r.values[i] = c
	}
	return r
}

// push adds to the gradient what token i's loss owes to its ratio; slope is dloss_i/dlog r_i.
func (r *ratioOf) push(grad []float64, i int, slope float64) {
	if !r.one {
		grad[i] += slope
		return
	}
	for t := range grad {
		grad[t] += slope * r.share
	}
}

// kept tells which tokens have a policy loss.
func (l *Loss) kept(a Answer, diff []float64) []bool {
	keep := make([]bool, len(diff))
	off := 0.0
	for _, d := range diff {
		off -= d / float64(len(diff))
	}
	for i := range keep {
		dropped := l.OffPolicyMask > 0 && a.Advantages[i] < 0 && off > l.OffPolicyMask
		keep[i] = !dropped && (a.Left == nil || !a.Left[i])
	}
	return keep
}

// surrogate is the clipped one, with a cap on the other branch.
func (l *Loss) surrogate(t *Terms, a Answer, r ratioOf, keep []bool) {
	for i, c := range r.values {
		if !keep[i] {
			continue
		}
		adv := a.Advantages[i]
		plain, slope := c, c
		if l.Delta > 0 && c > l.Delta {
			plain, slope = l.Delta, 0
		}
		clipped := min(max(c, 1-l.EpsilonLow), 1+l.EpsilonHigh)
		if plain*adv <= clipped*adv {
			t.Loss -= plain * adv
			r.push(t.Grad, i, -slope*adv)
			continue
		}
		t.Loss -= clipped * adv
		if clipped == c {
			r.push(t.Grad, i, -c*adv)
		}
	}
}

func (l *Loss) cispo(t *Terms, a Answer, r ratioOf, keep []bool) {
	for i, c := range r.values {
		if keep[i] {
			weight := min(c, l.EpsilonHigh) * a.Advantages[i]
			t.Loss -= weight * a.New[i]
			t.Grad[i] -= weight
		}
	}
}

func (l *Loss) sapo(t *Terms, a Answer, r ratioOf, keep []bool) {
	for i, c := range r.values {
		if !keep[i] {
			continue
		}
		tau := l.SAPOTemperatureNeg
		if a.Advantages[i] > 0 {
			tau = l.SAPOTemperaturePos
		}
		gate := 1 / (1 + math.Exp(-tau*(c-1)))
		t.Loss -= 4 / tau * gate * a.Advantages[i]
		r.push(t.Grad, i, -4*gate*(1-gate)*c*a.Advantages[i])
	}
}

// The bounds of the logarithm of a ratio in vespo.
const (
	vespoMost  = 20
	vespoLeast = -18.420680743952367 // log 1e-8
)

func (l *Loss) vespo(t *Terms, a Answer, diff []float64, keep []bool) {
	logW := 0.0
	for _, d := range diff {
		logW += min(max(d, -vespoMost), vespoMost)
	}
	logW = min(max(logW, vespoLeast), vespoMost)
	for i := range diff {
		if !keep[i] {
			continue
		}
		k, lambda := l.VESPOKNeg, l.VESPOLambdaNeg
		if a.Advantages[i] >= 0 {
			k, lambda = l.VESPOKPos, l.VESPOLambdaPos
		}
		lambda = max(lambda, 1e-4)
		phi := math.Exp(lambda + k*logW - lambda*math.Exp(logW))
		if math.IsInf(phi, 0) || math.IsNaN(phi) {
			phi = 0
		}
		weight := phi * a.Advantages[i]
		t.Loss -= weight * a.New[i]
		t.Grad[i] -= weight
	}
}

// geometric spreads the answer's one number over its tokens, whose weights divide by their count.
func (l *Loss) geometric(t *Terms, a Answer, diff []float64) {
	n, adv := float64(len(diff)), a.Advantages[0]
	logC := 0.0
	free := make([]bool, len(diff))
	for i, d := range diff {
		clipped := min(max(d, -l.EpsilonLow), l.EpsilonHigh)
		if bites := adv >= 0 && clipped < d || adv < 0 && clipped > d; bites {
			d = clipped
		} else {
			free[i] = true
		}
		logC += d / n
	}
	c := math.Exp(logC)
	t.Loss -= n * c * adv
	for i := range diff {
		if free[i] {
			t.Grad[i] -= c * adv
		}
	}
}

// count notes how often the clipping bites.
func (l *Loss) count(t *Terms, a Answer, r ratioOf) {
	seen := len(r.values)
	if r.one {
		seen = 1
	}
	for i, c := range r.values[:seen] {
		t.Ratios++
		t.Ratio += c
		t.MaxRatio = max(t.MaxRatio, c)
		adv := a.Advantages[i]
		low, high := 1-l.EpsilonLow, 1+l.EpsilonHigh
		switch l.LossType {
		case SAPO, VESPO:
			continue
		case CISPO:
			low, high = math.Inf(-1), l.EpsilonHigh
		case GMPO:
			low, high = math.Exp(-l.EpsilonLow), math.Exp(l.EpsilonHigh)
		}
		if c < low && adv < 0 {
			t.Low++
		}
		if c > high && adv > 0 {
			t.High++
		}
	}
}

// addKL adds beta k3 of each token, which trl weighs by the ratio on request.
func (l *Loss) addKL(t *Terms, a Answer, r ratioOf, beta float64) {
	for i := range a.New {
		d := a.Ref[i] - a.New[i]
		kl, slope := math.Expm1(d)-d, -math.Expm1(d)
		if l.KLImportance {
			t.KL += kl * r.values[i]
			t.Loss += beta * kl * r.values[i]
			t.Grad[i] += beta * slope * r.values[i]
			r.push(t.Grad, i, beta*kl*r.values[i])
			continue
		}
		t.KL += kl
		t.Loss += beta * kl
		t.Grad[i] += beta * slope
	}
}
