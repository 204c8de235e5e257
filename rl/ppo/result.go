package ppo

// Best is the policy with the highest mean score - kl_coef KL over a rollout batch.
type Best struct {
	// Iteration is the number of iterations the policy had been trained for.
	Iteration int64   `json:"iteration"`
	Objective float64 `json:"objective"`
	Score     float64 `json:"score"` // mean raw score of the batch
	KL        float64 `json:"kl"`    // nats a response
}

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
