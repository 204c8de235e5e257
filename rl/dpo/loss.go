package dpo

import "math"

// Loss names what is minimised.
type Loss string

// The losses of pairs against a reference policy. With w and l the sums of log π/π_ref over the tokens of
// the chosen and the rejected answer, n their tokens, β beta, ε label_smoothing, σ the logistic function,
// f the divergence's function (see [Divergence]) and z = β (f(w) - f(l)):
const (
	// Sigmoid is -(1-ε) log σ(z) - ε log σ(-z): Rafailov et al. 2023, eq. 7; ε: Mitchell 2023 (cDPO).
	Sigmoid Loss = "sigmoid"
	// SigmoidNorm is Sigmoid of averages a token, z = β (f(w)/n_w - f(l)/n_l).
	SigmoidNorm Loss = "sigmoid_norm"
	// Hinge is max(0, 1 - z): SLiC, Zhao et al. 2023 (arXiv:2305.10425).
	Hinge Loss = "hinge"
	// IPO is (f(w)/n_w - f(l)/n_l - 1/(2β))²: Azar et al. 2023 (arXiv:2310.12036), averages a token as in TRL.
	IPO Loss = "ipo"
	// Robust is (-(1-ε) log σ(z) + ε log σ(-z)) / (1 - 2ε): Chowdhury et al. 2024 (arXiv:2403.00409).
	Robust Loss = "robust"
	// EXOPair is σ(z)(log σ(z) - log(1-ε)) + σ(-z)(log σ(-z) - log ε): Ji et al. 2024 (arXiv:2402.00856), eq. 16.
	EXOPair Loss = "exo_pair"
	// NCAPair is -log σ(βw) - ½ log σ(-βw) - ½ log σ(-βl): Chen et al. 2024 (arXiv:2402.05369).
	NCAPair Loss = "nca_pair"
	// BCOPair is -log σ(βw) - log σ(-βl): Jung et al. 2024 (arXiv:2404.04656), without a running mean, as in TRL.
	BCOPair Loss = "bco_pair"
	// SPPOHard is (w - 1/(2β))² + (l + 1/(2β))²: Wu et al. 2024 (arXiv:2405.00675).
	SPPOHard Loss = "sppo_hard"
	// APOZero is 1 - σ(βw) + σ(βl): D'Oosterlinck et al. 2024 (arXiv:2408.06266), for answers better than the model's.
	APOZero Loss = "apo_zero"
	// APODown is σ(βw) + 1 - σ(β(w - l)): the same, for answers worse than the model's.
	APODown Loss = "apo_down"
	// Discopop is -(1-k) log σ(z) + k exp(-z), k = σ(z/τ): Lu et al. 2024 (arXiv:2406.08414).
	Discopop Loss = "discopop"
)

// The losses of single answers with a thumb up or down; see [ExampleLoss].
const (
	// KTO: Ethayarajh et al. 2024 (arXiv:2402.01306), the KL estimated as TRL does.
	KTO Loss = "kto"
	// APOZeroUnpaired is APOZero's half for each side.
	APOZeroUnpaired Loss = "apo_zero_unpaired"
)

// The losses of pairs without a reference policy; see [FreeLoss].
const (
	// ORPO: Hong et al. 2024 (arXiv:2403.07691).
	ORPO Loss = "orpo"
	// SimPO: Meng et al. 2024 (arXiv:2405.14734).
	SimPO Loss = "simpo"
	// CPO: Xu et al. 2024 (arXiv:2401.08417).
	CPO Loss = "cpo"
)

// Values implements the enum check of the configuration reader.
func (Loss) Values() (names []string) {
	for _, l := range append(append([]Loss{}, referenced[:]...), KTO, APOZeroUnpaired, ORPO, SimPO, CPO) {
		names = append(names, string(l))
	}
	return names
}

var referenced = [...]Loss{
	Sigmoid, SigmoidNorm, Hinge, IPO, Robust, EXOPair, NCAPair, BCOPair, SPPOHard, APOZero, APODown, Discopop,
}

// Unpaired: the loss reads single answers with a thumb.
func (l Loss) Unpaired() bool { return l == KTO || l == APOZeroUnpaired }

// ReferenceFree: the loss needs no reference policy.
func (l Loss) ReferenceFree() bool { return l == ORPO || l == SimPO || l == CPO }

// Divergence names f of the losses of pairs: which f-divergence from the reference policy is paid for
// (Wang et al. 2023, arXiv:2309.16240).
type Divergence string

// The divergences.
const (
	ReverseKL Divergence = "reverse_kl"       // f(u) = u
	ForwardKL Divergence = "forward_kl"       // f(u) = 1 - exp(-u)
	JS        Divergence = "js_divergence"    // f(u) = log 2 + log σ(u)
	Alpha     Divergence = "alpha_divergence" // f(u) = (exp((a-1) u) - 1)/(a-1)
)

