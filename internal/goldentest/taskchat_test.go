package goldentest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/query"
	"steer/internal/testfiles"
	"steer/rl/data"
)

// A task asked in a real model's own chat template has the tokens of the spelled prompt, as
// lm-evaluation-harness encodes it, border and all.
func TestChatPromptsAreTheSpelledTokens(t *testing.T) {
	m := open(t, testfiles.Model(t), 0)
	tok := m.Tokenizer()
	tpl, err := data.OpenTemplate(tok, data.TemplateModel, nil, "", nil)
	require.NoError(t, err)
	enc, err := query.NewEncoder(tok, eval.BOSAuto)
	require.NoError(t, err)
	for _, messages := range [][]data.Message{
		{{Role: data.RoleUser, Content: "Is iron a plant?\nA:"}},
		{{Role: data.RoleSystem, Content: "Be brief. "}, {Role: data.RoleUser, Content: "Q: été?"},
			{Role: data.RoleAssistant, Content: "yes"}, {Role: data.RoleUser, Content: "And iron? "}},
	} {
		segments, err := tpl.Prompt(messages)
		require.NoError(t, err)
		spelled := data.Text(segments, "", "")
		for _, answer := range []string{"no", " yes", "\nmaybe so"} {
			wantContext, want, err := enc.Pair(spelled, answer)
			require.NoError(t, err)
			context, continuation, err := enc.PromptPair(segments, answer)
			require.NoError(t, err)
			require.Equal(t, wantContext, context)
			require.Equal(t, want, continuation)
		}
		ids, err := enc.Prompt(segments)
		require.NoError(t, err)
		whole, err := enc.Text(spelled)
		require.NoError(t, err)
		require.Equal(t, whole, ids)
	}
}
