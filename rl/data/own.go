package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"steer/ggml/lm"
	"steer/internal/jinja"
	"steer/internal/ordered"
)

// Refusal is the error of a model's own chat template that does not take a conversation: because
// it says so (raise_exception), or because it cannot be rendered.
type Refusal struct {
	// Raised: the template says so, in the words of Err.
	Raised bool
	Err    error
}

// Error says what the template says.
func (r *Refusal) Error() string {
	if r.Raised {
		return "the model's chat template refuses the conversation: " + r.Err.Error()
	}
	return "the model's chat template: " + r.Err.Error()
}

// Unwrap gives the template's error.
func (r *Refusal) Unwrap() error { return r.Err }

// Refused tells a template that says it does not take a conversation: such rows are left out and
// counted.
func Refused(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Raised
}

// ErrNoTemplate: the model's file holds no chat template.
var ErrNoTemplate = errors.New("the model's file holds no chat template (tokenizer.chat_template)")

// own renders by the chat template of a model.
type own struct {
	template *jinja.Template
	chat     lm.Chat
	date     time.Time
	sum      string            // SHA-256 of the template's text
	marks    map[byte][]string // chat.Marks by their first byte, longest first
	end      string            // the mark that the template writes behind an answer; "" for none
	clock    bool              // the template asks for the time
	vars     map[string]any    // of every rendering
}

// NewOwnTemplate gives the template that a model brings. date is what its date functions show; at
// the zero time they are not defined, and many templates then write a date of their own. system is
// said first in conversations that bring no system message; nil or "" leaves that to the template.
func NewOwnTemplate(chat lm.Chat, system *string, date time.Time) (*Template, error) {
	if chat.Template == "" {
		return nil, fmt.Errorf("data: template %s: %w: choose another with template", TemplateModel, ErrNoTemplate)
	}
	o, err := newOwn(chat, date, nil)
	if err != nil {
		return nil, fmt.Errorf("data: template %s: the model's chat template: %w: choose another with template",
			TemplateModel, err)
	}
	t := &Template{name: TemplateModel, own: o}
	if system != nil {
		t.system = *system
	}
	return t, nil
}

func newOwn(chat lm.Chat, date time.Time, vars map[string]any) (*own, error) {
	compiled, err := jinja.CompileChat(chat.Template)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(chat.Template))
	o := &own{template: compiled, chat: chat, date: date, sum: hex.EncodeToString(sum[:]), marks: map[byte][]string{},
		clock: strings.Contains(chat.Template, "strftime_now"), vars: map[string]any{"tools": nil, "documents": nil}}
	for name, spelled := range chat.Names {
		o.vars[name] = spelled
	}
	maps.Copy(o.vars, vars)
	known := slices.Concat(chat.Marks, chat.Ends, slices.Collect(maps.Values(chat.Names)))
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	for _, m := range known {
		if m != "" && !slices.Contains(o.marks[m[0]], m) {
			o.marks[m[0]] = append(o.marks[m[0]], m)
		}
	}
	sample := []Message{{Role: RoleUser, Content: "u"}, {Role: RoleAssistant, Content: "a"}}
	if r, err := o.render(sample, false); err == nil { // a template may take other conversations only
		_, b, _ := r.said(1)
		o.end = o.firstMark(r.text[b:])
	}
	return o, nil
}

// rendering is a rendered conversation with what in it is from where.
type rendering struct {
	text string
	runs []run
}

// run is a part of a rendering, in bytes, from one message or, -1, from the template.
type run struct {
	begin, end, message int
	answer              bool // in {% generation %}
}

// said gives where the text of a message begins and ends.
func (r rendering) said(message int) (begin, end int, found bool) {
	for _, run := range r.runs {
		if run.message != message {
			continue
		}
		if !found {
			begin = run.begin
		}
		end, found = run.end, true
	}
	return begin, end, found
}

// render renders messages; prompt asks for what opens the assistant's answer.
func (o *own) render(messages []Message, prompt bool) (rendering, error) {
	list := make([]any, len(messages))
	for i, m := range messages {
		list[i] = ordered.Of("role", m.Role, "content", jinja.Text{S: m.Content, Source: i + 1})
	}
	return o.renderValues(list, prompt)
}

func (o *own) renderValues(messages []any, prompt bool) (rendering, error) {
	vars := maps.Clone(o.vars)
	vars["messages"], vars["add_generation_prompt"] = messages, prompt
	pieces, err := o.template.Pieces(vars, o.date)
	if err != nil {
		return rendering{}, o.refusal(err)
	}
	var r rendering
	var b strings.Builder
	for _, p := range pieces {
		begin := b.Len()
		b.WriteString(p.Text)
		r.runs = append(r.runs, run{begin, b.Len(), p.Source - 1, p.Answer})
	}
	r.text = b.String()
	return r, nil
}

func (o *own) refusal(err error) error {
	var in *jinja.Error
	if errors.As(err, &in) && in.Raised {
		return &Refusal{Raised: true, Err: errors.New(in.Msg)}
	}
	if o.clock && o.date.IsZero() && strings.Contains(err.Error(), "strftime_now") {
		err = fmt.Errorf("%w: it writes the date: set date, as in date: 2026-01-31", err)
	}
	return &Refusal{Err: err}
}

