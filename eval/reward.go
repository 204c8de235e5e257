package eval

import (
	"context"

	"steer/rl/data"
)

// Exchange is what a reward model judges: a response to a prompt, or, without a
// prompt, a text by itself.
type Exchange struct {
	PromptText, ResponseText string // the response without special tokens
	// Prompt and Response are the same as the policy saw and made them; nil where
	// the exchange never was tokens.
	Prompt, Response []int32
	// Ended: a stop token or string ended the response, not its length.
	Ended bool
	// Turns is the exchange as a conversation that ends with the assistant's turn. Where
	// it is set, a reward model puts the exchange before itself in the form it was
	// trained on: one of the chat form renders Turns with its template, one of the plain
	// form reads PromptText+ResponseText.
	Turns []data.Message
	// PromptTurns is the conversation that Prompt renders, where it was one. A reward model
	// trained in another template than the answer was asked for in reads it in its own.
	PromptTurns []data.Message
}

// Rewarder is a reward model: one raw score an exchange, higher is better.
type Rewarder interface {
	Score(ctx context.Context, exchanges []Exchange) ([]float32, error)
}

// CuttingRewarder is a [Rewarder] that says how many tokens of each exchange it had to
// leave out to fit its length.
type CuttingRewarder interface {
	Rewarder
	ScoreCut(ctx context.Context, exchanges []Exchange) (scores []float32, cut []int, err error)
}

// Reward is a named reward model. The normalised score is (raw - Mean) / Std; Std 0
// means that it has no normalisation.
type Reward struct {
	Name string
	// ID is what the scores depend on; see [Subject].
	ID string
	Rewarder
	Mean, Std float64
	// Form says, for the record, how texts are put before it (chat or plain).
	Form string
	// Classifier: the score is the log-odds of "harmless" of a statement by itself, not a
	// reward that is fixed up to a constant.
	Classifier bool
}
