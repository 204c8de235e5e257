package chat

import "steer/rl/data"

// Said gives a conversation what was said in it.
func (c *Conversation) Said(history []data.Message) { c.history = history }

// Kept is what the model sees of what was said before a turn, the question included.
func (t *Turn) Kept() []data.Message { return t.history }

// Prompt are a turn's tokens.
func (t *Turn) Prompt() []int32 { return t.prompt }
