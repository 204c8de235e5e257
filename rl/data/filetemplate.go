package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"steer/ggml/lm"
	"steer/internal/ordered"
	"steer/internal/pystr"
	"steer/internal/strictjson"
)

// FileTemplate renders messages by the text of a chat template, as transformers' apply_chat_template
// does, whatever fields they have. For learning and asking there is [Template].
type FileTemplate struct{ own *own }

// NewFileTemplate compiles a chat template. chat gives the special tokens by their names, vars further
// variables, and date what date functions show, see [NewOwnTemplate].
func NewFileTemplate(source string, chat lm.Chat, vars map[string]any, date time.Time) (*FileTemplate, error) {
	chat.Template = source
	o, err := newOwn(chat, date, vars)
	if err != nil {
		return nil, err
	}
	return &FileTemplate{o}, nil
}

// continueTag marks where a message that is to be continued ends, as in transformers.
const continueTag = "CONTINUE_FINAL_MESSAGE_TAG "

// ErrNotContinued: the template does not write the last message as it is, so that it cannot be
// continued.
var ErrNotContinued = errors.New("the final message does not appear in what the template writes: " +
	"it cannot be continued")

// Render renders messages, each an *ordered.Map of its fields. With prompt, what opens the assistant's
// answer follows; with continued, the text ends where that of the last message does. An error is a
// [*Refusal], or ErrNotContinued.
func (t *FileTemplate) Render(messages []any, prompt, continued bool) (string, error) {
	messages = slices.Clone(messages)
	for i, m := range messages {
		fields, ok := m.(*ordered.Map)
		if !ok {
			return "", fmt.Errorf("messages[%d]: want an object", i)
		}
		if thought, ok := fields.Get("reasoning_content"); ok { // transformers knows it by two names
			if _, given := fields.Get("thinking"); !given {
				messages[i] = withField(fields, "thinking", thought)
			}
		}
	}
	if !continued {
		r, err := t.own.renderValues(messages, prompt)
		return r.text, err
	}
	if len(messages) == 0 || prompt {
		return "", errors.New("a final message can be continued where there is one, and no prompt for another is added")
	}
	last := len(messages) - 1
	fields := messages[last].(*ordered.Map)
	content, _ := fields.Get("content")
	final, ok := content.(string)
	if !ok {
		return "", fmt.Errorf("messages[%d].content: want text: only that can be continued", last)
	}
	messages[last] = withField(fields, "content", final+continueTag)
	r, err := t.own.renderValues(messages, false)
	if err != nil {
		return "", err
	}
	at := strings.LastIndex(r.text, strings.TrimSpace(continueTag))
	if at < 0 || !strings.Contains(r.text, strings.TrimFunc(final, pystr.IsSpace)) {
		return "", ErrNotContinued
	}
	if strings.HasPrefix(r.text[at:], continueTag) {
		return r.text[:at], nil
	}
	return strings.TrimRightFunc(r.text[:at], pystr.IsSpace), nil // the template trims: so does the cut
}

// withField is a copy of a message with another field.
func withField(m *ordered.Map, key string, value any) *ordered.Map {
	out := ordered.New(m.Len() + 1)
	for k, v := range m.All() {
		out.Set(k, v)
	}
	out.Set(key, value)
	return out
}

// RawConversation is a list of messages with all their fields.
type RawConversation struct {
	Messages []any // *ordered.Map
	Line     int
}

// LoadRaw reads the first limit conversations (0: all) as a [FileTemplate] takes them: rows of
// {"messages": [...]} with every field that they have, other formats by role and content.
func LoadRaw(src Source, limit int) ([]RawConversation, error) {
	src, err := src.Resolve(PromptFormats()...)
	if err != nil {
		return nil, err
	}
	if src.Format != FormatChat {
		rows, _, err := LoadPrompts(src)
		if err != nil {
			return nil, err
		}
		if limit > 0 {
			rows = rows[:min(len(rows), limit)]
		}
		out := make([]RawConversation, len(rows))
		for i, c := range rows {
			out[i].Line = c.Line
			for _, m := range c.Messages {
				out[i].Messages = append(out[i].Messages, ordered.Of("role", m.Role, "content", m.Content))
			}
		}
		return out, nil
	}
	var out []RawConversation
	_, err = eachRecord(src, func(r *record) error {
		if limit > 0 && len(out) >= limit {
			return nil
		}
		if r.absent("messages") {
			return r.need("messages", "a list of messages")
		}
		v, err := strictjson.Value(r.fields["messages"], func(number string) (any, error) {
			return nil, fmt.Errorf("the number %s is too large", number)
		})
		if err != nil {
			return r.wrong(err)
		}
		messages, ok := v.([]any)
		if !ok {
			return r.bad("messages", "a list of messages", strictjson.Describe(r.fields["messages"]))
		}
		out = append(out, RawConversation{Messages: messages, Line: r.row})
		return nil
	})
	return out, err
}
