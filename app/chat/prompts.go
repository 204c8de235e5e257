package chat

import (
	"fmt"
	"io"
	"slices"

	"steer/app/jsonlines"
	"steer/internal/strictjson"
	"steer/rl/data"
)

// Prompt is a conversation to be answered, with where it is from.
type Prompt struct {
	Where    string // for errors: "prompts.jsonl: line 3"
	Line     int    // from 1
	Messages []data.Message
}

// PromptError is an error about one prompt.
type PromptError struct {
	Where string // Prompt.Where
	Err   error
}

// Error implements error.
func (e *PromptError) Error() string { return fmt.Sprintf("%s: %v", e.Where, e.Err) }

// Unwrap gives what is wrong with the prompt.
func (e *PromptError) Unwrap() error { return e.Err }

// Last is the message that is answered, "" where there is none.
func (p Prompt) Last() string {
	if n := len(p.Messages); n > 0 {
		return p.Messages[n-1].Content
	}
	return ""
}

// UserPrompt is a single message of the user.
func UserPrompt(where string, line int, text string) Prompt {
	return Prompt{Where: where, Line: line, Messages: []data.Message{{Role: data.RoleUser, Content: text}}}
}

// ReadPrompts reads JSON lines, {"prompt": "..."} or {"messages": [...]}, or plain text lines; blank
// lines are passed over. The answer at the end of a conversation is left out.
func ReadPrompts(r io.Reader, name string, plain bool) ([]Prompt, error) {
	var out []Prompt
	err := jsonlines.Each(r, name, func(line int, text []byte) error {
		where := fmt.Sprintf("%s: line %d", name, line)
		p := UserPrompt(where, line, string(text))
		if !plain {
			var err error
			if p.Messages, err = parsePrompt(text); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
		out = append(out, p)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: no prompts: want at least one line", name)
	}
	return out, err
}

// parsePrompt reads one JSON object.
func parsePrompt(text []byte) ([]data.Message, error) {
	var v struct {
		Prompt   *string        `json:"prompt"`
		Text     *string        `json:"text"`
		Messages strictjson.Raw `json:"messages"`
	}
	if err := jsonlines.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	messages, err := jsonlines.Messages(v.Messages)
	if err != nil {
		return nil, err
	}
	if v.Prompt == nil {
		v.Prompt = v.Text
	}
	switch {
	case messages != nil:
		messages = withoutAnswer(messages)
		if !slices.ContainsFunc(messages, func(m data.Message) bool { return m.Role == data.RoleUser }) {
			return nil, fmt.Errorf(`field "messages": want a message of the user: there is nothing to answer`)
		}
		return messages, nil
	case v.Prompt != nil:
		return []data.Message{{Role: data.RoleUser, Content: *v.Prompt}}, nil
	}
	return nil, fmt.Errorf(`want "prompt" or "messages", got %s`, jsonlines.Keys(text))
}

// withoutAnswer takes the last answer off a conversation: it is what is to be generated.
func withoutAnswer(messages []data.Message) []data.Message {
	if n := len(messages); n > 0 && messages[n-1].Role == data.RoleAssistant {
		return messages[:n-1]
	}
	return messages
}
