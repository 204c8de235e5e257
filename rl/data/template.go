package data

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"steer/ggml/lm"
)

// SegmentKind tells text from the tokens that have no fixed spelling.
type SegmentKind uint8

// The kinds of a segment.
const (
	SegmentText SegmentKind = iota
	SegmentBOS              // the vocabulary's beginning-of-sequence token
	SegmentEOS              // the vocabulary's end-of-sequence token
)

// Segment is a piece of a rendered conversation.
type Segment struct {
	Kind SegmentKind
	Text string
	// Answer: the tokens belong to what the model is to learn to say.
	Answer bool
	// Masked: the tokens never count in the loss, whatever is learned from; see Message.
	Masked bool
	// Special: Text spells special tokens ("<|im_start|>") that are to be read as
	// such. Never set on text that came from a data file.
	Special bool
	// Alone: the text stands behind a special token, and is tokenized as one by itself.
	Alone bool
}

// TemplateName names a prompt template.
type TemplateName string

// The templates.
const (
	// TemplateGuanaco: "### Human: q### Assistant: a### Human: ...", one line as in
	// the OpenAssistant guanaco release; the thesis's form.
	TemplateGuanaco TemplateName = "guanaco"
	// TemplateChatML: "<|im_start|>role\ncontent<|im_end|>\n" with a system message
	// first, as SmolLM2-Instruct has it.
	TemplateChatML TemplateName = "chatml"
	// TemplateLlama2: "<s>[INST] q [/INST] a </s>" with "<<SYS>>" for a system message.
	TemplateLlama2 TemplateName = "llama2"
	// TemplateHH: "\n\nHuman: q\n\nAssistant: a" as hh-rlhf has it.
	TemplateHH TemplateName = "hh"
	// TemplatePlain: the contents end to end, nothing added.
	TemplatePlain TemplateName = "plain"
	// TemplateModel: the chat template that the model's file brings, see [NewOwnTemplate].
	TemplateModel TemplateName = "model"
)

// Values lists the templates.
func (TemplateName) Values() []string {
	return []string{string(TemplateGuanaco), string(TemplateChatML), string(TemplateLlama2), string(TemplateHH),
		string(TemplatePlain), string(TemplateModel)}
}

// DefaultSystem is the system message of SmolLM2-Instruct's own chat template,
// used by chatml when a conversation brings none.
const DefaultSystem = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

// Template renders conversations. The rendering of a prompt is a prefix of the rendering of the same
// prompt with its answer, segment by segment: always with the templates of this package, and with a
// model's own where that is so ([Template.Oddities] tells).
type Template struct {
	name   TemplateName
	system string
	own    *own // of TemplateModel
	vars   TemplateVars
}

// NewTemplate gives a template. system replaces the system message used when a
// conversation has none: nil means the template's default (DefaultSystem for
// chatml, none for the others), "" none at all. A model's own template needs the model, see
// [OpenTemplate].
func NewTemplate(name TemplateName, system *string) (*Template, error) {
	t := &Template{name: name}
	switch name {
	case TemplateChatML:
		t.system = DefaultSystem
	case TemplateGuanaco, TemplateLlama2, TemplateHH, TemplatePlain:
	case TemplateModel:
		return nil, fmt.Errorf("data: template %s: it is the model's, and no model is at hand", name)
	default:
		return nil, fmt.Errorf("data: template: want one of %s, got %q", strings.Join(name.Values(), ", "), name)
	}
	if system != nil {
		t.system = *system
	}
	return t, nil
}

// OpenTemplate gives a template by its name; that of the model is the one that tok knows. date is
// what the model's template shows as today, see [NewOwnTemplate]; vars are variables of it.
func OpenTemplate(
	tok lm.Tokenizer, name TemplateName, system *string, date Date, vars TemplateVars,
) (*Template, error) {
	today, err := date.Time()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if name != TemplateModel {
		t, err := NewTemplate(name, system)
		if err != nil {
			return nil, err
		}
		return t.WithVars(vars)
	}
	var chat lm.Chat
	if c, ok := tok.(lm.Chatter); ok {
		chat = c.Chat()
	}
	t, err := NewOwnTemplate(chat, system, today)
	if err != nil {
		return nil, err
	}
	return t.WithVars(vars)
}

// Name gives the template's name.
func (t *Template) Name() TemplateName { return t.name }

