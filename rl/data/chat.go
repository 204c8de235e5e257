package data

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/strictjson"
)

// chatRows calls row for every row of a chat format, once the keys that no template can
// say are refused and those that are not read are counted.
func chatRows[T any](
	format Format, path string, n *notes, rest func(*T) map[string]strictjson.Raw,
	row func(s *source, line int, v *T) error,
) error {
	return eachJSON(format, path, defaultLimits(), func(s *source, line int, text []byte) error {
		v := new(T)
		err := strictjson.Unmarshal(text, v)
		if err == nil {
			err = checkRow(rest(v))
		}
		if err != nil {
			return s.jsonError(line, text, err)
		}
		unreadKeys(rest(v), func(key string) { n.unread(line, key) })
		return row(s, line, v)
	})
}

// messages reads a field that is a list of messages.
func (s *source) messages(line int, field string, raw strictjson.Raw, n *notes) ([]Message, error) {
	if isEmpty(raw) {
		return nil, s.need(line, field, "a list of messages")
	}
	m, err := ParseMessages(field, raw, func(key string) { n.unread(line, key) })
	if err != nil {
		return nil, s.jsonError(line, nil, err)
	}
	return m, nil
}

// ReadChat reads rows of {"messages": [{"role", "content"}, ...]}, as most chat tools
// write them; see ParseMessages. odd counts what was met and kept.
func ReadChat(path string) (rows []Conversation, odd []string, err error) {
	type row struct {
		Messages strictjson.Raw            `json:"messages"`
		Rest     map[string]strictjson.Raw `json:",unknown"`
	}
	var n notes
	err = chatRows(FormatChat, path, &n, func(v *row) map[string]strictjson.Raw { return v.Rest },
		func(s *source, line int, v *row) error {
			m, err := s.messages(line, "messages", v.Messages, &n)
			if err != nil {
				return err
			}
			rows = append(rows, Conversation{Messages: m, Source: s.path, Line: line})
			return nil
		})
	return rows, n.list(), err
}

// ReadShareGPT reads rows of {"conversations": [{"from", "value"}, ...], "system"?}. Names
// of the authors: human and user; gpt, chatgpt, assistant, model, bing, bard; system.
func ReadShareGPT(path string) (rows []Conversation, odd []string, err error) {
	type row struct {
		Conversations strictjson.Raw            `json:"conversations"`
		System        *string                   `json:"system"`
		Rest          map[string]strictjson.Raw `json:",unknown"`
	}
	var n notes
	err = chatRows(FormatShareGPT, path, &n, func(v *row) map[string]strictjson.Raw { return v.Rest },
		func(s *source, line int, v *row) error {
			m, err := s.messages(line, "conversations", v.Conversations, &n)
			if err != nil {
				return err
			}
			if v.System != nil && *v.System != "" {
				if len(m) > 0 && m[0].Role == RoleSystem {
					return s.bad(line, "system", "one system text", "one here and one in conversations[0]")
				}
				m = slices.Insert(m, 0, Message{Role: RoleSystem, Content: *v.System})
			}
			rows = append(rows, Conversation{Messages: m, Source: s.path, Line: line})
			return nil
		})
	return rows, n.list(), err
}

// ReadAlpaca reads rows of {"instruction", "input"?, "output", "system"?, "history"?}. The
// user's message is the instruction and, divided by an empty line, the input; history is a
// list of earlier exchanges, [[question, answer], ...].
func ReadAlpaca(path string) (rows []Conversation, odd []string, err error) {
	type row struct {
		Instruction *string                   `json:"instruction"`
		Input       string                    `json:"input"`
		Output      *string                   `json:"output"`
		System      string                    `json:"system"`
		History     [][]string                `json:"history"`
		Rest        map[string]strictjson.Raw `json:",unknown"`
	}
	var n notes
	err = chatRows(FormatAlpaca, path, &n, func(v *row) map[string]strictjson.Raw { return v.Rest },
		func(s *source, line int, v *row) error {
			switch {
			case v.Instruction == nil:
				return s.need(line, "instruction", "text")
			case v.Output == nil:
				return s.need(line, "output", "text")
			}
			var m []Message
			if v.System != "" {
				m = append(m, Message{Role: RoleSystem, Content: v.System})
			}
			for i, exchange := range v.History {
				if len(exchange) != 2 {
					return s.bad(line, fmt.Sprintf("history[%d]", i), "a question and an answer",
						fmt.Sprintf("%d texts", len(exchange)))
				}
				m = append(m, Message{Role: RoleUser, Content: exchange[0]},
					Message{Role: RoleAssistant, Content: exchange[1]})
			}
			question := *v.Instruction
			if strings.TrimSpace(v.Input) != "" {
				question = strings.TrimPrefix(question+"\n\n"+v.Input, "\n\n")
			}
			m = append(m, Message{Role: RoleUser, Content: question}, Message{Role: RoleAssistant, Content: *v.Output})
			rows = append(rows, Conversation{Messages: m, Source: s.path, Line: line})
			return nil
		})
	return rows, n.list(), err
}

// ReadCompletion reads rows of {"prompt": ..., "completion": ...}; "response" is taken as
// another name of "completion". Each is text, or a list of messages.
func ReadCompletion(path string) (rows []Conversation, odd []string, err error) {
	type row struct {
		Prompt     strictjson.Raw            `json:"prompt"`
		Completion strictjson.Raw            `json:"completion"`
		Response   strictjson.Raw            `json:"response"`
		Rest       map[string]strictjson.Raw `json:",unknown"`
	}
	var n notes
	err = chatRows(FormatCompletion, path, &n, func(v *row) map[string]strictjson.Raw { return v.Rest },
		func(s *source, line int, v *row) error {
			if absent(v.Prompt) {
				return s.need(line, "prompt", "text")
			}
			if !absent(v.Completion) && !absent(v.Response) {
				return s.bad(line, "completion", "completion or response, not both", "both")
			}
			field, answer := "completion", v.Completion
			if absent(answer) {
				field, answer = "response", v.Response
			}
			if absent(answer) {
				return s.need(line, "completion", "text")
			}
			prompt, plain, err := s.side(line, "prompt", v.Prompt, RoleUser, &n)
			if err != nil {
				return err
			}
			end, plainEnd, err := s.side(line, field, answer, RoleAssistant, &n)
			if err != nil {
				return err
			}
			if len(end) > 0 && end[0].Role == RoleSystem {
				return s.bad(line, field+"[0].role", "system only as the first message", `"system"`)
			}
			rows = append(rows, Conversation{Plain: plain && plainEnd, Source: s.path, Line: line,
				Messages: slices.Concat(prompt, end)})
			return nil
		})
	return rows, n.list(), err
}

func absent(raw strictjson.Raw) bool { return raw == nil || string(raw) == "null" }

// side reads text, which becomes one message of a role, or a list of messages.
func (s *source) side(
	line int, field string, raw strictjson.Raw, role string, n *notes,
) (m []Message, plain bool, err error) {
	if strictjson.Kind(raw) == '[' {
		m, err = s.messages(line, field, raw, n)
		return m, false, err
	}
	var text string
	if err := strictjson.Unmarshal(raw, &text); err != nil {
		return nil, false, s.bad(line, field, "text, or a list of messages", strictjson.Describe(raw))
	}
	return []Message{{Role: role, Content: text}}, true, nil
}
