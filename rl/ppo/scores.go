package ppo

import "math"

// RunningMoments is the mean and variance of every score seen, merged batch by batch
// (Chan, Golub, LeVeque 1979), as trl's RunningMoments: it starts with a count of
// 1e-24, mean 0 and variance 1.
type RunningMoments struct {
	Count float64 `json:"count"`
	Mean  float64 `json:"mean"`
	Var   float64 `json:"var"` // biased (n in the denominator)
}

// runningStart is the count trl starts from, so that the first merge divides by
// something.
const runningStart = 1e-24

// NewRunningMoments returns the state before the first batch.
func NewRunningMoments() RunningMoments { return RunningMoments{Count: runningStart, Var: 1} }

// Std is the standard deviation over all scores seen, n-1 in the denominator. While
// it is unknown (fewer than two scores, or all of them equal) it is 1, so that
// dividing by it changes nothing; trl divides by NaN or 1e-7 there.
func (m RunningMoments) Std() float64 {
	if m.Count < 1.5 || m.Var == 0 {
		return 1
	}
	return math.Sqrt(m.Var * m.Count / (m.Count - 1))
}

// Update merges a batch of scores in.
func (m *RunningMoments) Update(scores []float64) {
	n := float64(len(scores))
	if n == 0 {
		return
	}
	mean := 0.0
	for _, s := range scores {
		mean += s
	}
	mean /= n
	ss := 0.0
	for _, s := range scores {
		ss += (s - mean) * (s - mean)
	}
	delta := mean - m.Mean
	total := m.Count + n
	sum := ss + m.Var*m.Count + delta*delta*m.Count*n/total
	m.Mean += delta * n / total
	m.Var = sum / total
	m.Count = total
}

// ScoreScaling says what happens to raw scores before they become rewards.
type ScoreScaling struct {
	Scale bool    // divide by the running standard deviation
	Norm  bool    // with Scale: subtract the running mean first
	Clip  float64 // then clip to ±Clip; 0 means no clipping
}

// Apply returns the scores as used, having merged them into m if Scale is set:
//
//	s = (raw - mean_if_Norm) / std, then clip(s, ±Clip)
//
// as the start of trl 0.7.1's step, where use_score_norm has no effect without
// use_score_scaling.
func (c ScoreScaling) Apply(m *RunningMoments, raw []float64) []float64 {
	out := append([]float64(nil), raw...)
	if c.Scale {
		m.Update(raw)
		shift := 0.0
		if c.Norm {
			shift = m.Mean
		}
		std := m.Std() + scaleEps
		for i := range out {
			out[i] = (out[i] - shift) / std
		}
	}
	if c.Clip > 0 {
		for i := range out {
			out[i] = min(max(out[i], -c.Clip), c.Clip)
		}
	}
	return out
}

// scaleEps is torch.finfo(float32).eps, which trl adds to the standard deviation.
const scaleEps = 1.1920928955078125e-07
