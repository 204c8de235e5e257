package data

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"steer/internal/strictjson"
)

// readShapes reads conversations of a shape: chat, sharegpt, alpaca, completion or prompts.
func readShapes(src Source) (rows []Conversation, notes []string, err error) {
	read := map[Format]func(*record) (Conversation, error){
		FormatChat: (*record).chat, FormatShareGPT: (*record).shareGPT, FormatAlpaca: (*record).alpaca,
		FormatCompletion: (*record).completion, FormatPrompts: (*record).prompts,
	}[src.Format]
	notes, err = eachRecord(src, func(r *record) error {
		c, err := read(r)
		if err != nil {
			return err
		}
		c.Source, c.Line = r.path, r.row
		if c.Fields, err = r.others(); err != nil {
			return err
		}
		rows = append(rows, c)
		return nil
	})
	return rows, notes, err
}

// messages reads a field that is a list of messages, or one message.
func (r *record) messages(field string) ([]Message, error) {
	raw := r.fields[field]
	if isEmpty(raw) {
		return nil, r.need(field, "a list of messages")
	}
	return r.messageList(field, raw)
}

// messageList reads messages that stand in a field, or in a part of it.
func (r *record) messageList(field string, raw strictjson.Raw) ([]Message, error) {
	if list, ok, err := r.rowsOf(field, raw); ok || err != nil {
		if err != nil {
			return nil, err
		}
		raw = list
	} else if strictjson.Kind(raw) == '{' {
		raw = slices.Concat(strictjson.Raw("["), raw, strictjson.Raw("]"))
	}
	p := messageParser{columns: r.opts.columns, drop: r.opts.drop, unread: r.unreadKey}
	p.refuse = func(at string, keys map[string]strictjson.Raw) error {
		return r.opts.unsupported(r.row, at, field+"[].", keys)
	}
	m, err := p.list(field, raw)
	if err != nil {
		return nil, r.wrong(err)
	}
	return m, nil
}

// rowsOf turns a struct of lists, {"from": [...], "value": [...]}, as datasets stores a list of structs, into the
// list of structs; ok is false for anything else.
func (r *record) rowsOf(field string, raw strictjson.Raw) (list strictjson.Raw, ok bool, err error) {
	var columns map[string]strictjson.Raw
	if strictjson.Kind(raw) != '{' || strictjson.Unmarshal(raw, &columns) != nil {
		return nil, false, nil
	}
	names := sortedKeys(columns)
	rows := []map[string]strictjson.Raw{}
	for i, name := range names {
		var values []strictjson.Raw
		if strictjson.Kind(columns[name]) != '[' || strictjson.Unmarshal(columns[name], &values) != nil {
			return nil, false, nil
		}
		if i > 0 && len(values) != len(rows) {
			return nil, false, r.bad(field+"."+name, fmt.Sprintf("%d values, as %s has", len(rows), names[0]),
				fmt.Sprint(len(values)))
		}
		for k, v := range values {
			if i == 0 {
				rows = append(rows, map[string]strictjson.Raw{})
			}
			rows[k][name] = v
		}
	}
	if len(rows) == 0 {
		return nil, false, nil
	}
	list, err = json.Marshal(rows, json.Deterministic(true))
	return list, true, err
}

// withSystem puts the text of the column system before messages that bring none.
func (r *record) withSystem(m []Message, field string) ([]Message, error) {
	system, err := r.string("system")
	if err != nil || system == "" {
		return m, err
	}
	if len(m) > 0 && m[0].Role == RoleSystem {
		return nil, r.bad("system", "one system text", "one here and one in "+r.inFile(field)+"[0]")
	}
	return slices.Insert(slices.Clip(m), 0, Message{Role: RoleSystem, Content: system}), nil
}

// chat is {"messages": [{"role", "content"}, ...], "system"?}, as most chat tools write it; see
// [ParseMessages].
func (r *record) chat() (Conversation, error) {
	m, err := r.messages("messages")
	if err == nil {
		m, err = r.withSystem(m, "messages")
	}
	return Conversation{Messages: m}, err
}

// shareGPT is {"conversations": [{"from", "value"}, ...], "system"?}.
func (r *record) shareGPT() (Conversation, error) {
	m, err := r.messages("conversations")
	if err == nil {
		m, err = r.withSystem(m, "conversations")
	}
	return Conversation{Messages: m}, err
}

// alpaca is {"instruction", "input"?, "output", "system"?, "history"?}. The user's message is the
// instruction and, divided by an empty line, the input; history is a list of earlier exchanges,
// [[question, answer], ...].
func (r *record) alpaca() (Conversation, error) {
	for _, name := range []string{"instruction", "output"} {
		if r.absent(name) {
			return Conversation{}, r.need(name, "text")
		}
	}
	question, err := r.instruction()
	if err != nil {
		return Conversation{}, err
	}
	output, err := r.string("output")
	if err != nil {
		return Conversation{}, err
	}
	m, err := r.history()
	if err != nil {
		return Conversation{}, err
	}
	m = append(m, Message{Role: RoleUser, Content: question}, Message{Role: RoleAssistant, Content: output})
	m, err = r.withSystem(m, "history")
	return Conversation{Messages: m}, err
}

