package run

// SFT is result.json of supervised fine-tuning.
type SFT struct {
	Record
	SFTSummary
}

// SFTSummary is what the trainer says of its run; checkpoints keep it as far as it has come.
type SFTSummary struct {
	Steps  int64 `json:"steps"`
	Tokens int64 `json:"tokens"` // through the model in training
	// Counts says what became of the training examples, EvalCounts of the held-out ones.
	Counts     *Counts `json:"counts,omitempty"`
	EvalCounts *Counts `json:"eval_counts,omitempty"`
	// DataSHA256 is over the token ids and counted positions of both, in order.
	DataSHA256 string `json:"data_sha256"`
	// LossFirst is the training loss of the first step, Loss of the last, in nats a token.
	LossFirst float64 `json:"loss_first"`
	Loss      float64 `json:"loss"`
	// EvalBefore is measured before the first step, EvalLast after the last, EvalBest at step
	// BestStep; nil without held-out examples.
	EvalBefore *TextLoss `json:"eval_before,omitempty"`
	EvalLast   *TextLoss `json:"eval_last,omitempty"`
	EvalBest   *TextLoss `json:"eval_best,omitempty"`
	BestStep   int64     `json:"best_step,omitempty"`
	// KeptStep is the step whose weights are the result.
	KeptStep int64 `json:"kept_step"`
}

// Counts says what became of the examples of a data set.
type Counts struct {
	In        int   `json:"in"`
	Kept      int   `json:"kept"`
	Dropped   int   `json:"dropped"`    // longer than the limit
	Truncated int   `json:"truncated"`  // kept, but cut to the limit
	NoTargets int   `json:"no_targets"` // dropped: no token counts
	Tokens    int64 `json:"tokens"`     // of what was kept
	Targets   int64 `json:"targets"`    // tokens whose log-probability counts
	Blocks    int   `json:"blocks,omitempty"`
	Remainder int   `json:"remainder,omitempty"` // tokens that filled no whole block
}

// TextLoss is what held-out examples say of a model.
type TextLoss struct {
	// Loss is the mean of -log p over the counted tokens, in nats.
	Loss float64 `json:"loss"`
	// Perplexity is exp(Loss).
	Perplexity float64 `json:"perplexity"`
	// Accuracy is the share of counted tokens that are the model's first choice.
	Accuracy float64 `json:"token_accuracy"`
	// Tokens is the number of counted tokens.
	Tokens int64 `json:"tokens"`
}

// Check finds what contradicts itself.
func (s *SFT) Check() error { return s.Record.check() }
