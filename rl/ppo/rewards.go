package ppo

// Rewards turns the KL of each response token and one score into rewards:
//
//	nonScore_t = -klCoef * kl_t
//	rewards_t  = nonScore_t, plus the score at the last token
//
// as trl 0.7.1's compute_rewards. kl is [n_response], n_response >= 1.
func Rewards(kl []float64, score, klCoef float64) (rewards, nonScore []float64) {
	nonScore = make([]float64, len(kl))
	for t := range kl {
		nonScore[t] = -klCoef * kl[t]
	}
	rewards = append([]float64(nil), nonScore...)
	rewards[len(rewards)-1] += score
	return rewards, nonScore
}