// System gives the system message of conversations that bring none, "" for none.
func (t *Template) System() string { return t.system }

// StopStrings are texts that end an answer in generation, besides the EOS token.
func (t *Template) StopStrings() []string {
	switch t.name {
	case TemplateGuanaco:
		return []string{guanacoHuman}
	case TemplateHH:
		return []string{hhHuman}
	case TemplateChatML:
		return []string{"<|im_end|>"}
	case TemplateModel:
		if t.own.end != "" {
			return []string{t.own.end}
		}
	}
	return nil
}

// Answer is what is said in a generated text: without the stop string that ended it and,
// but for the plain template, without the blanks of the template around it.
func (t *Template) Answer(text string) string {
	end := len(text)
	for _, stop := range t.StopStrings() {
		if i := strings.Index(text, stop); i >= 0 {
			end = min(end, i)
		}
	}
	if text = text[:end]; t.name == TemplatePlain {
		return text
	}
	return strings.TrimSpace(text)
}

// StopToken is the special token that ends an answer, to be encoded with special
// tokens parsed; "" where the template leaves that to EOS.
func (t *Template) StopToken() string {
	switch t.name {
	case TemplateChatML:
		return "<|im_end|>"
	case TemplateModel:
		return t.own.end
	}
	return ""
}

// StopTokens are the special tokens that end an answer: StopToken, and those that a model's file
// names (eot, eom, eos) where the template is the model's own; StopToken is the last.
func (t *Template) StopTokens() []string {
	var out []string
	end := t.StopToken()
	if t.own != nil {
		out = slices.DeleteFunc(slices.Clone(t.own.chat.Ends), func(s string) bool { return s == end })
	}
	if end != "" {
		out = append(out, end)
	}
	return out
}

// StopIDs are the ids that end an answer: EOS and those of StopTokens, the template's own last. A
// vocabulary that has no such token spells it in pieces; there the stop string remains.
func (t *Template) StopIDs(tok lm.Tokenizer) ([]int32, error) {
	var stop []int32
	if eos := tok.EOS(); eos >= 0 {
		stop = append(stop, eos)
	}
	for _, mark := range t.StopTokens() {
		ids, err := tok.Encode(mark, false, true)
		if err != nil {
			return nil, fmt.Errorf("data: stop token %q: %w", mark, err)
		}
		if len(ids) != 1 {
			continue
		}
		if i := slices.Index(stop, ids[0]); i >= 0 {
			stop = slices.Delete(stop, i, i+1)
		}
		stop = append(stop, ids[0])
	}
	return stop, nil
}

// SHA256 identifies a model's own template by its text, in hexadecimal; "" for the others.
func (t *Template) SHA256() string {
	if t.own == nil {
		return ""
	}
	return t.own.sum
}

// Date is what a model's own template shows as today; zero if it is not told or does not ask.
func (t *Template) Date() time.Time {
	if t.own == nil || !t.own.clock {
		return time.Time{}
	}
	return t.own.date
}

// Source is the text of a model's own template, "" for the others.
func (t *Template) Source() string {
	if t.own == nil {
		return ""
	}
	return t.own.chat.Template
}

// Marks are the special tokens that the template writes. In a vocabulary that spells one in
// several tokens the template is not that of the model.
func (t *Template) Marks() []string {
	if t.name == TemplateChatML {
		return []string{"<|im_start|>", "<|im_end|>"}
	}
	return nil
}

// Prompt renders messages and whatever opens the assistant's answer. An error is a [*Refusal] of a
// model's own template; the others take every conversation.
func (t *Template) Prompt(messages []Message) ([]Segment, error) {
	if t.own != nil {
		r, err := t.own.render(t.with(messages), true)
		if err != nil {
			return nil, err
		}
		return t.own.segments(r, nil, nil), nil
	}
	segments := t.render(messages)
	switch t.name {
	case TemplateGuanaco:
		segments = append(segments, Segment{Text: guanacoAssistant})
	case TemplateHH:
		segments = append(segments, Segment{Text: hhAssistant})
	case TemplateChatML:
		segments = append(segments, Segment{Text: "<|im_start|>assistant\n", Special: true})
	}
	return segments, nil
}

// Render renders a whole conversation, see Prompt for the error and [Template.Turns] for learning.
func (t *Template) Render(messages []Message) ([]Segment, error) {
	if t.own != nil {
		segments, _, err := t.renderOwn(t.with(messages), -1)
		return segments, err
	}
	return t.render(messages), nil
}