// instruction is what an Alpaca row asks.
func (r *record) instruction() (string, error) {
	question, err := r.string("instruction")
	if err != nil {
		return "", err
	}
	input, err := r.string("input")
	if err == nil && strings.TrimSpace(input) != "" {
		question = strings.TrimPrefix(question+"\n\n"+input, "\n\n")
	}
	return question, err
}

// history is the exchanges before an Alpaca row.
func (r *record) history() ([]Message, error) {
	if r.absent("history") {
		return nil, nil
	}
	var list [][]*string
	if err := strictjson.Unmarshal(r.fields["history"], &list); err != nil {
		return nil, r.bad("history", "a list of exchanges, [[question, answer], ...]",
			strictjson.Describe(r.fields["history"]))
	}
	var m []Message
	for i, exchange := range list {
		if len(exchange) != 2 {
			return nil, r.bad(fmt.Sprintf("history[%d]", i), "a question and an answer",
				fmt.Sprintf("%d texts", len(exchange)))
		}
		for k, role := range []string{RoleUser, RoleAssistant} {
			if exchange[k] == nil {
				return nil, r.bad(fmt.Sprintf("history[%d][%d]", i, k), "text", "null")
			}
			m = append(m, Message{Role: role, Content: *exchange[k]})
		}
	}
	return m, nil
}

// completion is {"prompt": ..., "completion": ..., "system"?}; "response" is another name of
// "completion". Each is text, or a list of messages.
func (r *record) completion() (Conversation, error) {
	prompt, plain, err := r.prompt("prompt")
	if err != nil {
		return Conversation{}, err
	}
	end, plainEnd, err := r.answer("completion", "response")
	if err != nil {
		return Conversation{}, err
	}
	return Conversation{Plain: plain && plainEnd, Messages: slices.Concat(prompt, end)}, nil
}

// prompt reads what is asked, from the first of some columns that is there: text, or a list of messages;
// the column system goes before it. plain: it is a text, with nothing before it.
func (r *record) prompt(names ...string) (m []Message, plain bool, err error) {
	name, err := r.oneOf(names...)
	if err != nil {
		return nil, false, err
	}
	if name != "instruction" && r.fields.given("input") && slices.Contains(r.opts.shape.more, "input") {
		r.unreadKey("input")
	}
	if name == "instruction" {
		text, err := r.instruction()
		if err != nil {
			return nil, false, err
		}
		m, plain = []Message{{Role: RoleUser, Content: text}}, true
	} else if m, plain, err = r.side(name, RoleUser); err != nil {
		return nil, false, err
	}
	before := len(m)
	m, err = r.withSystem(m, name)
	return m, plain && len(m) == before, err
}

// answer reads what is answered, from the one of some columns that is there.
func (r *record) answer(names ...string) (m []Message, plain bool, err error) {
	name, err := r.oneOf(names...)
	if err != nil {
		return nil, false, err
	}
	return r.said(name, r.fields[name])
}

// said reads an answer: text, or messages that go on after a prompt.
func (r *record) said(field string, raw strictjson.Raw) (m []Message, plain bool, err error) {
	if m, plain, err = r.sideOf(field, raw, RoleAssistant); err != nil {
		return nil, false, err
	}
	if m[0].Role == RoleSystem {
		return nil, false, r.bad(field+"[0].role", "system only as the first message", `"system"`)
	}
	return m, plain, nil
}

// prompts is {"prompt", "system"?}, or Alpaca's {"instruction", "input"?} without an answer.
func (r *record) prompts() (Conversation, error) {
	m, _, err := r.prompt(anyPrompt...)
	if err != nil {
		return Conversation{}, err
	}
	if last := m[len(m)-1]; last.Role == RoleAssistant {
		return Conversation{}, r.bad("prompt", "messages that end with the user's", "the last is the assistant's")
	}
	return Conversation{Messages: m, Asked: true}, nil
}

func absent(raw strictjson.Raw) bool { return raw == nil || string(raw) == "null" }

// side reads text, which becomes one message of a role, or a list of messages.
func (r *record) side(field, role string) (m []Message, plain bool, err error) {
	return r.sideOf(field, r.fields[field], role)
}

func (r *record) sideOf(field string, raw strictjson.Raw, role string) (m []Message, plain bool, err error) {
	if kind := strictjson.Kind(raw); kind == '[' || kind == '{' {
		if isEmpty(raw) {
			return nil, false, r.need(field, "a list of messages")
		}
		m, err = r.messageList(field, raw)
		return m, false, err
	}
	var text string
	if err := strictjson.Unmarshal(raw, &text); err != nil || absent(raw) {
		return nil, false, r.bad(field, "text, or a list of messages", strictjson.Describe(raw))
	}
	return []Message{{Role: role, Content: text}}, true, nil
}
