package workspace_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/rl/data"
)

func TestForms(t *testing.T) {
	str := func(s string) *string { return &s }
	place := func(path, template string, system *string) adapter.Placed {
		a := &adapter.Adapter{Meta: map[string]string{adapter.MetaTemplate: template}}
		if system != nil {
			a.Meta[adapter.MetaSystem] = *system
		}
		return adapter.Placed{Path: path, Adapter: a}
	}
	guanaco, chatml := place("g", "guanaco", str("")), place("c", "chatml", str(data.DefaultSystem))
	odd, mute := place("o", "chatml", str("Be odd.")), adapter.Placed{Path: "m", Adapter: &adapter.Adapter{}}
	for name, c := range map[string]struct {
		given workspace.Form
		stack []adapter.Placed
		want  workspace.Form
		notes []string
	}{
		"bare base":       {stack: nil, want: workspace.Form{Template: "plain"}},
		"does not say":    {stack: []adapter.Placed{mute}, want: workspace.Form{Template: "plain"}},
		"says":            {stack: []adapter.Placed{guanaco, mute}, want: workspace.Form{Template: "guanaco"}},
		"its own message": {stack: []adapter.Placed{chatml}, want: workspace.Form{Template: "chatml"}},
		"another message": {stack: []adapter.Placed{odd},
			want: workspace.Form{Template: "chatml", System: str("Be odd.")}},
		"named as stored": {given: workspace.Form{Template: "chatml"}, stack: []adapter.Placed{odd},
			want: workspace.Form{Template: "chatml", System: str("Be odd.")}},
		"topmost": {stack: []adapter.Placed{guanaco, chatml}, want: workspace.Form{Template: "chatml"},
			notes: []string{"g was trained with template guanaco, used with chatml"}},
		"contradicted": {given: workspace.Form{Template: "hh"}, stack: []adapter.Placed{guanaco},
			want: workspace.Form{Template: "hh"}, notes: []string{"g was trained with template guanaco, used with hh"}},
		"contradicted message": {given: workspace.Form{System: str("")}, stack: []adapter.Placed{odd},
			want:  workspace.Form{Template: "chatml", System: str("")},
			notes: []string{`o was trained with system message "Be odd.", used with ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, notes, err := workspace.ChooseForm(nil, c.given, c.stack, data.TemplatePlain)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			require.Len(t, notes, len(c.notes), "%v", notes)
			for i := range c.notes {
				require.Contains(t, notes[i], c.notes[i])
			}
		})
	}
	_, _, err := workspace.ChooseForm(nil, workspace.Form{}, []adapter.Placed{place("x", "jinja", nil)}, "")
	require.ErrorContains(t, err, `got "jinja"`)
}

func TestTemplatesAreGuessed(t *testing.T) {
	for chat, want := range map[string]data.TemplateName{
		"":                                         data.TemplateGuanaco,
		"{{'<|im_start|>' + message['role']}}":     data.TemplateModel,
		"{{'<|im_start|>' + message['role'}}":      data.TemplateChatML,
		"{{bos}}[INST] {{message [/INST]":          data.TemplateLlama2,
		"{{'<|start_header_id|>' + m.role + ...}}": data.TemplateGuanaco,
	} {
		w := gguf.NewWriter()
		w.SetValue("general.architecture", "llama")
		if chat != "" {
			w.SetValue("tokenizer.chat_template", chat)
		}
		path := filepath.Join(t.TempDir(), "model.gguf")
		require.NoError(t, w.Save(path))
		name, why, err := workspace.GuessTemplate(path)
		require.NoError(t, err)
		require.Equal(t, want, name, chat)
		require.NotEmpty(t, why)
	}
}
