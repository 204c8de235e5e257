package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/internal/strictjson"
)

// roles are the names that a message's author has in the chat formats.
var roles = map[string]string{
	"system": RoleSystem,
	"user":   RoleUser, "human": RoleUser,
	"assistant": RoleAssistant, "gpt": RoleAssistant, "chatgpt": RoleAssistant, "model": RoleAssistant,
	"bing": RoleAssistant, "bard": RoleAssistant,
}

// refusedKeys would change what a row means, and no template can say them.
var refusedKeys = map[string]string{
	"tool_calls": "tool calls", "function_call": "tool calls", "tools": "tools", "functions": "tools",
	"tool_call_id": "tool calls",
	"images":       "pictures", "image": "pictures", "videos": "pictures", "audio": "sound", "audios": "sound",
}

// lossKeys say whether a message is learned from.
var lossKeys = []string{"weight", "loss_mask", "trainable", "train"}

// message is one message as the chat formats write it: role and content, or ShareGPT's
// from and value.
type message struct {
	Role    *string                   `json:"role"`
	Content strictjson.Raw            `json:"content"`
	From    *string                   `json:"from"`
	Value   strictjson.Raw            `json:"value"`
	Rest    map[string]strictjson.Raw `json:",unknown"`
}

// ParseMessages reads a list of messages, [{"role", "content"}] or ShareGPT's [{"from",
// "value"}], as all chat formats write it. Roles are system (first only), user and
// assistant, or one of their other names. A message with weight 0, loss_mask 0, or
// trainable or train false, is Masked. unread, which may be nil, is told the other keys;
// those of tools and pictures are refused. field is the name of the list, for errors, which
// are of type *strictjson.Error.
func ParseMessages(field string, raw []byte, unread func(key string)) ([]Message, error) {
	var list []message
	if err := strictjson.Unmarshal(raw, &list); err != nil {
		var own *strictjson.Error
		if errors.As(err, &own) {
			inner := *own
			inner.Field = strings.TrimSuffix(field+"."+own.Field, ".")
			if strings.HasPrefix(own.Field, "[") {
				inner.Field = field + own.Field
			}
			if own.Field == "" {
				inner.Want = "a list of messages"
			}
			return nil, &inner
		}
		return nil, err
	}
	out := make([]Message, len(list))
	for i := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		m, err := list[i].read(at, i, func(key string) {
			if unread != nil {
				unread(field + "[]." + key)
			}
		})
		if err != nil {
			return nil, err
		}
		out[i] = m
	}
	return out, nil
}

// wrong is an error of a value that is well formed.
func wrong(field, want, got, mend string) error {
	return &strictjson.Error{Field: field, Want: want, Got: got, Mend: mend, Err: strictjson.ErrType}
}

func (m *message) read(at string, i int, unread func(string)) (Message, error) {
	author, text, name := m.Role, m.Content, at+".content"
	if m.Role == nil && m.Content == nil {
		author, text, name = m.From, m.Value, at+".value"
	}
	switch {
	case (m.Role != nil || m.Content != nil) && (m.From != nil || m.Value != nil):
		return Message{}, wrong(at, "role and content, or from and value", "some of both", "keep one pair")
	case author == nil || text == nil:
		return Message{}, wrong(at, "role and content", "a message without one of them", "")
	}
	role, known := roles[*author]
	if !known {
		return Message{}, wrong(at+".role", "system, user or assistant (or human, gpt, chatgpt, model)", quote(*author),
			"")
	}
	if role == RoleSystem && i > 0 {
		return Message{}, wrong(at+".role", "system only as the first message", quote(*author), "")
	}
	if err := checkKeys(at+".", m.Rest); err != nil {
		return Message{}, err
	}
	content, err := contentOf(name, text)
	if err != nil {
		return Message{}, err
	}
	out := Message{Role: role, Content: content}
	if err := out.setLoss(at, m.Rest); err != nil {
		return Message{}, err
	}
	for _, key := range sortedKeys(m.Rest) {
		if refusedKeys[key] == "" && !slices.Contains(lossKeys, key) && !isEmpty(m.Rest[key]) {
			unread(key)
		}
	}
	return out, nil
}