func (t *Template) render(messages []Message) []Segment {
	system, turns := t.system, messages
	if len(messages) > 0 && messages[0].Role == RoleSystem {
		system, turns = messages[0].Content, messages[1:]
	}
	switch t.name {
	case TemplateChatML:
		return renderChatML(system, turns)
	case TemplateLlama2:
		return renderLlama2(system, turns)
	case TemplateGuanaco:
		return renderMarked(guanacoHuman, guanacoAssistant, system, turns)
	case TemplateHH:
		return renderMarked(hhHuman, hhAssistant, system, turns)
	}
	var out []Segment
	if system != "" {
		out = append(out, Segment{Text: system})
	}
	for _, m := range turns {
		out = append(out, Segment{Text: m.Content, Answer: m.Role == RoleAssistant, Masked: m.Masked})
	}
	return out
}

// renderMarked lays "<marker> content" end to end. The marker of an answer is a
// segment apart from the answer, so that a prompt ends where an answer begins; the blank between
// them belongs to the answer (tokenizers attach a blank to the word after it).
// These forms have no system turn: a system message goes before the human message that
// the conversation begins with, divided by an empty line; where it does not begin with
// one, the system message is a human turn by itself.
func renderMarked(human, assistant, system string, turns []Message) []Segment {
	var out []Segment
	if system != "" && !beginsWithUser(turns) {
		out = append(out, Segment{Text: human + " " + system})
		system = ""
	}
	for _, m := range turns {
		if m.Role == RoleAssistant {
			out = append(out, Segment{Text: assistant, Masked: m.Masked}, Segment{Text: " " + m.Content, Answer: true,
				Masked: m.Masked})
			continue
		}
		content := m.Content
		if system != "" {
			content, system = system+"\n\n"+content, ""
		}
		out = append(out, Segment{Text: human + " " + content, Masked: m.Masked})
	}
	return out
}

func beginsWithUser(turns []Message) bool { return len(turns) > 0 && turns[0].Role == RoleUser }

func renderChatML(system string, turns []Message) []Segment {
	var out []Segment
	turn := func(m Message) {
		answer := m.Role == RoleAssistant
		out = append(out,
			Segment{Text: "<|im_start|>" + m.Role + "\n", Special: true, Masked: m.Masked},
			Segment{Text: m.Content, Answer: answer, Masked: m.Masked},
			// The end mark is part of the answer: the model has to learn to stop.
			Segment{Text: "<|im_end|>", Answer: answer, Special: true, Masked: m.Masked},
			Segment{Text: "\n", Masked: m.Masked})
	}
	if system != "" {
		turn(Message{Role: RoleSystem, Content: system})
	}
	for _, m := range turns {
		turn(m)
	}
	return out
}

// renderLlama2 has a place for a system message only inside the first [INST]: where the
// conversation does not begin with the user, that [INST] holds nothing else. An answer
// that nothing comes before begins with <s>.
func renderLlama2(system string, turns []Message) []Segment {
	var out []Segment
	if system != "" && !beginsWithUser(turns) {
		turns = append([]Message{{Role: RoleUser}}, turns...)
	}
	for _, m := range turns {
		if m.Role == RoleAssistant {
			if len(out) == 0 {
				out = append(out, Segment{Kind: SegmentBOS})
			}
			out = append(out, Segment{Text: " " + m.Content + " ", Answer: true, Masked: m.Masked},
				Segment{Kind: SegmentEOS, Answer: true, Masked: m.Masked})
			continue
		}
		content := m.Content
		if system != "" {
			content, system = "<<SYS>>\n"+system+"\n<</SYS>>\n\n"+content, ""
		}
		out = append(out, Segment{Kind: SegmentBOS}, Segment{Text: "[INST] " + content + " [/INST]",
			Masked: m.Masked})
	}
	return out
}

// Text joins segments as text; bos and eos spell the tokens without fixed spelling.
func Text(segments []Segment, bos, eos string) string {
	var b strings.Builder
	for _, s := range segments {
		switch s.Kind {
		case SegmentBOS:
			b.WriteString(bos)
		case SegmentEOS:
			b.WriteString(eos)
		default:
			b.WriteString(s.Text)
		}
	}
	return b.String()
}