// Values implements the enum check of the configuration reader.
func (Divergence) Values() []string {
	return []string{string(ReverseKL), string(ForwardKL), string(JS), string(Alpha)}
}

// of is f(u) and f'(u); a is the coefficient of Alpha.
func (d Divergence) of(u, a float64) (f, df float64) {
	switch d {
	case ForwardKL:
		e := math.Exp(-u)
		return 1 - e, e
	case JS:
		return math.Ln2 + logSigmoid(u), sigmoid(-u)
	case Alpha:
		e := math.Exp((a - 1) * u)
		return (e - 1) / (a - 1), e
	}
	return u, 1
}

// Terms are the constants of losses, as configured.
type Terms struct {
	// Beta is the price of leaving the reference policy; in CPO and SimPO the scale of the margin.
	Beta float64 `yaml:"beta"`
	// LabelSmoothing is the share of pairs that are taken to be the wrong way round (ε).
	LabelSmoothing float64 `yaml:"label_smoothing"`
	// Divergence and AlphaCoef are f and its coefficient.
	Divergence Divergence `yaml:"f_divergence_type"`
	AlphaCoef  float64    `yaml:"f_alpha_divergence_coef"`
	// DiscopopTau is τ of Discopop.
	DiscopopTau float64 `yaml:"discopop_tau"`
	// DesirableWeight and UndesirableWeight weigh the two thumbs of KTO.
	DesirableWeight   float64 `yaml:"desirable_weight"`
	UndesirableWeight float64 `yaml:"undesirable_weight"`
	// SimPOGamma is the margin that SimPO asks for, in units of the scaled reward.
	SimPOGamma float64 `yaml:"simpo_gamma"`
	// AlphaPO replaces log p by (1 - p^-alpha)/alpha in SimPO (Gupta et al. 2025, arXiv:2501.03884); 0: not.
	AlphaPO float64 `yaml:"alphapo"`
}

// Margins are what the loss of a pair reads.
type Margins struct {
	W, L   float64 // Σ log π/π_ref over the tokens of the chosen and of the rejected answer, nats
	NW, NL float64 // tokens
}

// PairLoss is the loss of one pair against the reference policy, and its derivatives by W and L.
func (t *Terms) PairLoss(loss Loss, m Margins) (value, dW, dL float64) {
	b, e := t.Beta, t.LabelSmoothing
	fw, dfw := t.Divergence.of(m.W, t.AlphaCoef)
	fl, dfl := t.Divergence.of(m.L, t.AlphaCoef)
	if loss == IPO || loss == SigmoidNorm {
		fw, dfw, fl, dfl = fw/m.NW, dfw/m.NW, fl/m.NL, dfl/m.NL
	}
	// ofZ is for losses of the difference alone.
	ofZ := func(value, dz float64) (float64, float64, float64) { return value, dz * b * dfw, -dz * b * dfl }
	z := b * (fw - fl)
	switch loss {
	case Sigmoid, SigmoidNorm:
		return ofZ(-(1-e)*logSigmoid(z)-e*logSigmoid(-z), -(1-e)*sigmoid(-z)+e*sigmoid(z))
	case Hinge:
		if z < 1 {
			return ofZ(1-z, -1)
		}
		return 0, 0, 0
	case IPO:
		d := fw - fl - 1/(2*b)
		return d * d, 2 * d * dfw, -2 * d * dfl
	case Robust:
		return ofZ((-(1-e)*logSigmoid(z)+e*logSigmoid(-z))/(1-2*e), (-(1-e)*sigmoid(-z)-e*sigmoid(z))/(1-2*e))
	case EXOPair:
		p, q := sigmoid(z), sigmoid(-z)
		up, down := logSigmoid(z)-math.Log1p(-e), logSigmoid(-z)-math.Log(e)
		return ofZ(p*up+q*down, p*q*(up-down))
	case Discopop:
		k := sigmoid(z / t.DiscopopTau)
		dk := k * sigmoid(-z/t.DiscopopTau) / t.DiscopopTau
		value, far := -logSigmoid(z), math.Exp(-z)
		return ofZ(value*(1-k)+far*k, -sigmoid(-z)*(1-k)-value*dk-far*k+far*dk)
	}
	return t.sidesLoss(loss, m)
}

