package data

import (
	"fmt"
	"strings"
)

// ReadChat reads {"messages": [{"role", "content"}, ...]} lines, as most chat
// tools write them. Roles are system (first only), user and assistant.
func ReadChat(path string) ([]Conversation, error) {
	type message struct {
		Role    *string `json:"role"`
		Content *string `json:"content"`
	}
	type row struct {
		Messages []message `json:"messages"`
	}
	var out []Conversation
	err := readJSONLines(FormatChat, path, defaultLimits(), func(s *source, line int, v *row) error {
		if len(v.Messages) == 0 {
			return s.need(line, "messages", "a list of messages")
		}
		c := Conversation{Source: s.path, Line: line}
		for i, m := range v.Messages {
			at := fmt.Sprintf("messages[%d]", i)
			if m.Role == nil || m.Content == nil {
				return s.bad(line, at, "role and content", "a message without one of them")
			}
			switch {
			case *m.Role == RoleSystem && i > 0:
				return s.bad(line, at+".role", "system only as the first message", quote(*m.Role))
			case *m.Role != RoleSystem && *m.Role != RoleUser && *m.Role != RoleAssistant:
				return s.bad(line, at+".role", "system, user or assistant", quote(*m.Role))
			}
			c.Messages = append(c.Messages, Message{*m.Role, *m.Content})
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// ReadCompletion reads {"prompt": ..., "completion": ...} lines; "response" is
// taken as another name of "completion".
func ReadCompletion(path string) ([]Conversation, error) {
	type row struct {
		Prompt     *string `json:"prompt"`
		Completion *string `json:"completion"`
		Response   *string `json:"response"`
	}
	var out []Conversation
	err := readJSONLines(FormatCompletion, path, defaultLimits(), func(s *source, line int, v *row) error {
		if v.Prompt == nil {
			return s.need(line, "prompt", "text")
		}
		if v.Completion != nil && v.Response != nil {
			return s.bad(line, "completion", "completion or response, not both", "both")
		}
		answer := v.Completion
		if answer == nil {
			answer = v.Response
		}
		if answer == nil {
			return s.need(line, "completion", "text")
		}
		out = append(out, Conversation{Plain: true, Source: s.path, Line: line,
			Messages: []Message{{RoleUser, *v.Prompt}, {RoleAssistant, *answer}}})
		return nil
	})
	return out, err
}

// ReadPairs reads {"prompt"?, "chosen", "rejected", "margin"?} lines. The text of
// a side is prompt followed by chosen or rejected, with nothing in between.
func ReadPairs(path string) ([]Pair, error) {
	type row struct {
		Prompt   string  `json:"prompt"`
		Chosen   *string `json:"chosen"`
		Rejected *string `json:"rejected"`
		Margin   float64 `json:"margin"`
	}
	var out []Pair
	err := readJSONLines(FormatPairs, path, defaultLimits(), func(s *source, line int, v *row) error {
		for _, side := range []struct {
			name string
			text *string
		}{{"chosen", v.Chosen}, {"rejected", v.Rejected}} {
			if side.text == nil {
				return s.need(line, side.name, "text")
			}
			if strings.TrimSpace(v.Prompt+*side.text) == "" {
				return s.bad(line, side.name, "text", quote(*side.text))
			}
		}
		if *v.Chosen == *v.Rejected {
			return s.bad(line, "rejected", "a text that differs from chosen", quote(*v.Rejected))
		}
		out = append(out, Pair{Prompt: v.Prompt, Chosen: *v.Chosen, Rejected: *v.Rejected, Margin: v.Margin, Source: s.path, Line: line})
		return nil
	})
	return out, err
}