// firstMark gives the first special token that a text spells, "" for none.
func (o *own) firstMark(text string) string {
	for i := range len(text) {
		if m := o.markAt(text[i:]); m != "" {
			return m
		}
	}
	return ""
}

// markAt gives the special token that a text begins with, the longest, "" for none.
func (o *own) markAt(text string) string {
	if text == "" {
		return ""
	}
	for _, m := range o.marks[text[0]] {
		if strings.HasPrefix(text, m) {
			return m
		}
	}
	return ""
}

// answer is the part of a rendering that is learned from one message: what the model has to write
// after the prompt, up to the end of its turn.
type answer struct {
	begin, end int // bytes
	message    int
}

// analysed is a rendered conversation with its answers. Where steady is false the template renders
// an earlier turn differently once more turns follow.
type analysed struct {
	rendering
	answers []answer
	steady  bool
}

// analyse renders a conversation and finds its answers: the {% generation %} blocks of a template
// that has them; else, for each message of the assistant, what follows the prompt that the template
// renders for the messages before it (where the rendering begins with that prompt, else the
// message's own text) up to and with the first special token behind the message's text. It is steady
// if what the conversation looked like when each answer ended is how the whole begins.
func (o *own) analyse(messages []Message) (analysed, error) {
	whole, err := o.render(messages, false)
	if err != nil {
		return analysed{}, err
	}
	a := analysed{rendering: whole, steady: true}
	last := len(messages) - 1
	for i, m := range messages {
		if m.Role != RoleAssistant {
			continue
		}
		upTo, failed := whole, error(nil)
		if i < last {
			upTo, failed = o.render(messages[:i+1], false)
		}
		if failed == nil && i < last {
			_, end := o.answerIn(upTo, messages, i, len(upTo.text))
			a.steady = a.steady && strings.HasPrefix(whole.text, upTo.text[:end])
		}
		limit := len(whole.text)
		if failed == nil && strings.HasPrefix(whole.text, upTo.text) {
			limit = len(upTo.text)
		} else if _, b, found := whole.said(i); found {
			limit = whole.nextData(b)
		}
		begin, end := o.answerIn(whole, messages, i, limit)
		if end > begin {
			a.answers = append(a.answers, answer{begin, end, i})
		}
	}
	if o.template.MarksAnswers() {
		a.answers = whole.generated(messages)
	}
	return a, nil
}

// answerIn finds the answer of a message in a rendering in which its turn ends at or before limit.
func (o *own) answerIn(r rendering, messages []Message, i, limit int) (begin, end int) {
	begin, end, found := r.said(i)
	asked, err := o.render(messages[:i], true)
	if err == nil && strings.HasPrefix(r.text, asked.text) && (!found || len(asked.text) <= begin) {
		begin = len(asked.text)
		if !found {
			end, found = begin, true
		}
	}
	if !found || limit < end {
		return begin, end
	}
	tail := r.text[end:limit]
	if m := o.firstMark(tail); m != "" {
		end += strings.Index(tail, m) + len(m)
	}
	return begin, end
}

// nextData is where text of a message begins behind a place, or the end.
func (r rendering) nextData(at int) int {
	for _, run := range r.runs {
		if run.message >= 0 && run.begin >= at {
			return run.begin
		}
	}
	return len(r.text)
}

// generated gives the {% generation %} blocks. A block is that of the message whose text it holds,
// or else, in order, of an answer without text.
func (r rendering) generated(messages []Message) []answer {
	var out []answer
	for k, run := range r.runs {
		if !run.answer {
			continue
		}
		if n := len(out); n > 0 && k > 0 && r.runs[k-1].answer {
			out[n-1].end = run.end
			out[n-1].message = max(out[n-1].message, run.message)
			continue
		}
		out = append(out, answer{run.begin, run.end, run.message})
	}
	next := 0
	for k := range out {
		if out[k].message < 0 {
			for next < len(messages)-1 && messages[next].Role != RoleAssistant {
				next++
			}
			out[k].message = min(next, len(messages)-1)
		}
		next = out[k].message + 1
	}
	return out
}

// segments cuts a rendering: special tokens of the template by themselves, and the text between
// them, the template's and the data's, in one, but for the borders of answers and masked messages.
// Nothing that is from data is special.
func (o *own) segments(r rendering, answers []answer, masked []answer) []Segment {
	within := func(list []answer, at int) bool {
		return slices.ContainsFunc(list, func(a answer) bool { return a.begin <= at && at < a.end })
	}
	borders := map[int]bool{}
	for _, a := range slices.Concat(answers, masked) {
		borders[a.begin], borders[a.end] = true, true
	}
	var out []Segment
	begin := 0
	plain := func(end int) {
		if end > begin {
			s := Segment{Text: r.text[begin:end], Answer: within(answers, begin), Masked: within(masked, begin)}
			s.Alone = len(out) == 0 || out[len(out)-1].Special
			out = append(out, s)
		}
		begin = end
	}
	for _, run := range r.runs {
		for at := run.begin; at < run.end; {
			if borders[at] {
				plain(at)
			}
			mark := ""
			if run.message < 0 {
				mark = o.markAt(r.text[at:run.end])
			}
			if mark == "" {
				at++
				continue
			}
			plain(at)
			s := Segment{Text: mark, Special: true, Alone: true, Answer: within(answers, at), Masked: within(masked,
				at)}
			out = append(out, s)
			at += len(mark)
			begin = at
		}
	}
	plain(len(r.text))
	return out
}

