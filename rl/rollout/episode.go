package rollout

import (
	"steer/ggml/lm"
	"steer/rl/data"
)

// Prompt is what a response is asked for.
type Prompt struct {
	Tokens []int32
	Text   string
	// Messages is the conversation that the prompt renders; nil where it was none.
	Messages []data.Message
	// ID names the row it is from, for messages and for rewards by program.
	ID string
	// Fields are the row's other columns, which rewards by program may look at; nil where it has none.
	Fields map[string]any
}

// Episode is one prompt and the response to it.
type Episode struct {
	Prompt
	Response     []int32
	ResponseText string // without special tokens
	// Ended: an end token or a stop string ended the response, not its length.
	Ended bool
}

// Sequence lays a response out for a forward pass: the log-probability of every token of it.
func Sequence(prompt, response []int32) lm.Sequence {
	p, n := len(prompt), len(response)
	s := lm.Sequence{Tokens: make([]int32, 0, p+n), Targets: make([]int32, n)}
	s.Tokens = append(append(s.Tokens, prompt...), response...)
	for i := range n {
		s.Targets[i] = int32(p + i)
	}
	return s
}