// contentOf reads text, or a list of parts that are all text.
func contentOf(field string, raw strictjson.Raw) (string, error) {
	if strictjson.Kind(raw) == '[' {
		var parts []struct {
			Type string  `json:"type"`
			Text *string `json:"text"`
		}
		if err := strictjson.Unmarshal(raw, &parts); err != nil {
			return "", wrong(field, "text, or a list of parts of type text", "a list of something else", "")
		}
		var b strings.Builder
		for i, p := range parts {
			if p.Type != "text" || p.Text == nil {
				return "", wrong(fmt.Sprintf("%s[%d]", field, i), `a part of type "text"`, "type "+quote(p.Type),
					"only text is read: leave the row out")
			}
			b.WriteString(*p.Text)
		}
		return b.String(), nil
	}
	var s *string
	if err := strictjson.Unmarshal(raw, &s); err != nil || s == nil {
		return "", wrong(field, "text", strictjson.Describe(raw), "")
	}
	return *s, nil
}

// setLoss honours weight, loss_mask, trainable and train.
func (m *Message) setLoss(at string, keys map[string]strictjson.Raw) error {
	given := ""
	for _, key := range lossKeys {
		raw := keys[key]
		if raw == nil || string(raw) == "null" {
			continue
		}
		counts, ok := zeroOrOne(raw)
		switch {
		case !ok:
			return wrong(at+"."+key, "0 or 1, false or true", short(raw), "a message counts in the loss or does not")
		case counts && m.Role != RoleAssistant && key != "weight":
			return wrong(at+"."+key, "0 or false: only what the assistant says is learned", short(raw),
				"delete the key, or set loss_on: all and delete it")
		case given != "" && counts == m.Masked:
			return wrong(at+"."+key, "the same as "+given, short(raw), "keep one of them")
		}
		m.Masked, given = !counts, key
	}
	return nil
}

// zeroOrOne reads 0, 1, 0.0, 1.0, false or true.
func zeroOrOne(raw []byte) (one, ok bool) {
	switch string(raw) {
	case "1", "1.0", "true":
		return true, true
	case "0", "0.0", "false":
		return false, true
	}
	return false, false
}

// checkKeys refuses keys that would be lost in silence; at is what stands before them.
func checkKeys(at string, keys map[string]strictjson.Raw) error {
	for _, key := range sortedKeys(keys) {
		if what := refusedKeys[key]; what != "" && !isEmpty(keys[key]) {
			return wrong(at+key, "nothing", short(keys[key]), what+" have no place in any template: delete the key "+
				"if the text stands without it")
		}
	}
	return nil
}

// checkRow is checkKeys for the keys of a row; the keys of the loss belong to messages.
func checkRow(keys map[string]strictjson.Raw) error {
	for _, key := range lossKeys {
		raw := keys[key]
		if raw == nil || string(raw) == "null" {
			continue
		}
		if one, ok := zeroOrOne(raw); !ok || !one {
			return wrong(key, "1", short(raw),
				`a row has no weight: give it to a message, {"role": ..., "content": ..., "`+key+`": 0}`)
		}
	}
	return checkKeys("", keys)
}

// unreadKeys tells the keys of a row that mean nothing to its reader.
func unreadKeys(keys map[string]strictjson.Raw, unread func(string)) {
	for _, key := range sortedKeys(keys) {
		if refusedKeys[key] == "" && !slices.Contains(lossKeys, key) && !isEmpty(keys[key]) {
			unread(key)
		}
	}
}

func sortedKeys(m map[string]strictjson.Raw) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// isEmpty holds for values that say nothing.
func isEmpty(raw []byte) bool {
	switch strings.Join(strings.Fields(string(raw)), "") {
	case "", "null", "[]", "{}", `""`:
		return true
	}
	return false
}

func short(raw []byte) string {
	const keep = 40
	if s := strings.ToValidUTF8(string(raw), "�"); len(s) > keep {
		return strings.ToValidUTF8(s[:keep], "") + "..."
	}
	return string(raw)
}