// sidesLoss is PairLoss of losses that look at each side by itself.
func (t *Terms) sidesLoss(loss Loss, m Margins) (value, dW, dL float64) {
	b := t.Beta
	w, l := b*m.W, b*m.L
	switch loss {
	case NCAPair:
		return -logSigmoid(w) - logSigmoid(-w)/2 - logSigmoid(-l)/2,
			b * (-sigmoid(-w) + sigmoid(w)/2), b * sigmoid(l) / 2
	case BCOPair:
		return -logSigmoid(w) - logSigmoid(-l), -b * sigmoid(-w), b * sigmoid(l)
	case SPPOHard:
		x, y := m.W-1/(2*b), m.L+1/(2*b)
		return x*x + y*y, 2 * x, 2 * y
	case APOZero:
		return 1 - sigmoid(w) + sigmoid(l), -b * sigmoid(w) * sigmoid(-w), b * sigmoid(l) * sigmoid(-l)
	case APODown:
		d := b * sigmoid(w-l) * sigmoid(l-w)
		return sigmoid(w) + 1 - sigmoid(w-l), b*sigmoid(w)*sigmoid(-w) - d, d
	}
	panic("dpo: " + string(loss) + " is no loss of pairs against a reference policy")
}

// ExampleLoss is the loss of one answer with a thumb, and its derivative by ratio = Σ log π/π_ref. kl is the
// batch's estimate of KL(π || π_ref), at least 0, through which no gradient goes (see [EstimateKL]).
//
//	kto                desirable: w₊ (1 - σ(β (ratio - kl)))    undesirable: w₋ (1 - σ(β (kl - ratio)))
//	apo_zero_unpaired  desirable: w₊ (1 - σ(β ratio))           undesirable: w₋ σ(β ratio)
func (t *Terms) ExampleLoss(loss Loss, desirable bool, ratio, kl float64) (value, dRatio float64) {
	if loss == APOZeroUnpaired {
		kl = 0
	}
	weight, sign := t.DesirableWeight, 1.0
	if !desirable {
		weight, sign = t.UndesirableWeight, -1
	}
	x := sign * t.Beta * (ratio - kl)
	return weight * sigmoid(-x), -weight * sign * t.Beta * sigmoid(x) * sigmoid(-x)
}

// EstimateKL is KTO's reference point: the mean over a batch of Σ log π/π_ref of answers to prompts that are
// not theirs, and not below 0.
func EstimateKL(ratios []float64) float64 {
	var sum float64
	for _, r := range ratios {
		sum += r
	}
	if len(ratios) == 0 {
		return 0
	}
	return max(0, sum/float64(len(ratios)))
}

// Sums are what the loss of a pair without a reference policy reads.
type Sums struct {
	W, L   float64 // Σ log π over the tokens of the chosen and of the rejected answer, nats
	NW, NL float64 // tokens
}

// FreeLoss is the preference term of a pair without a reference policy, and its derivatives by W and L.
// With a = W/n_w, b = L/n_l:
//
//	orpo   -β log σ(log odds(a) - log odds(b)), log odds(x) = x - log(1 - e^x)
//	simpo  -(1-ε) log σ(z) - ε log σ(-z),  z = β (a - b) - γ; with alphapo r(x) = (1 - e^(-alpha x))/alpha for x
//	cpo    the same with z = β (W - L)
//
// To it belongs the negative log-likelihood of the chosen answer, which the trainer adds: see Config.
func (t *Terms) FreeLoss(loss Loss, s Sums) (value, dW, dL float64) {
	b, e := t.Beta, t.LabelSmoothing
	var z, dzW, dzL float64
	switch loss {
	case ORPO:
		w, dw := logOdds(s.W / s.NW)
		l, dl := logOdds(s.L / s.NL)
		d := w - l
		return -b * logSigmoid(d), -b * sigmoid(-d) * dw / s.NW, b * sigmoid(-d) * dl / s.NL
	case SimPO:
		w, dw := t.reward(s.W / s.NW)
		l, dl := t.reward(s.L / s.NL)
		z, dzW, dzL = b*(w-l)-t.SimPOGamma, b*dw/s.NW, -b*dl/s.NL
	case CPO:
		z, dzW, dzL = b*(s.W-s.L), b, -b
	default:
		panic("dpo: " + string(loss) + " is no loss without a reference policy")
	}
	dz := -(1-e)*sigmoid(-z) + e*sigmoid(z)
	return -(1-e)*logSigmoid(z) - e*logSigmoid(-z), dz * dzW, dz * dzL
}

// reward is SimPO's of an average log-probability, or AlphaPO's.
func (t *Terms) reward(x float64) (r, dr float64) {
	if t.AlphaPO == 0 {
		return x, 1
	}
	e := math.Exp(-t.AlphaPO * x)
	return (1 - e) / t.AlphaPO, e
}

// logOdds is log(p/(1-p)) of p = e^x, and its derivative 1/(1-p).
func logOdds(x float64) (odds, d float64) {
	rest := -math.Expm1(x) // 1 - p
	return x - math.Log(rest), 1 / rest
}

// logSigmoid is log(1/(1 + e^-x)) without overflow.
func logSigmoid(x float64) float64 { return min(x, 0) - math.Log1p(math.Exp(-math.Abs(x))) }

// sigmoid is 1/(1 + e^-x) without overflow.
func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}
