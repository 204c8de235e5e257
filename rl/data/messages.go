package data

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"steer/internal/nearest"
	"steer/internal/strictjson"
)

// roles are the names that a message's author has in the chat formats, in any case.
var roles = map[string]string{
	"system": RoleSystem, "developer": RoleSystem,
	"user": RoleUser, "human": RoleUser, "prompter": RoleUser,
	"assistant": RoleAssistant, "gpt": RoleAssistant, "chatgpt": RoleAssistant, "model": RoleAssistant,
	"bing": RoleAssistant, "bard": RoleAssistant,
}

// toolRoles speak for tools: no template of ours can say them.
var toolRoles = []string{"tool", "function", "function_call", "observation", "ipython", "tool_call", "tool_response"}

// refusedKeys would change what a row means, and no template can say them.
var refusedKeys = map[string]string{
	"tool_calls": "tool calls", "function_call": "tool calls", "tools": "tools", "functions": "tools",
	"tool_call_id": "tool calls",
	"images":       "pictures", "image": "pictures", "videos": "pictures", "video": "pictures",
	"audio": "sound", "audios": "sound",
	"reasoning_content": "thoughts beside the answer", "thinking": "thoughts beside the answer",
	"train_detail": "weights of parts of a message",
}

// refusedError marks the error of a key that drop_unsupported would drop.
type refusedError struct{ err error }

// Error is that of the error that it marks.
func (r *refusedError) Error() string { return r.err.Error() }

// Unwrap gives the error that it marks.
func (r *refusedError) Unwrap() error { return r.err }

// lossKeys say whether a message is learned from.
var lossKeys = []string{"weight", "loss_mask", "trainable", "train"}

// ParseMessages reads a list of messages, [{"role", "content"}] or ShareGPT's [{"from",
// "value"}], as all chat formats write it. Roles are system (first only), user and
// assistant, or one of their other names. A message with weight 0, loss_mask 0, or
// trainable or train false, is Masked. unread, which may be nil, is told the other keys;
// those of tools and pictures are refused. field is the name of the list, for errors, which
// are of type *strictjson.Error.
func ParseMessages(field string, raw []byte, unread func(key string)) ([]Message, error) {
	p := messageParser{refuse: checkKeys, unread: unread}
	return p.list(field, raw)
}

// messageParser reads messages.
type messageParser struct {
	columns Columns // of role, content, from and value
	// refuse is told the keys of a message; at stands before them.
	refuse func(at string, keys map[string]strictjson.Raw) error
	unread func(key string) // may be nil
	drop   bool             // what cannot be said leaves its row out
}

func (p *messageParser) list(field string, raw []byte) ([]Message, error) {
	var list []strictjson.Raw
	if err := strictjson.Unmarshal(raw, &list); err != nil {
		var own *strictjson.Error
		if !errors.As(err, &own) || own.Field != "" {
			return nil, err
		}
		inner := *own
		inner.Field, inner.Want = field, "a list of messages"
		return nil, &inner
	}
	for i, text := range list {
		if strictjson.Kind(text) != '{' {
			return nil, wrong(fmt.Sprintf("%s[%d]", field, i), "an object", strictjson.Describe(text), "")
		}
	}
	out := make([]Message, len(list))
	for i, text := range list {
		m, err := p.message(field, i, text)
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

func (p *messageParser) message(field string, i int, text strictjson.Raw) (Message, error) {
	at := fmt.Sprintf("%s[%d]", field, i)
	var all map[string]strictjson.Raw
	if err := strictjson.Unmarshal(text, &all); err != nil {
		return Message{}, err
	}
	name, key, err := p.spelling(at, all)
	if err != nil {
		return Message{}, err
	}
	rest := maps.Clone(all)
	delete(rest, name)
	delete(rest, key)
	if err := p.refuse(at+".", rest); err != nil {
		return Message{}, err
	}
	role, err := p.author(at+"."+name, all[name], i)
	if err != nil {
		return Message{}, err
	}
	content, err := p.content(at+"."+key, all[key], rest)
	if err != nil {
		return Message{}, err
	}
	out := Message{Role: role, Content: content}
	if err := out.setLoss(at, rest); err != nil {
		return Message{}, err
	}
	for _, key := range sortedKeys(rest) {
		if p.unread != nil && refusedKeys[key] == "" && !slices.Contains(lossKeys, key) && !isEmpty(rest[key]) {
			p.unread(field + "[]." + key)
		}
	}
	return out, nil
}

// spelling tells under which keys a message has its author and its text.
func (p *messageParser) spelling(at string, keys map[string]strictjson.Raw) (author, content string, err error) {
	role, text, from, value := p.columns.in("role"), p.columns.in("content"), p.columns.in("from"),
		p.columns.in("value")
	there := func(key string) bool { return !absent(keys[key]) || keys[key] != nil && key == text }
	openAI, shareGPT := there(role) || there(text), there(from) || there(value)
	switch {
	case openAI && shareGPT && role != from && text != value:
		return "", "", wrong(at, "role and content, or from and value", "some of both", "keep one pair")
	case shareGPT && !openAI:
		role, text = from, value
	}
	if keys[role] == nil || keys[text] == nil {
		if p.drop && slices.ContainsFunc([]string{"tool_calls", "function_call"}, func(k string) bool {
			return !isEmpty(keys[k])
		}) {
			return "", "", &leftOut{"a message that is nothing but a tool call"}
		}
		return "", "", wrong(at, role+" and "+text, "a message without one of them", "")
	}
	return role, text, nil
}

// author reads who speaks.
func (p *messageParser) author(field string, raw strictjson.Raw, i int) (string, error) {
	var name string
	if err := strictjson.Unmarshal(raw, &name); err != nil {
		return "", wrong(field, "text", strictjson.Describe(raw), "")
	}
	role, known := roles[strings.ToLower(name)]
	tool := slices.Contains(toolRoles, strings.ToLower(name))
	switch {
	case tool && p.drop:
		return "", &leftOut{"a message of the role " + quote(name)}
	case tool:
		return "", &refusedError{wrong(field, "system, user or assistant", quote(name), "tools have no place in any "+
			"template: leave the row out")}
	case !known:
		mend := ""
		if near, ok := nearest.Word(name, slices.Sorted(maps.Keys(roles))); ok {
			mend = fmt.Sprintf("did you mean %q", near)
		}
		return "", wrong(field, "system, user or assistant (or human, gpt, chatgpt, model)", quote(name), mend)
	case role == RoleSystem && i > 0:
		return "", wrong(field, "system only as the first message", quote(name), "")
	}
	return role, nil
}

// content is what a message says.
func (p *messageParser) content(field string, raw strictjson.Raw, rest map[string]strictjson.Raw) (string, error) {
	if p.drop {
		if isEmpty(raw) && (!isEmpty(rest["tool_calls"]) || !isEmpty(rest["function_call"])) {
			return "", &leftOut{"a message that is nothing but a tool call"}
		}
	}
	text, err := contentOf(field, raw)
	if refused := new(refusedError); p.drop && errors.As(err, &refused) {
		return "", &leftOut{"a part of a message that is no text"}
	}
	return text, err
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
				return "", &refusedError{wrong(fmt.Sprintf("%s[%d]", field, i), `a part of type "text"`,
					"type "+quote(p.Type), "only text is read: leave the row out")}
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
			return &refusedError{wrong(at+key, "nothing", short(keys[key]), what+" have no place in any template: "+
				"delete the key if the text stands without it")}
		}
	}
	return nil
}

func sortedKeys[M ~map[string]strictjson.Raw](m M) []string {
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
