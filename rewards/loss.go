package rewards

import "math"

// PairLoss is the loss of one pair and its derivatives by the two scores:
//
//	d    = r_chosen - r_rejected - margin
//	loss = -log sigmoid(d) + centre*(r_chosen + r_rejected)^2
//
//	dloss/dr_chosen   = -sigmoid(-d) + 2 centre (r_chosen + r_rejected)
//	dloss/dr_rejected =  sigmoid(-d) + 2 centre (r_chosen + r_rejected)
//
// The first term is Bradley and Terry's (Ouyang et al. 2022, equation 1; Touvron et
// al. 2023, equation 2 with the margin; trl's RewardTrainer), the second is trl's center_rewards_coefficient
// (Eisenstein et al. 2023). The mean over the pairs of a mini-batch is taken by the caller.
func PairLoss(chosen, rejected, margin, centre float64) (loss, dChosen, dRejected float64) {
	d := chosen - rejected - margin
	sum := chosen + rejected
	loss = softplus(-d) + centre*sum*sum
	s := sigmoid(-d)
	return loss, -s + 2*centre*sum, s + 2*centre*sum
}

// softplus is log(1 + e^x) without overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// sigmoid is 1/(1 + e^-x) without overflow.
func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}
