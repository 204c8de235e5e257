package ppo

// sampleRecord is a line of samples.jsonl.zst.
type sampleRecord struct {
	Iteration int64   `json:"iteration"`
	Prompt    string  `json:"prompt"`
	Response  string  `json:"response"`
	Score     float64 `json:"score"` // raw, less the penalty
	KL        float64 `json:"kl"`    // of the response, nats
	Tokens    int     `json:"tokens"`
	Ended     bool    `json:"ended"`
}

func (t *trainer) writeSamples(episodes []Episode, exp *Experience) error {
	if t.deps.Run == nil {
		return nil
	}
	var records []any
	for i, e := range episodes[:min(len(episodes), t.cfg.SamplesCount)] {
		records = append(records, sampleRecord{
			Iteration: t.st.Iteration, Prompt: e.PromptText, Response: e.ResponseText,
			Score: exp.RawScores[i], KL: exp.Trajectories[i].KLSum(), Tokens: len(e.Response), Ended: e.Ended,
		})
	}
	return t.deps.Run.Sample(records...)
}