// with adds the template's system message to a conversation that brings none.
func (t *Template) with(messages []Message) []Message {
	if t.system == "" || len(messages) > 0 && messages[0].Role == RoleSystem {
		return messages
	}
	return slices.Insert(slices.Clone(messages), 0, Message{Role: RoleSystem, Content: t.system})
}

// renderOwn renders a conversation with its answers; only, if not negative, is the one message that is
// learned from.
func (t *Template) renderOwn(messages []Message, only int) (segments []Segment, steady bool, err error) {
	a, err := t.own.analyse(messages)
	if err != nil {
		return nil, false, err
	}
	if only >= 0 {
		a.answers = slices.DeleteFunc(a.answers, func(x answer) bool { return x.message != only })
	}
	var masked []answer
	for i, m := range messages {
		if m.Masked {
			masked = append(masked, t.own.turn(a, messages, i))
		}
	}
	return t.own.segments(a.rendering, a.answers, masked), a.steady, nil
}

// Oddities are what a user has to know of a model's own template, a sentence each; nil of the others.
func (t *Template) Oddities() []string {
	if t.own == nil {
		return nil
	}
	return append(t.own.silence(), t.opening()...)
}

// silence tells of a template that takes a system message and does not show it, or, as some of
// Mistral's, shows it before an answer that is asked for and not in a conversation that has it.
func (o *own) silence() []string {
	sample := []Message{{Role: RoleSystem, Content: "s"}, {Role: RoleUser, Content: "u"},
		{Role: RoleAssistant, Content: "a"}}
	shows := func(messages []Message, prompt bool) bool {
		r, err := o.render(messages, prompt)
		_, _, found := r.said(0)
		return found || err != nil // what it does not take it refuses by itself
	}
	switch {
	case shows(sample, false):
		return nil
	case shows(sample[:2], true):
		return []string{"the model's chat template shows a system message when an answer is asked for, and leaves it " +
			"out of a conversation that has its answer: from conversations with a system message it is learned " +
			"without it"}
	}
	return []string{"the model's chat template leaves out system messages: the model never sees them"}
}

// opening tells of a template that opens an answer with something else than the answers of a
// conversation begin with.
func (t *Template) opening() []string {
	sample := t.with([]Message{{Role: RoleUser, Content: "u"}, {Role: RoleAssistant, Content: "a"}})
	asked, errAsked := t.own.render(sample[:len(sample)-1], true)
	whole, errWhole := t.own.render(sample, false)
	if errAsked != nil || errWhole != nil || strings.HasPrefix(whole.text, asked.text) {
		return nil
	}
	same := 0
	for same < min(len(asked.text), len(whole.text)) && asked.text[same] == whole.text[same] {
		same++
	}
	return []string{fmt.Sprintf("the model's chat template opens an answer with %.60q, which the answers of a "+
		"conversation do not begin with: what is learned from conversations does not continue what the "+
		"model is asked with",
		strings.ToValidUTF8(asked.text[same:], ""))}
}

// turn is all that a template writes for a message, or, where that cannot be told, its text and its
// answer.
func (o *own) turn(a analysed, messages []Message, i int) answer {
	before, errBefore := o.render(messages[:i], false)
	upTo, errUpTo := o.render(messages[:i+1], false)
	if i == 0 {
		before, errBefore = rendering{}, nil
	}
	if errBefore == nil && errUpTo == nil && strings.HasPrefix(a.text, before.text) && strings.HasPrefix(a.text,
		upTo.text) &&
		len(before.text) <= len(upTo.text) {
		return answer{len(before.text), len(upTo.text), i}
	}
	begin, end, _ := a.said(i)
	for _, x := range a.answers {
		if x.message == i {
			begin, end = min(begin, x.begin), max(end, x.end)
		}
	}
	return answer{begin, end, i}
}

// Turns renders a conversation to learn from: as a whole or, where the template renders earlier
// turns differently once more turns follow, one rendering for each answer, as the conversation
// stands when it is given, in which it alone counts. Answers that do not count at all have none.
func (t *Template) Turns(messages []Message) ([][]Segment, error) {
	if t.own == nil {
		return [][]Segment{t.render(messages)}, nil
	}
	messages = t.with(messages)
	whole, steady, err := t.renderOwn(messages, -1)
	if err != nil || steady {
		return [][]Segment{whole}, err
	}
	var out [][]Segment
	for i, m := range messages {
		if m.Role != RoleAssistant || m.Masked {
			continue
		}
		one, _, err := t.renderOwn(messages[:i+1], i)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}
