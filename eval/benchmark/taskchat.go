package benchmark

import (
	"errors"
	"fmt"

	"steer/eval"
	"steer/eval/metrics"
	"steer/eval/task"
	"steer/rl/data"
)

// TaskPrompts says how tasks of the user's own are put to the models: as running text, or in
// the chat template of the model. The names are the harness's.
type TaskPrompts struct {
	// ApplyChatTemplate asks in the configuration's template.
	ApplyChatTemplate bool `yaml:"apply_chat_template,omitempty"`
	// FewshotAsMultiturn makes every few-shot example a turn of question and answer; nil: wherever
	// the chat template is applied.
	FewshotAsMultiturn *bool `yaml:"fewshot_as_multiturn,omitempty"`
	// SystemInstruction stands before the description of a task.
	SystemInstruction string `yaml:"system_instruction,omitempty"`
}

// taskPromptKeys are the keys of the configuration that it is made of.
var taskPromptKeys = []string{"apply_chat_template", "fewshot_as_multiturn", "system_instruction"}

func (p TaskPrompts) check() error {
	if p.FewshotAsMultiturn != nil && *p.FewshotAsMultiturn && !p.ApplyChatTemplate {
		return errors.New("eval: fewshot_as_multiturn: turns need a chat template: set apply_chat_template: true too")
	}
	return nil
}

func (p TaskPrompts) asking(set eval.Settings) task.Asking {
	return task.Asking{Delimiter: set.TargetDelimiter, Chat: p.ApplyChatTemplate, System: p.SystemInstruction,
		Multiturn: p.ApplyChatTemplate && (p.FewshotAsMultiturn == nil || *p.FewshotAsMultiturn)}
}

// taskChats are the rendered conversations of the items of a task.
type taskChats struct {
	template *data.Template
	of       [][][]data.Segment // by item and context
	// withoutSystem counts items whose system turn the template refused; they are asked without.
	withoutSystem int
}

// taskChat is one of them.
type taskChat struct {
	template *data.Template
	segments []data.Segment
}

// at is the conversation of an item; nil where there are none.
func (c *taskChats) at(i int) *taskChat {
	if c == nil {
		return nil
	}
	return &taskChat{c.template, c.of[i][0]}
}

// render renders the conversations of the items; nil where they are asked as running text.
func (p TaskPrompts) render(t *task.Task, tpl *data.Template, items []task.Item) (*taskChats, error) {
	if !p.ApplyChatTemplate || t.Output == task.Rolling {
		return nil, nil
	}
	if tpl == nil {
		return nil, errors.New("apply_chat_template: there is no template: name one (key template)")
	}
	out := &taskChats{template: tpl, of: make([][][]data.Segment, len(items))}
	for i, it := range items {
		refused := false
		for _, messages := range it.Chats {
			segments, err := renderTask(tpl, messages)
			if data.Refused(err) && len(messages) > 1 && messages[0].Role == data.RoleSystem {
				refused = true
				segments, err = renderTask(tpl, messages[1:])
			}
			if err != nil {
				return nil, fmt.Errorf("item %q: %w", it.ID, err)
			}
			out.of[i] = append(out.of[i], segments)
		}
		if refused {
			out.withoutSystem++
		}
	}
	return out, nil
}

// renderTask renders a conversation up to where the model goes on: behind the opening of an
// answer, and behind the beginning of one where the task gives it.
func renderTask(tpl *data.Template, messages []data.Message) ([]data.Segment, error) {
	begun := ""
	if last := messages[len(messages)-1]; last.Role == data.RoleAssistant {
		begun, messages = last.Content, messages[:len(messages)-1]
	}
	segments, err := tpl.Prompt(messages)
	if err == nil && begun != "" {
		alone := len(segments) > 0 && segments[len(segments)-1].Alone && segments[len(segments)-1].Special
		segments = append(segments, data.Segment{Text: begun, Alone: alone})
	}
	return segments, err
}

// describe writes down how the task was asked.
func (p TaskPrompts) describe(b *metrics.Summary, chats *taskChats) {
	if p.SystemInstruction != "" {
		b.Provenance.Set("system_instruction", p.SystemInstruction)
	}
	if chats == nil {
		return
	}
	b.Provenance.Set("chat_template", string(chats.template.Name()))
	if sum := chats.template.SHA256(); sum != "" {
		b.Provenance.Set("template_sha256", sum)
	}
	b.Provenance.Set("fewshot_as_multiturn", p.asking(b.Settings).Multiturn)
	b.FlagCount("system_turn_refused", chats.withoutSystem)
}
