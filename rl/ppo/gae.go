package ppo

// GAE is generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438,
// eq. 16), right to left over one response:
//
//	δ_t = r_t + gamma V_{t+1} - V_t      (V beyond the end is 0)
//	A_t = δ_t + gamma lambda A_{t+1}
//	R_t = A_t + V_t                      (the target of the value loss)
//
// rewards and values are [n_response]. The returns use the advantages before whitening.
func GAE(rewards, values []float64, gamma, lambda float64) (advantages, returns []float64) {
	n := len(rewards)
	advantages, returns = make([]float64, n), make([]float64, n)
	var next, nextValue float64
	for t := n - 1; t >= 0; t-- {
		delta := rewards[t] + gamma*nextValue - values[t]
		next = delta + gamma*lambda*next
		nextValue = values[t]
		advantages[t] = next
		returns[t] = next + values[t]
	}
	return advantages, returns
}
