package ppo

// Result is how a run ended; its JSON names are those of result.json (docs/ppo.md).
type Result struct {
	Iterations int64 `json:"iterations"` // done
	Updates    int64 `json:"updates"`    // optimizer updates taken
	// ScoreFirst and ScoreLast are the mean raw scores of the first and last batch.
	ScoreFirst float64 `json:"score_first"`
	ScoreLast  float64 `json:"score_last"`
	KLLast     float64 `json:"kl_last"` // nats a response
	KLCoefLast float64 `json:"kl_coef_last"`
	// Best is nil before the first iteration has ended.
	Best *Best `json:"best,omitempty"`
	// HeldoutFirst is measured before training, HeldoutLast after it; nil without
	// held-out prompts.
	HeldoutFirst *Heldout `json:"heldout_first,omitempty"`
	HeldoutLast  *Heldout `json:"heldout_last,omitempty"`
	// StoppedBecause is the sentence of the guard that ended the run, or "".
	StoppedBecause string `json:"stopped_because,omitempty"`
}
