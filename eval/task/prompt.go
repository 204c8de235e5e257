package task

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"steer/internal/pystr"
	"steer/rl/data"
)

// Asking says how the prompts of a task are put to a model.
type Asking struct {
	// Delimiter stands before a choice where the task names none.
	Delimiter string
	// Chat gives the prompts as conversations, for the chat template of a model; Multiturn gives
	// few-shot examples as turns of their own, where they otherwise stand in the one question.
	Chat, Multiturn bool
	// System is a system instruction, in front of the description.
	System string
}

// message is a turn of a prompt. Where the prompt is running text, after stands behind it.
type message struct {
	role, text, after string
}

// question is what a row asks, and the answer if it is an example.
type question struct {
	text, answer string
	prefix       string // that the answer is to begin with
}

// maybeDelimit joins two texts, with a delimiter where neither has white space at the border.
func maybeDelimit(before, after, delimiter string) string {
	if before == "" || after == "" || spaced(before, after) {
		return before + after
	}
	return before + delimiter + after
}

// spaced says that white space stands where two texts meet.
func spaced(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	return pystr.IsSpace(last) || pystr.IsSpace(first)
}

// asked is a question as turns: the harness's build_qa_turn. target stands before an answer,
// example behind it.
func (q question) asked(target, example string) []message {
	user := message{role: data.RoleUser, text: q.text}
	if q.answer != "" && q.prefix == "" || q.prefix != "" && q.text != "" && !spaced(q.text, q.prefix) {
		user.after = target
	}
	switch {
	case q.answer != "":
		return []message{user, {data.RoleAssistant, maybeDelimit(q.prefix, q.answer, " "), example}}
	case q.prefix != "":
		return []message{user, {role: data.RoleAssistant, text: q.prefix}}
	}
	return []message{user}
}

// plainText is a prompt as running text.
func plainText(messages []message) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(m.text + m.after)
	}
	return b.String()
}

// chat is a prompt as a conversation. Without multiturn all that is not the system's is one
// question, its examples as running text, apart from the beginning of an answer at its end.
func chat(messages []message, multiturn bool) []data.Message {
	var out []data.Message
	if !multiturn {
		var kept []message
		if len(messages) > 0 && messages[0].role == data.RoleSystem {
			kept, messages = append(kept, messages[0]), messages[1:]
		}
		end := len(messages)
		if messages[end-1].role == data.RoleAssistant {
			end--
		}
		text := plainText(messages[:end-1]) + messages[end-1].text
		messages = append(append(kept, message{role: data.RoleUser, text: text}), messages[end:]...)
	}
	for _, m := range messages {
		out = append(out, data.Message{Role: m.role, Content: m.text})
	}
	return out
}

// answerDelimiter stands before a choice. In a conversation there is none, unless the answer
// begins with a text of the task that does not end in white space.
func (t *Task) answerDelimiter(a Asking) string {
	if a.Chat {
		last, _ := utf8.DecodeLastRuneInString(t.prefix.text)
		if t.prefix.text == "" || pystr.IsSpace(last) {
			return ""
		}
	}
	return t.Delimiter(a.Delimiter)
}

// form holds what turns a row into a question: that of the task, or of its few-shot examples.
type form struct {
	text, choice, target, prefix field
	hasChoice                    bool
}

// example is a row as a few-shot example: the harness's fewshot_context.
func (t *Task) example(r *row, a Asking) ([]message, error) {
	f := &t.shown
	var q question
	text, err := t.textOf(f, r)
	if err != nil {
		return nil, err
	}
	target, err := t.targetOf(f, r)
	if err != nil {
		return nil, err
	}
	var choices []string
	if f.hasChoice {
		if choices, err = t.choicesOf(f, r); err != nil {
			return nil, err
		}
	}
	pick := func(from *field, i int) (string, error) {
		if i < 0 || i >= len(choices) {
			return "", r.fail(from, "label %d is outside the set: want an index from 0 to %d, one of %q", i,
				len(choices)-1, choices)
		}
		return choices[i], nil
	}
	q.text = fmt.Sprint(text)
	index, inputs := text.(int)
	if inputs = inputs && f.hasChoice; inputs {
		if q.text, err = pick(&f.text, index); err != nil {
			return nil, err
		}
	}
	q.answer = fmt.Sprint(target)
	switch x := target.(type) {
	case int:
		if choices != nil && !inputs {
			q.answer, err = pick(&f.target, x)
		}
	case []any:
		if len(x) == 0 {
			return nil, r.fail(&f.target, "want at least one right answer, got an empty list")
		}
		q.answer = fmt.Sprint(x[0])
	}
	if err != nil {
		return nil, err
	}
	if q.prefix, err = f.prefix.textOn(r); err != nil {
		return nil, err
	}
	return q.asked(t.shownDelimiter(a), t.shotsDelimiter), nil
}

// shownDelimiter stands between an example and its answer.
func (t *Task) shownDelimiter(a Asking) string {
	if t.shotsTarget != nil {
		return *t.shotsTarget
	}
	return t.Delimiter(a.Delimiter)
}

// textOn is a field on a row as text, "" without the field.
func (f *field) textOn(r *row) (string, error) {
	if f.key == "" {
		return "", nil
	}
	v, err := f.on(r)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(v), nil
}

// system is the turn before all others; nil without one.
func (t *Task) system(r *row, a Asking) ([]message, error) {
	description, err := t.description.textOn(r)
	if err != nil {
		return nil, err
	}
	text := maybeDelimit(a.System, description, t.fewshotDelimiter)
	if text == "" {
		return nil, nil
	}
	return []message{{role: data.RoleSystem, text: text}}, nil
}
