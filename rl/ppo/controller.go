package ppo

// KLControl says how the KL coefficient moves.
type KLControl string

// The controllers.
const (
	KLFixed    KLControl = "fixed"
	KLAdaptive KLControl = "adaptive"
)

// Values implements the enum check of the configuration reader.
func (KLControl) Values() []string { return []string{string(KLFixed), string(KLAdaptive)} }

// NextKLCoef is the proportional controller of Ziegler et al. 2019, section 2.2:
//
//	e    = clip(kl/target - 1, -0.2, 0.2)
//	coef = coef * (1 + e * episodes / horizon)
//
// kl is the batch mean of the summed k1 of a response, episodes the number of
// responses it was measured on.
func NextKLCoef(coef, kl, target, horizon float64, episodes int) float64 {
	e := min(max(kl/target-1, -0.2), 0.2)
	return coef * (1 + e*float64(episodes)/horizon)
}

// EpochKLExceeded is trl's early stop: the mean of logprob_old - logprob_new of the
// last mini-batch of an epoch is above 1.5 times the target. The remaining epochs of
// the iteration are then left out.
func EpochKLExceeded(policyKL, target float64) bool { return policyKL > 1.5*target }
