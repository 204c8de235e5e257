package ppo

import (
	"context"

	"steer/ggml/lm"
	"steer/rl/data"
)

// Prompt is what a response is asked for.
type Prompt struct {
	Tokens []int32
	Text   string
	// Messages is the conversation that the prompt renders; nil where it was none.
	Messages []data.Message
}

// Episode is one prompt and the response to it.
type Episode struct {
	Prompt, Response         []int32
	PromptText, ResponseText string // the response without special tokens
	// PromptMessages is the prompt's conversation; nil where it was none.
	PromptMessages []data.Message
	// Ended: an end token or a stop string ended the response, not its length.
	Ended bool
}

// Scorer is a reward model: one score for each episode, in their order.
type Scorer interface {
	Score(ctx context.Context, episodes []Episode) ([]float32, error)
}

// sequence lays an episode out for a forward pass: the log-probability of every
// response token, and the value of the state before it, one position earlier.
func sequence(prompt, response []int32) lm.Sequence {
	p, n := len(prompt), len(response)
	s := lm.Sequence{
		Tokens:  make([]int32, 0, p+n),
		Targets: make([]int32, n),
		Heads:   make([]int32, n),
	}
	s.Tokens = append(append(s.Tokens, prompt...), response...)
	for i := range n {
		s.Targets[i] = int32(p + i)
		s.Heads[i] = int32(p + i - 1)
	}
	return s
}
