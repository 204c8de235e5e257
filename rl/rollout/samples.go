package rollout

import "math"

// sampleRecord is a line of samples.jsonl.zst.
type sampleRecord struct {
	Iteration int64   `json:"iteration"`
	Prompt    string  `json:"prompt"`
	Response  string  `json:"response"`
	Score     float64 `json:"score"` // less the penalty
	KL        float64 `json:"kl"`    // of the response, nats
	Tokens    int     `json:"tokens"`
	Ended     bool    `json:"ended"`
	// Rewards are raw, by name, where there are several.
	Rewards map[string]float64 `json:"rewards,omitempty"`
}

func (t *trainer) writeSamples(c *collected, p *Prepared) error {
	if t.deps.Run == nil {
		return nil
	}
	var records []any
	for i, e := range c.Episodes[:min(len(c.Episodes), t.set.SamplesCount)] {
		records = append(records, sampleRecord{
			Iteration: t.st.Iteration, Prompt: e.Text, Response: e.ResponseText, Score: c.utility[i], KL: p.KL[i],
			Tokens: len(e.Response), Ended: e.Ended, Rewards: t.rewardsOf(c.Rewards, i),
		})
	}
	return t.deps.Run.Sample(records...)
}

// rewardsOf are the rewards of an episode by name; nil where there is one alone, and without those
// that do not judge it.
func (t *trainer) rewardsOf(rewards [][]float64, i int) map[string]float64 {
	if t.mixture.Single() {
		return nil
	}
	out := map[string]float64{}
	for k, name := range t.mixture.Names() {
		if r := rewards[k][i]; !math.IsNaN(r) {
			out[name] = r
		}
	}
	return out
}
