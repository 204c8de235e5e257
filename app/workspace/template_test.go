package workspace_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/workspace"
	"steer/app/workspace/workspacetest"
	"steer/internal/testfiles"
	"steer/rl/data"
)

// What a real vocabulary makes of a model's own template is what it makes of the whole text, special
// tokens parsed, wherever no message spells one; and what ends an answer is the end of the turn.
func TestOwnTemplateInARealVocabulary(t *testing.T) {
	w := workspacetest.Open(t, func() (string, workspace.EngineConfig) {
		return testfiles.Model(t), workspace.DefaultEngine()
	})
	own, stop, err := w.Template(workspace.Form{Template: data.TemplateModel})
	require.NoError(t, err)
	end, err := w.Tok.Encode("<|im_end|>", false, true)
	require.NoError(t, err)
	require.Equal(t, end, stop)
	var golden struct {
		Conversations map[string][]data.Message
	}
	testfiles.ReadGolden(t, "chat/chat.json.gz", &golden)
	require.Greater(t, len(golden.Conversations), 20)
	for name, messages := range golden.Conversations {
		segments, err := own.Render(messages)
		require.NoError(t, err)
		got, err := data.Tokenize(w.Tok, segments, data.TokenizeOptions{})
		require.NoError(t, err)
		var text strings.Builder
		for _, s := range segments {
			text.WriteString(s.Text)
		}
		require.Equal(t, text.String(), w.Tok.Decode(got.IDs, true), name)
		whole, err := w.Tok.Encode(text.String(), false, true)
		require.NoError(t, err)
		switch name {
		case "special_tokens":
			require.Greater(t, len(got.IDs), len(whole))
		case "blanks", "only_blanks": // the line end before an answer is the prompt's, those in it the answer's
		default:
			require.Equal(t, whole, got.IDs, name)
		}
		if prompt, err := own.Prompt(messages[:len(messages)-1]); len(messages) > 1 &&
			messages[len(messages)-1].Role == data.RoleAssistant {
			require.NoError(t, err)
			asked, err := data.Tokenize(w.Tok, prompt, data.TokenizeOptions{})
			require.NoError(t, err)
			require.Equal(t, asked.IDs, got.IDs[:len(asked.IDs)], "%s: a prompt is a prefix", name)
		}
	}
}
